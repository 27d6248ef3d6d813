//! The table as it is: looked up when a connection is made, held against what the sink writes.
//!
//! ```text
//!   COPY ──> pg_temp.onceflow_stage (n, deletes, c0, c1 ..) ──INSERT .. SELECT──> the table
//! ```
//!
//! Rows go through a stage because `COPY` knows no `ON CONFLICT`. Its columns have the table's types
//! without their limits, so that a limit is broken where a row can be found, in the insert.

use tokio_postgres::Client;
use tokio_postgres::types::{Kind, Type};

use crate::failure::Failure;
use crate::sink::{Plan, Writes};

/// A table, and the statements that write it.
#[derive(Debug)]
pub(crate) struct Target {
    /// Of the columns, in the sink's order.
    pub(crate) types: Vec<Type>,
    pub(crate) copy: String,
    /// In this order.
    pub(crate) writes: Vec<String>,
}

/// Empties the stage within a transaction; its end empties it, too.
pub(crate) const CLEAR: &str = "DELETE FROM pg_temp.onceflow_stage";

const TABLE: &str = "\
    SELECT to_regclass($1)::oid, to_regclass($1)::text, current_database()::text,
        current_setting('search_path')";

const COLUMNS: &str = "\
    SELECT attname::text, attnotnull AND NOT atthasdef AND attidentity = ''
    FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum";

impl Target {
    /// Looks the table up, checks it, and makes the connection's stage.
    ///
    /// # Errors
    ///
    /// Names what is missing, or does not fit.
    pub(crate) async fn prepare<K, V>(
        client: &Client,
        plan: &Plan<K, V>,
    ) -> Result<Target, Failure> {
        let table = look_up(client, plan).await?;
        let names = plan.columns.iter().map(|column| quoted(&column.name));
        let names: Vec<String> = names.collect();
        let select = format!("SELECT {} FROM {table}", names.join(", "));
        let selected = client.prepare(&select).await?;
        let types = selected.columns().iter().map(|column| base(column.type_()));
        let types: Vec<Type> = types.collect();
        check_types(plan, &types)?;
        client.batch_execute(&stage(&types)).await?;
        let target = Target {
            copy: copy(types.len()),
            writes: writes(plan, &table, &names),
            types,
        };
        for statement in &target.writes {
            // A plan needs the constraint of the keys and the privileges, and writes nothing.
            client
                .batch_execute(&format!("EXPLAIN {statement}"))
                .await?;
        }
        Ok(target)
    }
}

