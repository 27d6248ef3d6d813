//! A record as a row, in the bytes that `COPY` takes.
//!
//! # Invariants
//!
//! - A row is encoded when its record is processed: a value that its column cannot take is the
//!   record's failure, not the batch's.

use std::error::Error as StdError;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use onceflow_framework::{Fault, Record};
use tokio_postgres::types::{IsNull, ToSql, Type};

use crate::sink::Plan;

/// The length that `COPY` takes for a null.
const NULL: i32 = -1;

/// What `COPY` begins with: its signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// How much is handed to the connection at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// The columns that the stage has beside the table's: the number of the row, whether it deletes.
const OWN_COLUMNS: usize = 2;

/// A column of a sink.
pub(crate) struct Column<K, V> {
    pub(crate) name: String,
    pub(crate) is_key: bool,
    pub(crate) accepts: fn(&Type) -> bool,
    /// The name of the Rust type, for who gave the wrong one.
    pub(crate) rust_type: &'static str,
    write: Box<Write<K, V>>,
}

type Write<K, V> = dyn Fn(&Record<K, V>, &Type, &mut BytesMut) -> Written + Send + Sync;
type Written = Result<IsNull, Box<dyn StdError + Send + Sync>>;

impl<K, V> Column<K, V> {
    pub(crate) fn new<T: ToSql + 'static>(
        name: String,
        is_key: bool,
        value: impl Fn(&Record<K, V>) -> T + Send + Sync + 'static,
    ) -> Self {
        let write = move |record: &Record<K, V>, of: &Type, out: &mut BytesMut| {
            value(record).to_sql(of, out)
        };
        Column {
            name,
            is_key,
            accepts: T::accepts,
            rust_type: std::any::type_name::<T>(),
            write: Box::new(write),
        }
    }
}

/// A row of a batch, ready to be sent.
#[derive(Clone)]
pub struct PostgresRow {
    deletes: bool,
    /// The fields as `COPY` takes them: a length and the bytes of each.
    fields: Bytes,
}

impl PostgresRow {
    /// Encodes a record for columns of these types.
    pub(crate) fn of<K, V>(
        record: &Record<K, V>,
        plan: &Plan<K, V>,
        types: &[Type],
    ) -> Result<Self, Fault> {
        let deletes = plan.deletes.as_ref().is_some_and(|test| test(record));
        let mut fields = BytesMut::new();
        for (column, of) in plan.columns.iter().zip(types) {
            if deletes && !column.is_key {
                fields.put_i32(NULL);
                continue;
            }
            let at = fields.len();
            fields.put_i32(0);
            let written = (column.write)(record, of, &mut fields);
            let length = match written.map_err(|error| bad_value(&plan.table, column, &*error))? {
                IsNull::Yes => NULL,
                IsNull::No => i32::try_from(fields.len() - at - size_of::<i32>())?,
            };
            fields[at..at + size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
        }
        let fields = fields.freeze();
        Ok(PostgresRow { deletes, fields })
    }
}

#[cold]
fn bad_value<K, V>(table: &str, column: &Column<K, V>, error: &dyn StdError) -> Fault {
    let name = &column.name;
    Fault::message(format!(
        "column {name} of table {table} cannot take the value: {error}"
    ))
}

/// The bytes of a `COPY`, in chunks.
pub(crate) fn copy_chunks<'r>(
    rows: impl Iterator<Item = &'r PostgresRow>,
    columns: usize,
) -> Result<Vec<Bytes>, std::num::TryFromIntError> {
    let columns = i16::try_from(columns + OWN_COLUMNS)?;
    let (mut chunks, mut chunk) = (Vec::new(), BytesMut::from(HEADER));
    for (number, row) in (0_i32..).zip(rows) {
        chunk.put_i16(columns);
        chunk.put_i32(4);
        chunk.put_i32(number);
        chunk.put_i32(1);
        chunk.put_u8(u8::from(row.deletes));
        chunk.put_slice(&row.fields);
        if chunk.len() >= CHUNK_BYTES {
            chunks.push(std::mem::take(&mut chunk).freeze());
        }
    }
    chunk.put_i16(-1);
    chunks.push(chunk.freeze());
    Ok(chunks)
}

impl fmt::Debug for PostgresRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, deletes) = (self.fields.len(), self.deletes);
        write!(f, "PostgresRow({bytes} bytes, deletes: {deletes})")
    }
}
