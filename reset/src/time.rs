//! Times and spans as people write them: ISO 8601.

use std::time::Duration;

use onceflow_framework::Timestamp;

const TIME: &str = "expected a time like 2025-11-21T19:00:00Z";
const SPAN: &str = "expected a span like PT30M or P1DT12H";

/// A time: date, `T`, time of day, with a fraction or without, and `Z`, an offset, or nothing,
/// which is UTC.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    parse_instant(text).ok_or_else(|| TIME.to_owned())
}

fn parse_instant(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, offset_ms) = split_offset(rest)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let valid = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !valid || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    let millis = seconds * 1_000 + millis_of(fraction)? - offset_ms;
    (millis >= 0).then_some(Timestamp::from_millis(millis))
}

/// Splits `Z` or `+01:00` off; answers what it is in milliseconds.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, 0));
    };
    let [hours, minutes] = numbers(&text[at + 1..], ':', [2, 2])?;
    let millis = (hours * 60 + minutes) * 60_000;
    let valid = hours <= 18 && minutes <= 59;
    let signed = if text[at..].starts_with('-') {
        -millis
    } else {
        millis
    };
    valid.then_some((&text[..at], signed))
}

/// Numbers of just so many digits.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut parts = text.split(between);
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = part
            .bytes()
            .all(|it| it.is_ascii_digit())
            .then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

/// Milliseconds of what stands behind the point; finer ones are cut off.
fn millis_of(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{fraction:0<3}");
    padded.get(..3)?.parse().ok()
}

fn days_of(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leaps = before / 4 - before / 100 + before / 400 - 477;
    let months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    (year - 1970) * 365 + leaps + months + day - 1
}

/// A span: `P`, days, `T`, hours, minutes and seconds; each may be left out, but not all.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let seconds = parse_span(text).ok_or_else(|| SPAN.to_owned())?;
    Ok(Duration::from_secs(seconds))
}

fn parse_span(text: &str) -> Option<u64> {
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, time)) => (days, Some(time)),
        None => (text.strip_prefix('P')?, None),
    };
    if time.is_some_and(str::is_empty) || (days.is_empty() && time.is_none()) {
        return None;
    }
    let days = units(days, &[('D', 86_400)])?;
    let time = units(time.unwrap_or(""), &[('H', 3_600), ('M', 60), ('S', 1)])?;
    days.checked_add(time)
}

/// The sum of numbers with units, in the order of the units.
fn units(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut sum: u64 = 0;
    for (unit, seconds) in units {
        if let Some((number, rest)) = text.split_once(*unit) {
            let digits = number.bytes().all(|it| it.is_ascii_digit());
            let number: u64 = digits.then(|| number.parse().ok())??;
            sum = sum.checked_add(number.checked_mul(*seconds)?)?;
            text = rest;
        }
    }
    text.is_empty().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-02T00:00:00.25Z", 86_400_250),
            ("2000-02-29T12:34:56.789", 951_827_696_789),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
            ("2024-12-31T23:59:59Z", 1_735_689_599_000),
            ("2025-11-21T19:00:00+01:00", 1_763_748_000_000),
            ("2025-11-21T19:00:00-01:30", 1_763_757_000_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000),
        ] {
            assert_eq!(instant(text), Ok(Timestamp::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2025-11-21",
            "2025-11-21 19:00:00",
            "2025-11-21T19:00",
            "2025-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-11-21T24:00:00Z",
            "2025-11-21T19:00:00.1x",
            "2025-11-21T19:00:00+1",
            "1969-12-31T23:59:59Z",
            "25-11-21T19:00:00Z",
            "+025-11-21T19:00:00Z",
        ] {
            assert_eq!(instant(text), Err(TIME.to_owned()), "{text}");
        }
    }

    #[test]
    fn spans_are_read() {
        for (text, seconds) in [
            ("PT30M", 1_800),
            ("P1D", 86_400),
            ("P1DT12H", 129_600),
            ("PT1H2M3S", 3_723),
            ("PT0S", 0),
        ] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "", "P", "PT", "P1DT", "1D", "PT1D", "PT1S2M", "P-1D", "PT1.5S", "PTM",
        ] {
            assert_eq!(span(text), Err(SPAN.to_owned()), "{text}");
        }
    }
}
