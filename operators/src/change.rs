//! What flows between tables: the new value of a key, and the old one where it is asked for.

use onceflow_framework::Position;
use onceflow_framework::serde::{Encoded, Serde, SerdeError, SharedSerde};

/// An update of one key; `new: None` deletes it.
///
/// `old` is only there if something downstream asked for old values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change<V> {
    pub(crate) old: Option<V>,
    pub(crate) new: Option<V>,
    /// What few changes have beside their values: nothing, for all others.
    pub(crate) aside: Option<Box<Aside<V>>>,
}

/// What is to be known of a change beside its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside<V> {
    /// The row is not `new` now: an update of a versioned table came out of order and has changed
    /// its history (KIP-914), and `old` is not what it replaced.
    is_overtaken: bool,
    logged: Option<LoggedOld<V>>,
    held: Option<Position>,
}

/// What Kafka Streams takes for the old value where that is not what was told as new before.
/// Nothing is computed from it: it is there for the bytes of a buffer's changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LoggedOld<V> {
    /// There is none.
    Nothing,
    /// What the table's rows begin with.
    Initial,
    /// A value that the row did not have, or has not told.
    Value(V),
}

impl<V> Change<V> {
    /// A change after which the row is `new`.
    pub(crate) fn latest(old: Option<V>, new: Option<V>) -> Self {
        Change {
            old,
            new,
            aside: None,
        }
    }

    /// The same, but it has changed the row's history only.
    pub(crate) fn overtaken(self) -> Self {
        Change {
            aside: Some(Box::new(Aside {
                is_overtaken: true,
                logged: None,
                held: None,
            })),
            ..self
        }
    }

    /// The same, with another old value for the changelogs of buffers, if there is one.
    pub(crate) fn logged_as(mut self, old: Option<LoggedOld<V>>) -> Self {
        if old.is_some() {
            self.aside = Some(Box::new(Aside {
                is_overtaken: false,
                logged: old,
                held: None,
            }));
        }
        self
    }

    /// The same, of a record that was held back and came from there.
    pub(crate) fn held_from(mut self, position: Option<Position>) -> Self {
        if let Some(aside) = &mut self.aside {
            aside.held = position;
        }
        self
    }

    /// Where the record came from, if a buffer that logs what is to be logged has held it back.
    pub(crate) fn held(&self) -> Option<&Position> {
        self.aside.as_ref().and_then(|aside| aside.held.as_ref())
    }

    /// Whether the row is `new` now.
    pub(crate) fn is_latest(&self) -> bool {
        self.aside.as_ref().is_none_or(|aside| !aside.is_overtaken)
    }

    /// The old value for the changelogs of buffers, if it is not `old`.
    pub(crate) fn logged_old(&self) -> Option<&LoggedOld<V>> {
        self.aside.as_ref().and_then(|aside| aside.logged())
    }
}

impl<V> Aside<V> {
    pub(crate) fn logged(&self) -> Option<&LoggedOld<V>> {
        self.logged.as_ref()
    }

    /// The same of a row whose old values are read from a store of its own.
    pub(crate) fn stored<V2>(self) -> Box<Aside<V2>> {
        Box::new(Aside {
            is_overtaken: self.is_overtaken,
            logged: None,
            held: self.held,
        })
    }

    /// The same of a row that is computed from this one.
    pub(crate) fn computed<V2>(
        self,
        compute: impl FnOnce(Option<V>) -> Option<V2>,
    ) -> Box<Aside<V2>> {
        let value = |value| compute(value).map_or(LoggedOld::Nothing, LoggedOld::Value);
        Box::new(Aside {
            is_overtaken: self.is_overtaken,
            held: self.held,
            logged: self.logged.map(|logged| match logged {
                LoggedOld::Initial => LoggedOld::Initial,
                LoggedOld::Nothing => value(None),
                LoggedOld::Value(row) => value(Some(row)),
            }),
        })
    }
}

/// Writes changes as Kafka Streams does: values, then a byte that says which.
///
/// ```text
///   old ‖ 00        new ‖ 01        zigzag varint(length of new) ‖ new ‖ old ‖ 02
/// ```
///
/// 03 to 05 are the same with one more byte before the last, whether the change is the latest; they
/// are read, not written: what is not the latest goes nowhere.
pub(crate) struct ChangeSerde<V>(pub(crate) SharedSerde<V>);

const OLD: u8 = 0;
const NEW: u8 = 1;
const BOTH: u8 = 2;
/// Added to the three above by writers that also say whether the change is the latest.
const WITH_LATEST: u8 = 3;

