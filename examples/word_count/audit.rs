//! The audit: every count that was ever told, against the words of the text.
//!
//! # Invariants
//!
//! - Every claim can fail, and a test makes it fail.

use std::collections::BTreeMap;

use onceflow_examples::finding::Finding;
use onceflow_examples::text::count;

use crate::topology::words;

/// Holds what was told, in the order of each partition, against the text.
pub(crate) fn audit(lines: &[String], told: &[(String, i64)]) -> Vec<Finding> {
    let mut real: BTreeMap<String, i64> = BTreeMap::new();
    for word in lines.iter().flat_map(|line| words(line)) {
        *real.entry(word).or_default() += 1;
    }
    let (mut last, mut jumps) = (BTreeMap::new(), Vec::new());
    for (word, count) in told {
        let before: i64 = last.insert(word, *count).unwrap_or(0);
        if *count != before + 1 {
            jumps.push(format!("'{word}' was {before} and then {count}"));
        }
    }
    let total: i64 = real.values().sum();
    let lost = real.iter().filter_map(|(word, there)| {
        let counted = last.get(word).copied().unwrap_or(0);
        (counted != *there).then(|| format!("'{word}' is there {there} times, counted {counted}"))
    });
    let strangers = last.keys().filter(|word| !real.contains_key(**word));
    let strangers = strangers.map(|word| format!("'{word}' is not in the text"));
    vec![
        Finding::new(
            "every count is one more than the one before it",
            format!("{} counts", count(told.len())),
            jumps.into_iter(),
        ),
        Finding::new(
            "every word is counted as often as it is there",
            format!("{} words", count(total)),
            lost,
        ),
        Finding::new(
            "nothing else is counted",
            format!("{} different", count(last.len())),
            strangers,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The claims that do not hold when this is told of "to be or not to be".
    fn broken(told: &[(&str, i64)]) -> Vec<&'static str> {
        let told: Vec<_> = told
            .iter()
            .map(|(word, count)| ((*word).to_owned(), *count))
            .collect();
        let findings = audit(&["To be, or".to_owned(), "not to be!".to_owned()], &told);
        let broken = findings.into_iter().filter(|finding| !finding.holds());
        broken.map(|finding| finding.claim).collect()
    }

    const JUMP: &str = "every count is one more than the one before it";
    const WRONG: &str = "every word is counted as often as it is there";

    #[test]
    fn what_is_right_passes() {
        let told = [
            ("to", 1),
            ("be", 1),
            ("or", 1),
            ("not", 1),
            ("to", 2),
            ("be", 2),
        ];
        assert_eq!(broken(&told), [""; 0]);
    }

    #[test]
    fn a_word_that_is_counted_twice_is_found() {
        let told = [
            ("to", 1),
            ("be", 1),
            ("or", 1),
            ("not", 1),
            ("to", 2),
            ("be", 2),
            ("be", 3),
        ];
        assert_eq!(broken(&told), [WRONG]);
    }

    #[test]
    fn a_count_that_is_told_twice_is_found() {
        let told = [
            ("to", 1),
            ("be", 1),
            ("or", 1),
            ("or", 1),
            ("not", 1),
            ("to", 2),
            ("be", 2),
        ];
        assert_eq!(broken(&told), [JUMP]);
    }

    #[test]
    fn words_that_are_lost_or_made_up_are_found() {
        let told = [
            ("to", 1),
            ("be", 1),
            ("or", 1),
            ("not", 1),
            ("to", 2),
            ("two", 1),
        ];
        assert_eq!(broken(&told), [WRONG, "nothing else is counted"]);
        assert_eq!(broken(&[]), [WRONG]);
    }
}
