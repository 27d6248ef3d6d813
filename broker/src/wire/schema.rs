//! The shape of every request, walked before it is decoded.
//!
//! The decoder reserves memory for as many elements as an array claims to have. A claim of two thousand
//! million in a frame of forty bytes would end the process, so the claims are checked first.
//!
//! # Invariants
//!
//! - **A request that passes has every element that it claims:** the walk has been over all of them.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ApiKey;

/// The type of a field, as far as its length goes.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Fixed(usize),
    Text,
    Blob,
    List(&'static Shape),
    Rows(&'static [Field]),
}

/// A field and the versions that have it.
#[derive(Debug, Clone, Copy)]
struct Field {
    since: i16,
    until: i16,
    shape: Shape,
}

const fn field(shape: Shape) -> Field {
    Field {
        since: 0,
        until: i16::MAX,
        shape,
    }
}

const fn since(since: i16, shape: Shape) -> Field {
    Field {
        since,
        until: i16::MAX,
        shape,
    }
}

const fn until(until: i16, shape: Shape) -> Field {
    Field {
        since: 0,
        until,
        shape,
    }
}

const I8: Shape = Shape::Fixed(1);
const I16: Shape = Shape::Fixed(2);
const I32: Shape = Shape::Fixed(4);
const I64: Shape = Shape::Fixed(8);
const UUID: Shape = Shape::Fixed(16);
const TEXT: Shape = Shape::Text;
const BLOB: Shape = Shape::Blob;
const TEXTS: Shape = Shape::List(&TEXT);
const INDEXES: Shape = Shape::List(&I32);
/// Topics, each with a list of partitions.
const PARTITIONS: Shape = Shape::Rows(&[field(TEXT), field(INDEXES)]);
const PAIRS: Shape = Shape::Rows(&[field(TEXT), field(TEXT)]);

/// Checks that a request's body has the shape of its API and version.
///
/// # Errors
///
/// Says what does not fit.
pub(super) fn check(api: ApiKey, version: i16, body: &Bytes) -> Result<(), &'static str> {
    let mut walk = Walk {
        rest: body.clone(),
        version,
        flexible: api.request_header_version(version) >= 2,
    };
    walk.row(fields(api))
}

struct Walk {
    rest: Bytes,
    version: i16,
    flexible: bool,
}

impl Walk {
    fn row(&mut self, fields: &[Field]) -> Result<(), &'static str> {
        for field in fields {
            if (field.since..=field.until).contains(&self.version) {
                self.value(field.shape)?;
            }
        }
        if self.flexible { self.tagged() } else { Ok(()) }
    }

    fn value(&mut self, shape: Shape) -> Result<(), &'static str> {
        match shape {
            Shape::Fixed(length) => self.skip(length),
            Shape::Text => {
                let length = self.length(|rest| rest.try_get_i16().map(i32::from))?;
                self.skip(length)
            }
            Shape::Blob => {
                let length = self.length(Bytes::try_get_i32)?;
                self.skip(length)
            }
            Shape::List(element) => (0..self.count()?).try_for_each(|_| self.value(*element)),
            Shape::Rows(fields) => (0..self.count()?).try_for_each(|_| self.row(fields)),
        }
    }

    fn count(&mut self) -> Result<usize, &'static str> {
        let count = self.length(Bytes::try_get_i32)?;
        if count > self.rest.len() {
            Err("an array claims more elements than there are bytes")
        } else {
            Ok(count)
        }
    }

    /// A length in the notation of the version; null counts as 0.
    fn length(
        &mut self,
        fixed: impl Fn(&mut Bytes) -> Result<i32, bytes::TryGetError>,
    ) -> Result<usize, &'static str> {
        if self.flexible {
            return Ok(self.varint()?.saturating_sub(1));
        }
        match fixed(&mut self.rest).map_err(|_short| "the body ends inside a length")? {
            -1 => Ok(0),
            length => usize::try_from(length).map_err(|_negative| "a length is negative"),
        }
    }

    fn tagged(&mut self) -> Result<(), &'static str> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.skip(length)?;
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<usize, &'static str> {
        let mut value = 0_usize;
        for shift in (0..35).step_by(7) {
            let byte = self
                .rest
                .try_get_u8()
                .map_err(|_short| "the body ends inside a number")?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number is too long")
    }

    fn skip(&mut self, length: usize) -> Result<(), &'static str> {
        if length > self.rest.len() {
            return Err("the body ends inside a field");
        }
        self.rest.advance(length);
        Ok(())
    }
}

