//! What an audit finds: claims, and what speaks against each.
//!
//! # Invariants
//!
//! - A claim holds exactly if nothing speaks against it: what was not looked for is not claimed.

/// How many violations of a claim are told in full.
const EXAMPLES_MAX: usize = 3;

/// A claim, and what speaks against it.
#[derive(Debug)]
pub struct Finding {
    /// What shall hold.
    pub claim: &'static str,
    /// What the claim is about, counted.
    pub extent: String,
    /// How often it does not hold.
    pub violations: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

impl Finding {
    /// A claim and everything that violates it, in words.
    ///
    /// ```
    /// use onceflow_examples::finding::Finding;
    ///
    /// let odd = [2, 3, 4].into_iter().filter(|number| number % 2 == 1);
    /// let odd = odd.map(|number| format!("{number} is odd"));
    /// let finding = Finding::new("all are even", "3 numbers".to_owned(), odd);
    /// assert!(!finding.holds());
    /// assert_eq!(finding.examples, ["3 is odd"]);
    /// ```
    pub fn new(
        claim: &'static str,
        extent: String,
        violations: impl Iterator<Item = String>,
    ) -> Self {
        let mut finding = Finding {
            claim,
            extent,
            violations: 0,
            examples: Vec::new(),
        };
        for violation in violations {
            finding.violations += 1;
            if finding.examples.len() < EXAMPLES_MAX {
                finding.examples.push(violation);
            }
        }
        finding
    }

    /// Whether nothing speaks against it.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations == 0
    }
}
