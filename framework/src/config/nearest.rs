//! The nearest known name to one that is not known.

/// The name that is fewest edits away, if that is few enough to be meant.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let scored = known.map(|known| (distance(name, known), known));
    let (edits, nearest) = scored.min()?;
    (edits <= edits_max(name)).then_some(nearest)
}

/// A typing error is one in six characters; a short name would match anything at that rate.
fn edits_max(name: &str) -> usize {
    (name.len() / 6).clamp(1, 4)
}

/// Characters to insert, remove, replace, or swap with a neighbour (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i.max(j);
                continue;
            }
            let replace = usize::from(left[i - 1] != right[j - 1]);
            let mut least = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + replace);
            let swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if swapped {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (left, right, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("acks", "acks", 0),
            ("akcs", "acks", 1), // neighbours swapped
            ("ack", "acks", 1),
            ("linger_ms", "linger.ms", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), edits, "{left} {right}");
            assert_eq!(distance(right, left), edits, "{right} {left}");
        }
    }

    #[test]
    fn a_name_that_is_far_from_all_has_no_nearest() {
        let known = ["acks", "linger.ms"];
        assert_eq!(nearest("linger.mss", known.into_iter()), Some("linger.ms"));
        assert_eq!(nearest("tls", known.into_iter()), None);
    }
}