fn fields(api: ApiKey) -> &'static [Field] {
    match api {
        ApiKey::Produce => PRODUCE,
        ApiKey::Fetch => FETCH,
        ApiKey::ListOffsets => LIST_OFFSETS,
        ApiKey::Metadata => METADATA,
        ApiKey::OffsetCommit => OFFSET_COMMIT,
        ApiKey::OffsetFetch => OFFSET_FETCH,
        ApiKey::FindCoordinator => const { &[until(3, TEXT), since(1, I8), since(4, TEXTS)] },
        ApiKey::JoinGroup => JOIN_GROUP,
        ApiKey::Heartbeat => const { &[field(TEXT), field(I32), field(TEXT), since(3, TEXT)] },
        ApiKey::LeaveGroup => LEAVE_GROUP,
        ApiKey::SyncGroup => SYNC_GROUP,
        ApiKey::DescribeGroups => const { &[field(TEXTS), since(3, I8)] },
        ApiKey::ListGroups => const { &[since(4, TEXTS), since(5, TEXTS)] },
        ApiKey::ApiVersions => const { &[since(3, TEXT), since(3, TEXT)] },
        ApiKey::CreateTopics => CREATE_TOPICS,
        ApiKey::DeleteTopics => DELETE_TOPICS,
        ApiKey::DeleteRecords => DELETE_RECORDS,
        ApiKey::InitProducerId => {
            const { &[field(TEXT), field(I32), since(3, I64), since(3, I16)] }
        }
        ApiKey::OffsetForLeaderEpoch => OFFSET_FOR_LEADER_EPOCH,
        ApiKey::AddPartitionsToTxn => ADD_PARTITIONS,
        ApiKey::AddOffsetsToTxn => const { &[field(TEXT), field(I64), field(I16), field(TEXT)] },
        ApiKey::EndTxn => const { &[field(TEXT), field(I64), field(I16), field(I8)] },
        ApiKey::TxnOffsetCommit => TXN_OFFSET_COMMIT,
        ApiKey::DescribeConfigs => DESCRIBE_CONFIGS,
        ApiKey::AlterConfigs => ALTER_CONFIGS,
        ApiKey::IncrementalAlterConfigs => INCREMENTAL_ALTER_CONFIGS,
        ApiKey::DescribeLogDirs | ApiKey::DescribeProducers => const { &[field(PARTITIONS)] },
        ApiKey::CreatePartitions => CREATE_PARTITIONS,
        ApiKey::DeleteGroups | ApiKey::DescribeTransactions => const { &[field(TEXTS)] },
        ApiKey::ListPartitionReassignments => const { &[field(I32), field(PARTITIONS)] },
        ApiKey::OffsetDelete => OFFSET_DELETE,
        ApiKey::DescribeCluster => const { &[field(I8), since(1, I8), since(2, I8)] },
        ApiKey::ListTransactions => {
            const {
                &[
                    field(TEXTS),
                    field(Shape::List(&I64)),
                    since(1, I64),
                    since(2, TEXT),
                ]
            }
        }
        other => unreachable!("{other:?} is not among the spoken APIs"),
    }
}

const PRODUCE: &[Field] = &[
    field(TEXT),
    field(I16),
    field(I32),
    field(Shape::Rows(&[
        until(12, TEXT),
        since(13, UUID),
        field(Shape::Rows(&[field(I32), field(BLOB)])),
    ])),
];

const FETCH: &[Field] = &[
    until(14, I32),
    field(I32),
    field(I32),
    field(I32),
    field(I8),
    since(7, I32),
    since(7, I32),
    field(Shape::Rows(&[
        until(12, TEXT),
        since(13, UUID),
        field(Shape::Rows(&[
            field(I32),
            since(9, I32),
            field(I64),
            since(12, I32),
            since(5, I64),
            field(I32),
        ])),
    ])),
    since(
        7,
        Shape::Rows(&[until(12, TEXT), since(13, UUID), field(INDEXES)]),
    ),
    since(11, TEXT),
];

const LIST_OFFSETS: &[Field] = &[
    field(I32),
    since(2, I8),
    field(Shape::Rows(&[
        field(TEXT),
        field(Shape::Rows(&[field(I32), since(4, I32), field(I64)])),
    ])),
    since(10, I32),
];

