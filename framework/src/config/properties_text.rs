//! Java's `.properties` text: `name = value` lines, `#` and `!` comments, `\` escapes.

use std::iter::Peekable;
use std::str::Chars;

/// The settings of a text in order, or what is wrong with a line.
pub(super) fn parse(text: &str) -> Vec<Result<(String, String), String>> {
    logical_lines(text)
        .into_iter()
        .map(|(number, line)| {
            let mut chars = line.chars().peekable();
            let name = unescape(&mut chars, |c| matches!(c, '=' | ':') || is_blank(c));
            let pair = name.and_then(|name| {
                skip_separator(&mut chars);
                Ok((name, unescape(&mut chars, |_| false)?))
            });
            pair.map_err(|problem| format!("line {number}: {problem}"))
        })
        .collect()
}

/// Lines without comments, joined where one ends in a backslash; with the number of the first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start_matches(is_blank);
        if !continues && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        let goes_on = backslashes % 2 == 1;
        let content = &line[..line.len() - usize::from(goes_on)];
        match lines.last_mut().filter(|_| continues) {
            Some((_, before)) => before.push_str(content),
            None => lines.push((index + 1, content.to_owned())),
        }
        continues = goes_on;
    }
    lines
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Blanks, one `=` or `:`, blanks.
fn skip_separator(chars: &mut Peekable<Chars<'_>>) {
    let mut skip_blanks = || while chars.next_if(|c| is_blank(*c)).is_some() {};
    skip_blanks();
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        while chars.next_if(|c| is_blank(*c)).is_some() {}
    }
}

/// Reads up to a character that ends the part, which stays.
fn unescape(
    chars: &mut Peekable<Chars<'_>>,
    ends: impl Fn(char) -> bool,
) -> Result<String, String> {
    let mut part = String::new();
    while let Some(c) = chars.next_if(|c| !ends(*c)) {
        if c != '\\' {
            part.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => part.push('\t'),
            Some('n') => part.push('\n'),
            Some('r') => part.push('\r'),
            Some('f') => part.push('\x0c'),
            Some('u') => part.push(unicode(chars)?),
            Some(other) => part.push(other),
            None => {}
        }
    }
    Ok(part)
}

/// Four hexadecimal digits, twice for what is outside the first 65536 characters.
fn unicode(chars: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    let mut unit = || {
        let digits: String = chars.by_ref().take(4).collect();
        u16::from_str_radix(&digits, 16).or(Err(format!("\\u{digits} is no character")))
    };
    let first = unit()?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first.into()).ok_or(format!("\\u{first:04x} is half a character"));
    }
    let escaped = chars.next() == Some('\\') && chars.next() == Some('u');
    let digits: String = chars.by_ref().take(4).collect();
    let second = u16::from_str_radix(&digits, 16).ok().filter(|_| escaped);
    let decoded = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    decoded.ok_or(format!("\\u{first:04x} is half a character"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shown = parse(text).into_iter().map(|line| match line {
            Ok((name, value)) => format!("{name}=<{value}>"),
            Err(problem) => problem,
        });
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expect, "{text:?}");
    }

    #[test]
    fn text_is_read_as_java_reads_it() {
        check("a=b", "a=<b>");
        check("a = b \n\n# c=d\n  ! e=f\ng:h", "a=<b > g=<h>");
        check("a b", "a=<b>");
        check("a==b", "a=<=b>");
        check("a", "a=<>");
        check("a=b,\\\n   c,\\\n d\ne=f", "a=<b,c,d> e=<f>");
        check("a=b\\\n# not a comment", "a=<b# not a comment>");
        check("a\\ b\\=c=d\\\\", "a b=c=<d\\>");
        check("a=\\t\\u00e9\\ud83d\\ude00\\x", "a=<\té😀x>");
        check("a=\r\nb=c\r\n", "a=<> b=<c>");
    }

    #[test]
    fn a_broken_escape_names_its_line() {
        check("a=b\nc=\\u12x4", "a=<b> line 2: \\u12x4 is no character");
        check("c=\\ud83dz", "line 1: \\ud83d is half a character");
    }
}
