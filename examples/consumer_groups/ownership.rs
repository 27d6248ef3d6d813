//! Who owns which partition, as the members of a group were told.
//!
//! ```text
//!   a member's assignment:  version (2) ‖ topics (4), each: name ‖ partitions (4), each: number (4)
//! ```

use std::collections::BTreeMap;
use std::fmt;

use onceflow_examples::Result;

/// Owners of the partitions of a topic: the workers that claim each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Owners(pub(crate) BTreeMap<i32, Vec<String>>);

impl Owners {
    /// Nobody owns any of so many partitions.
    pub(crate) fn none(partitions: i32) -> Self {
        Owners((0..partitions).map(|number| (number, Vec::new())).collect())
    }

    /// A worker owns what its assignment says.
    pub(crate) fn add(&mut self, worker: &str, topic: &str, assignment: &[u8]) -> Result<()> {
        for partition in partitions_of(topic, assignment).ok_or("an assignment is cut short")? {
            self.0.entry(partition).or_default().push(worker.to_owned());
        }
        Ok(())
    }

    /// Whether each partition has exactly one.
    pub(crate) fn are_settled(&self) -> bool {
        self.0.values().all(|owners| owners.len() == 1)
    }

    /// The one worker that owns a partition.
    pub(crate) fn of(&self, partition: i32) -> Option<&str> {
        match self.0.get(&partition)?.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

impl fmt::Display for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self
            .0
            .iter()
            .map(|(partition, owners)| match owners.is_empty() {
                true => format!("{partition}: nobody"),
                false => format!("{partition}: {}", owners.join("+")),
            });
        f.write_str(&told.collect::<Vec<_>>().join("   "))
    }
}

/// The partitions of a topic in an assignment; none if it is cut short.
fn partitions_of(topic: &str, assignment: &[u8]) -> Option<Vec<i32>> {
    let mut rest = assignment.get(2..)?;
    let mut found = Vec::new();
    for _ in 0..int(&mut rest)? {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        rest = after;
        for _ in 0..int(&mut rest)? {
            let partition = int(&mut rest)?;
            if name == topic.as_bytes() {
                found.push(partition);
            }
        }
    }
    Some(found)
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Partitions 1 and 3 of `events`, and 7 of `other`.
    const ASSIGNMENT: &[u8] = b"\0\x01\0\0\0\x02\
        \0\x06events\0\0\0\x02\0\0\0\x01\0\0\0\x03\
        \0\x05other\0\0\0\x01\0\0\0\x07\xff\xff\xff\xff";

    #[test]
    fn an_assignment_is_read_topic_by_topic() {
        assert_eq!(partitions_of("events", ASSIGNMENT), Some(vec![1, 3]));
        assert_eq!(partitions_of("other", ASSIGNMENT), Some(vec![7]));
        assert_eq!(partitions_of("none", ASSIGNMENT), Some(vec![]));
    }

    #[test]
    fn an_assignment_that_is_cut_short_is_refused() {
        for end in 0..ASSIGNMENT.len() - 4 {
            assert_eq!(partitions_of("events", &ASSIGNMENT[..end]), None, "{end}");
        }
    }

    #[test]
    fn two_owners_of_a_partition_or_none_are_not_settled() {
        let mut owners = Owners::none(4);
        owners.add("worker-1", "events", ASSIGNMENT).unwrap();
        assert!(!owners.are_settled());
        owners.0.remove(&0);
        owners.0.remove(&2);
        assert!(owners.are_settled());
        assert_eq!(owners.of(3), Some("worker-1"));
        owners.add("worker-2", "events", ASSIGNMENT).unwrap();
        assert_eq!((owners.are_settled(), owners.of(3)), (false, None));
    }
}
