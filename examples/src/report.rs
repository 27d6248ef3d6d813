//! How examples tell a person what they do: headings, measures, findings, and the last line.
//!
//! # Invariants
//!
//! - All of it goes to standard output; what is told on the way is [`progress`](crate::progress).
#![expect(clippy::print_stdout, reason = "reporting is what this module is for")]

use crate::finding::Finding;
use crate::text::{Style, count, styled};

/// A heading, set off from what comes before.
pub fn heading(text: &str) {
    println!("{}\n", styled(text, Style::Bold));
}

/// What a run is made with: a name and what stands behind it.
pub fn setting(name: &str, value: &str) {
    println!("  {name:<12} {value}");
}

/// A measure, and a remark on it.
pub fn row(name: &str, measure: &str, remark: &str) {
    println!(
        "{}",
        format!("  {name:<22} {measure:>12}   {remark}").trim_end()
    );
}

/// A line as it is, a table's for one.
pub fn line(text: &str) {
    println!("{}", format!("  {text}").trim_end());
}

/// An empty line.
pub fn gap() {
    println!();
}

/// A claim that was looked into, and the first things that speak against it.
pub fn finding(finding: &Finding) {
    let mark = match finding.holds() {
        true => styled("ok  ", Style::Green),
        false => styled("FAIL", Style::Red),
    };
    println!("  {mark}  {:<65} {:>20}", finding.claim, finding.extent);
    for example in &finding.examples {
        println!("          {example}");
    }
    match finding.violations - finding.examples.len() as u64 {
        0 => {}
        more => println!("          and {} more", count(more)),
    }
}

/// What to do about an example that fails.
pub const REPORT_IT: &str = "That is a bug in onceflow: please report it.";

/// The findings of an audit, and as the last line its verdict: what is proven, or what a failure
/// means. Answers whether all claims hold.
pub fn verdict(findings: &[Finding], proven: &str, failure: &str) -> bool {
    heading("Audit");
    findings.iter().for_each(finding);
    println!();
    let broken = findings.iter().filter(|finding| !finding.holds()).count();
    if broken == 0 {
        println!("{}: {proven}", styled("PASSED", Style::Green));
    } else {
        let of = findings.len();
        let failed = styled("FAILED", Style::Red);
        println!("{failed}: {broken} of {of} claims do not hold. {failure}");
    }
    broken == 0
}
