//! The audit: what the service told, against the visits that were made.
//!
//! # Invariants
//!
//! - Every claim can fail, and a test makes it fail.

use std::collections::{BTreeMap, BTreeSet};

use onceflow_examples::Result;
use onceflow_examples::finding::Finding;
use onceflow_examples::text::count;

use crate::heard::Heard;

/// The status of what is not there.
const NOT_FOUND: u16 = 404;

/// Holds the answers against the visits; `stranger` is the status of a page that nobody visited, and
/// at the end the service ended like this, and refuses connections or does not.
pub(crate) fn audit(
    made: &[&str],
    heard: &Heard,
    stranger: u16,
    (ended, refuses): (Result<()>, bool),
) -> Vec<Finding> {
    let mut real: BTreeMap<&str, i64> = BTreeMap::new();
    for page in made {
        *real.entry(page).or_default() += 1;
    }
    let told = heard.last.iter().map(|(page, told)| (&**page, *told));
    let told: BTreeMap<&str, i64> = told.filter(|(_, told)| *told != 0).collect();
    let pages: BTreeSet<&str> = real.keys().chain(told.keys()).copied().collect();
    let differ = pages.into_iter().filter_map(|page| {
        let of = |counts: &BTreeMap<&str, i64>| counts.get(page).copied().unwrap_or(0);
        let (there, told) = (of(&real), of(&told));
        (there != told).then(|| format!("{page} was visited {there} times, told {told}"))
    });
    let unknown = (stranger != NOT_FOUND).then(|| format!("the answer was {stranger}"));
    let failed = ended.err().map(|error| error.to_string());
    let open = (!refuses).then(|| "it takes connections still".to_owned());
    vec![
        Finding::new(
            "every visit is counted once when all are counted",
            format!("{} visits", count(made.len())),
            differ,
        ),
        Finding::new(
            "no answer falls, or runs ahead of the visits",
            format!("{} answers", count(heard.answers)),
            heard.wrong.iter().cloned(),
        ),
        Finding::new(
            "a page that nobody visited is not found",
            "1 page".to_owned(),
            unknown.into_iter(),
        ),
        Finding::new(
            "told to end, the service ends cleanly",
            "1 end".to_owned(),
            failed.into_iter().chain(open),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: &str = "every visit is counted once when all are counted";
    const UNSTEADY: &str = "no answer falls, or runs ahead of the visits";

    /// The claims that do not hold when this is told of two visits to a and one to b.
    fn broken(told: &[(&str, i64)], stranger: u16, end: (Result<()>, bool)) -> Vec<&'static str> {
        let mut heard = Heard::default();
        for (page, visits) in told {
            heard.note(page, *visits, 2);
        }
        let findings = audit(&["a", "b", "a"], &heard, stranger, end).into_iter();
        let broken = findings.filter(|finding| !finding.holds());
        broken.map(|finding| finding.claim).collect()
    }

    #[test]
    fn what_is_right_passes() {
        let told = [("a", 0), ("a", 1), ("b", 1), ("a", 2), ("c", 0)];
        assert_eq!(broken(&told, 404, (Ok(()), true)), [""; 0]);
    }

    #[test]
    fn a_wrong_count_is_found() {
        for told in [
            [("a", 2), ("b", 2)],
            [("a", 1), ("b", 1)],
            [("a", 2), ("c", 1)],
        ] {
            assert_eq!(broken(&told, 404, (Ok(()), true)), [WRONG], "{told:?}");
        }
    }

    #[test]
    fn a_count_that_falls_or_runs_ahead_is_found() {
        for ahead in [
            [("b", 1), ("a", 3), ("a", 2)],
            [("a", 2), ("a", 1), ("a", 2)],
        ] {
            let broken = broken(&ahead, 404, (Ok(()), true));
            assert!(broken.contains(&UNSTEADY), "{broken:?}");
        }
    }

    #[test]
    fn a_stranger_and_an_unclean_end_are_found() {
        let told = [("a", 2), ("b", 1)];
        let unclean = "told to end, the service ends cleanly";
        let stranger = "a page that nobody visited is not found";
        assert_eq!(broken(&told, 200, (Ok(()), true)), [stranger]);
        assert_eq!(broken(&told, 404, (Ok(()), false)), [unclean]);
        assert_eq!(broken(&told, 404, (Err("lost".into()), true)), [unclean]);
    }
}
