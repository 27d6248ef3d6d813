//! Numbers and colours for people.

use std::fmt::Display;
use std::io::{IsTerminal, stdout};
use std::time::Duration;

/// A count with a comma at every third digit.
///
/// ```
/// assert_eq!(onceflow_examples::text::count(1_234_567), "1,234,567");
/// assert_eq!(onceflow_examples::text::count(-1_000), "-1,000");
/// ```
pub fn count(number: impl Display) -> String {
    let number = number.to_string();
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", &*number),
    };
    let mut text = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A span in seconds, with one decimal.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(onceflow_examples::text::seconds(Duration::from_millis(1_250)), "1.2 s");
/// ```
#[must_use]
pub fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

/// How a word is set off on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Good.
    Green,
    /// Bad.
    Red,
    /// A heading.
    Bold,
}

/// The text in this style, if standard output is a terminal and `NO_COLOR` is not set.
#[must_use]
pub fn styled(text: &str, style: Style) -> String {
    if !stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        return text.to_owned();
    }
    let code = match style {
        Style::Green => "1;32",
        Style::Red => "1;31",
        Style::Bold => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