/// The table's name as the server writes it, once its columns are what the sink needs.
async fn look_up<K, V>(client: &Client, plan: &Plan<K, V>) -> Result<String, Failure> {
    let found = client.query_one(TABLE, &[&plan.table]).await?;
    let (database, path): (String, String) = (found.get(2), found.get(3));
    let Some(oid) = found.get::<_, Option<u32>>(0) else {
        return Err(Failure::last(format!(
            "there is no table {} in database {database} (search path: {path}); create it, or \
             name its schema",
            plan.table
        )));
    };
    let table: String = found.get(1);
    let rows = client.query(COLUMNS, &[&oid]).await?;
    let columns: Vec<(String, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let problems = problems(plan, &columns);
    match problems.is_empty() {
        true => Ok(table),
        false => Err(Failure::last(format!(
            "table {table} {}",
            problems.join("; it ")
        ))),
    }
}

fn problems<K, V>(plan: &Plan<K, V>, columns: &[(String, bool)]) -> Vec<String> {
    let has = |name: &str| columns.iter().any(|(column, _)| column == name);
    let written = |name: &str| plan.columns.iter().any(|column| column.name == name);
    let missing: Vec<&str> = plan.columns.iter().map(|column| &*column.name).collect();
    let missing: Vec<&str> = missing.into_iter().filter(|name| !has(name)).collect();
    let needed = columns
        .iter()
        .filter(|(name, needed)| *needed && !written(name));
    let needed: Vec<&str> = needed.map(|(name, _)| &**name).collect();
    let all: Vec<&str> = columns.iter().map(|(name, _)| &**name).collect();
    let mut problems = Vec::new();
    if !missing.is_empty() {
        let (missing, all) = (missing.join(", "), all.join(", "));
        problems.push(format!("has no column {missing}; it has {all}"));
    }
    if !needed.is_empty() {
        let needed = needed.join(", ");
        problems.push(format!(
            "needs a value for {needed}, which the sink does not write"
        ));
    }
    if plan.columns.is_empty() {
        problems.push("gets no columns: give the sink some".to_owned());
    }
    let has_key = plan.columns.iter().any(|column| column.is_key);
    let needs_key = plan.writes == Writes::Upserts || plan.deletes.is_some();
    if needs_key && !has_key {
        problems.push("is written by key, and the sink has no key column".to_owned());
    }
    problems
}

fn check_types<K, V>(plan: &Plan<K, V>, types: &[Type]) -> Result<(), Failure> {
    for (column, of) in plan.columns.iter().zip(types) {
        if !(column.accepts)(of) {
            let (name, table, rust) = (&column.name, &plan.table, column.rust_type);
            let why = format!("column {name} of table {table} is {of}, which {rust} is not");
            return Err(Failure::last(why));
        }
    }
    Ok(())
}

/// A domain is sent as the type below; its checks are the table's.
fn base(of: &Type) -> Type {
    match of.kind() {
        Kind::Domain(below) => base(below),
        _ => of.clone(),
    }
}

fn stage(types: &[Type]) -> String {
    let columns = (0..).zip(types).map(|(number, of): (usize, &Type)| {
        format!("c{number} {}.{}", quoted(of.schema()), quoted(of.name()))
    });
    let columns: Vec<String> = columns.collect();
    format!(
        "CREATE TEMP TABLE onceflow_stage (n int4, deletes bool, {}) ON COMMIT DELETE ROWS",
        columns.join(", ")
    )
}

fn copy(columns: usize) -> String {
    let columns = numbered(0..columns);
    format!("COPY pg_temp.onceflow_stage (n, deletes, {columns}) FROM STDIN (FORMAT binary)")
}

/// What brings the staged rows into the table.
fn writes<K, V>(plan: &Plan<K, V>, table: &str, names: &[String]) -> Vec<String> {
    let (into, from) = (names.join(", "), numbered(0..names.len()));
    let insert = format!("INSERT INTO {table} ({into}) SELECT {from} FROM");
    if plan.writes == Writes::Inserts {
        return vec![format!("{insert} pg_temp.onceflow_stage ORDER BY n")];
    }
    let keys = || (0..).zip(&plan.columns).filter(|(_, column)| column.is_key);
    let by = numbered(keys().map(|(number, _): (usize, _)| number));
    // Of several rows of a key the last one counts: one statement cannot write a row twice.
    let last = format!(
        "(SELECT DISTINCT ON ({by}) * FROM pg_temp.onceflow_stage ORDER BY {by}, n DESC) AS last"
    );
    let key_names = keys().map(|(number, _)| names[number].as_str());
    let conflict = key_names.collect::<Vec<_>>().join(", ");
    let others = plan
        .columns
        .iter()
        .zip(names)
        .filter(|(column, _)| !column.is_key);
    let others: Vec<String> = others
        .map(|(_, name)| format!("{name} = EXCLUDED.{name}"))
        .collect();
    let update = match others.is_empty() {
        true => "NOTHING".to_owned(),
        false => format!("UPDATE SET {}", others.join(", ")),
    };
    let mut writes = vec![format!(
        "{insert} {last} WHERE NOT deletes ON CONFLICT ({conflict}) DO {update}"
    )];
    if plan.deletes.is_some() {
        let same = keys().map(|(number, _)| format!("t.{} = last.c{number}", names[number]));
        let same = same.collect::<Vec<_>>().join(" AND ");
        writes.push(format!(
            "DELETE FROM {table} AS t USING {last} WHERE deletes AND {same}"
        ));
    }
    writes
}

fn numbered(numbers: impl Iterator<Item = usize>) -> String {
    let columns = numbers.map(|number| format!("c{number}"));
    columns.collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
