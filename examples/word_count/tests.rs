//! The example's parts on their own, and the whole of it, short.

mod audit;
mod topology;

use onceflow::prelude::*;
use onceflow_examples::testing::run_example;

use topology::{COUNTS, LINES, word_count};

#[test]
fn words_are_counted_across_lines_whatever_their_case() {
    let driver = TestDriver::new(word_count([LINES, COUNTS]).unwrap()).unwrap();
    let lines = driver.input_topic(LINES, utf8(), utf8());
    for line in ["To be, or", "not to be."] {
        lines.pipe("", line, Timestamp::from_millis(0)).unwrap();
    }
    let counts = driver.output_topic(COUNTS, utf8(), i64());
    let counts = counts.read_key_values().unwrap();
    let last: Vec<_> = counts.iter().rev().take(2).collect();
    assert_eq!(last, [&("be".to_owned(), 2), &("to".to_owned(), 2)]);
}

#[test]
fn it_counts_every_word_once_although_it_is_stopped_half_way() {
    let said = run_example("word_count", &["--lines=3000"]);
    assert!(said.contains("the application was closed"), "{said}");
    assert!(
        said.contains("\nPASSED: every word was counted exactly once"),
        "{said}"
    );
}