impl<V: 'static> Serde for ChangeSerde<V> {
    type Item = Change<V>;

    fn serialize(&self, change: &Change<V>, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        let bytes = |value: &Option<V>| match value {
            Some(value) => self.0.to_vec(value),
            None => Ok(None),
        };
        match (bytes(&change.old)?, bytes(&change.new)?) {
            (None, None) => return Err(SerdeError::new("a change from null to null")),
            (Some(old), None) => {
                out.extend_from_slice(&old);
                out.push(OLD);
            }
            (None, Some(new)) => {
                out.extend_from_slice(&new);
                out.push(NEW);
            }
            (Some(old), Some(new)) => {
                write_length(new.len(), out)?;
                out.extend_from_slice(&new);
                out.extend_from_slice(&old);
                out.push(BOTH);
            }
        }
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Change<V>, SerdeError> {
        let cut = || SerdeError::new("a change is cut short");
        let (mut kind, mut values) = match bytes.and_then(<[u8]>::split_last) {
            Some((kind, values)) => (*kind, values),
            None => return Err(cut()),
        };
        let mut is_latest = true;
        if (WITH_LATEST..=WITH_LATEST + BOTH).contains(&kind) {
            kind -= WITH_LATEST;
            let (latest, rest) = values.split_last().ok_or_else(cut)?;
            (is_latest, values) = (*latest != 0, rest);
        }
        let value = |bytes: &[u8]| self.0.deserialize(Some(bytes)).map(Some);
        let (old, new) = match kind {
            OLD => (value(values)?, None),
            NEW => (None, value(values)?),
            BOTH => {
                let (length, values) = read_length(values).ok_or_else(cut)?;
                let (new, old) = values.split_at_checked(length).ok_or_else(cut)?;
                (value(old)?, value(new)?)
            }
            other => return Err(SerdeError::new(format!("a change of unknown kind {other}"))),
        };
        let change = Change::latest(old, new);
        Ok(match is_latest {
            true => change,
            false => change.overtaken(),
        })
    }
}

/// Seven bits a byte, least first, of the doubled length: Kafka's signed varint.
fn write_length(length: usize, out: &mut Vec<u8>) -> Result<(), SerdeError> {
    let length = i32::try_from(length).map_err(|error| SerdeError::because("too long", error))?;
    let mut rest = length.unsigned_abs() << 1;
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
    Ok(())
}

/// The length and what follows it; none if it is cut short, too long or negative.
fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0u32;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        length |= u32::from(byte & 0x7f).checked_shl(7 * u32::try_from(index).ok()?)?;
        if byte & 0x80 == 0 {
            let is_negative = length & 1 == 1;
            let length = usize::try_from(length >> 1).ok()?;
            return (!is_negative).then_some((length, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use onceflow_framework::serde::utf8;
    use proptest::prelude::*;

    use super::*;

    fn serde() -> ChangeSerde<String> {
        ChangeSerde(SharedSerde::new(utf8()))
    }

    fn change(old: Option<&str>, new: Option<&str>) -> Change<String> {
        let owned = |value: Option<&str>| value.map(str::to_owned);
        Change::latest(owned(old), owned(new))
    }

    #[test]
    fn changes_have_the_bytes_that_java_writes() {
        for (change, expected) in [
            (change(None, Some("x1")), &b"x1\x01"[..]),
            (change(Some("x1"), Some("x2")), b"\x04x2x1\x02"),
            (change(Some("x2"), None), b"x2\x00"),
        ] {
            let mut out = Vec::new();
            assert_eq!(
                serde().serialize(&change, &mut out).unwrap(),
                Encoded::Bytes
            );
            assert_eq!(out, expected);
        }
        let long = "y".repeat(70);
        let mut out = Vec::new();
        let _bytes = serde()
            .serialize(&change(Some("z"), Some(&long)), &mut out)
            .unwrap();
        assert_eq!(out[..2], [0x8c, 0x01]);
    }

    #[test]
    fn changes_that_say_whether_they_are_the_latest_are_read() {
        let read = |bytes: &[u8]| serde().deserialize(Some(bytes)).unwrap();
        assert_eq!(read(b"a\x01\x03"), change(Some("a"), None));
        assert_eq!(read(b"a\x01\x04"), change(None, Some("a")));
        assert_eq!(read(b"\x02ab\x01\x05"), change(Some("b"), Some("a")));
        assert_eq!(read(b"a\x00\x04"), change(None, Some("a")).overtaken());
    }

    #[test]
    fn bytes_that_are_no_change_are_an_error() {
        for bytes in [None, Some(&b""[..])] {
            assert!(serde().deserialize(bytes).is_err());
        }
        for bytes in [
            &b"a\x09"[..],
            b"\x03",
            b"\x02",
            b"\x7fa\x02",
            b"\x01a\x02",
            b"\xff\xff\xff\xff\xff\x02",
        ] {
            assert!(serde().deserialize(Some(bytes)).is_err(), "{bytes:?}");
        }
        assert!(
            serde()
                .serialize(&change(None, None), &mut Vec::new())
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn changes_round_trip(old in ".{0,80}", new in ".{0,200}", which in 0..3) {
            let change = change((which != 1).then_some(&*old), (which != 0).then_some(&*new));
            let mut out = Vec::new();
            let _bytes = serde().serialize(&change, &mut out).unwrap();
            prop_assert_eq!(serde().deserialize(Some(&out)).unwrap(), change);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            drop(serde().deserialize(Some(&bytes)));
        }
    }
}
