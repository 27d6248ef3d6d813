//! Records per second as bars, one group a case: an SVG that needs no other file.

use std::fmt::Write;

use super::contender::Contender;
use super::results::Results;
use super::table::{cases, median};
use crate::report::Run;

const WIDTH: u32 = 760;
const LABELS: u32 = 170;
const FIGURES: u32 = 90;
const BAR: u32 = 18;
const HEAD: u32 = 28;

/// The picture: second halves, because a JIT needs the first one.
///
/// # Errors
///
/// Never: a string takes all that is written.
pub fn svg(results: &Results) -> Result<String, std::fmt::Error> {
    let cases = cases(results);
    let speed = |runs: &Vec<&super::results::Measured>| {
        median(runs.iter().map(|m| Run::warm_records_per_second(&m.run)))
    };
    let fastest = cases
        .values()
        .flat_map(|c| c.values().map(speed))
        .fold(1.0, f64::max);
    let rows: usize = cases.values().map(std::collections::BTreeMap::len).sum();
    let height = HEAD * (u32::try_from(cases.len()).unwrap_or(0) + 1)
        + BAR * u32::try_from(rows).unwrap_or(0);
    let mut svg = String::new();
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(svg, r##"<rect width="100%" height="100%" fill="#fff"/>"##)?;
    let mut y = 0;
    for ((workload, guarantee, threads), contenders) in &cases {
        y += HEAD;
        let title = format!("{workload}, {guarantee}, threads {threads}: records/s (second half)");
        writeln!(
            svg,
            r#"<text x="8" y="{}" font-weight="bold">{title}</text>"#,
            y - 8
        )?;
        for (who, runs) in contenders {
            let speed = speed(runs);
            let width = speed / fastest * f64::from(WIDTH - LABELS - FIGURES);
            let (text, bar, colour) = (y + BAR - 6, BAR - 4, colour(*who));
            let end = f64::from(LABELS) + width + 6.0;
            writeln!(svg, r#"<text x="16" y="{text}">{who}</text>"#)?;
            writeln!(
                svg,
                r#"<rect x="{LABELS}" y="{y}" width="{width:.0}" height="{bar}" fill="{colour}"/>"#
            )?;
            writeln!(
                svg,
                r#"<text x="{end:.0}" y="{text}">{:.0} k</text>"#,
                speed / 1e3
            )?;
            y += BAR;
        }
    }
    writeln!(svg, "</svg>")?;
    Ok(svg)
}

fn colour(who: Contender) -> &'static str {
    match who {
        Contender::Onceflow => "#c0392b",
        Contender::Handwritten => "#7f8c8d",
        Contender::KafkaStreamsTuned => "#2c6fad",
        Contender::KafkaStreamsDefault => "#9cc3e6",
    }
}