const METADATA: &[Field] = &[
    field(Shape::Rows(&[since(10, UUID), field(TEXT)])),
    since(4, I8),
    Field {
        since: 8,
        until: 10,
        shape: I8,
    },
    since(8, I8),
];

const OFFSET_COMMIT: &[Field] = &[
    field(TEXT),
    field(I32),
    field(TEXT),
    since(7, TEXT),
    until(4, I64),
    field(Shape::Rows(&[
        field(TEXT),
        field(Shape::Rows(&[
            field(I32),
            field(I64),
            since(6, I32),
            field(TEXT),
        ])),
    ])),
];

const OFFSET_FETCH: &[Field] = &[
    until(7, TEXT),
    until(7, PARTITIONS),
    since(
        8,
        Shape::Rows(&[
            field(TEXT),
            since(9, TEXT),
            since(9, I32),
            field(PARTITIONS),
        ]),
    ),
    since(7, I8),
];

const JOIN_GROUP: &[Field] = &[
    field(TEXT),
    field(I32),
    since(1, I32),
    field(TEXT),
    since(5, TEXT),
    field(TEXT),
    field(Shape::Rows(&[field(TEXT), field(BLOB)])),
    since(8, TEXT),
];

const LEAVE_GROUP: &[Field] = &[
    field(TEXT),
    until(2, TEXT),
    since(3, Shape::Rows(&[field(TEXT), field(TEXT), since(5, TEXT)])),
];

const SYNC_GROUP: &[Field] = &[
    field(TEXT),
    field(I32),
    field(TEXT),
    since(3, TEXT),
    since(5, TEXT),
    since(5, TEXT),
    field(Shape::Rows(&[field(TEXT), field(BLOB)])),
];

const CREATE_TOPICS: &[Field] = &[
    field(Shape::Rows(&[
        field(TEXT),
        field(I32),
        field(I16),
        field(Shape::Rows(&[field(I32), field(INDEXES)])),
        field(PAIRS),
    ])),
    field(I32),
    field(I8),
];

const DELETE_TOPICS: &[Field] = &[
    since(6, Shape::Rows(&[field(TEXT), field(UUID)])),
    until(5, TEXTS),
    field(I32),
];

const DELETE_RECORDS: &[Field] = &[
    field(Shape::Rows(&[
        field(TEXT),
        field(Shape::Rows(&[field(I32), field(I64)])),
    ])),
    field(I32),
];

const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    since(3, I32),
    field(Shape::Rows(&[
        field(TEXT),
        field(Shape::Rows(&[field(I32), field(I32), field(I32)])),
    ])),
];

const ADD_PARTITIONS: &[Field] = &[
    since(
        4,
        Shape::Rows(&[
            field(TEXT),
            field(I64),
            field(I16),
            field(I8),
            field(PARTITIONS),
        ]),
    ),
    until(3, TEXT),
    until(3, I64),
    until(3, I16),
    until(3, PARTITIONS),
];

const TXN_OFFSET_COMMIT: &[Field] = &[
    field(TEXT),
    field(TEXT),
    field(I64),
    field(I16),
    since(3, I32),
    since(3, TEXT),
    since(3, TEXT),
    field(Shape::Rows(&[
        field(TEXT),
        field(Shape::Rows(&[
            field(I32),
            field(I64),
            since(2, I32),
            field(TEXT),
        ])),
    ])),
];

const DESCRIBE_CONFIGS: &[Field] = &[
    field(Shape::Rows(&[field(I8), field(TEXT), field(TEXTS)])),
    field(I8),
    since(3, I8),
];

const ALTER_CONFIGS: &[Field] = &[
    field(Shape::Rows(&[field(I8), field(TEXT), field(PAIRS)])),
    field(I8),
];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    field(Shape::Rows(&[
        field(I8),
        field(TEXT),
        field(Shape::Rows(&[field(TEXT), field(I8), field(TEXT)])),
    ])),
    field(I8),
];

const CREATE_PARTITIONS: &[Field] = &[
    field(Shape::Rows(&[
        field(TEXT),
        field(I32),
        field(Shape::Rows(&[field(INDEXES)])),
    ])),
    field(I32),
    field(I8),
];

const OFFSET_DELETE: &[Field] = &[
    field(TEXT),
    field(Shape::Rows(&[
        field(TEXT),
        field(Shape::Rows(&[field(I32)])),
    ])),
];
