//! Records per second as bars, one group a case: an SVG that needs no other file.

use std::fmt::Write;

use super::contender::{Broker, Contender};
use super::results::{Measured, Results};
use super::table::median;
use super::targets::cases;
use crate::report::Run;
use crate::workload::Guarantee;

const WIDTH: u32 = 860;
const LABELS: u32 = 170;
const FIGURES: u32 = 210;
const BAR: u32 = 20;
const HEAD: u32 = 36;
const FOOT: u32 = 16;

/// The picture: second halves, because a JIT needs the first one. Weaker guarantees are left to the
/// table.
///
/// # Errors
///
/// Never: a string takes all that is written.
pub fn svg(results: &Results) -> Result<String, std::fmt::Error> {
    let mut cases = cases(results);
    cases.retain(|(_, _, guarantee, _), _| *guarantee == Guarantee::ExactlyOnce);
    let speed =
        |runs: &Vec<&Measured>| median(runs.iter().map(|m| m.run.warm_records_per_second()));
    let cpu =
        |runs: &Vec<&Measured>| median(runs.iter().map(|m| Run::warm_cpu_per_million(&m.run)));
    let speeds = cases.values().flat_map(|case| case.values().map(speed));
    let fastest = speeds.fold(1.0, f64::max);
    let bars: usize = cases.values().map(std::collections::BTreeMap::len).sum();
    let count = |length: usize| u32::try_from(length).unwrap_or(0);
    let height = HEAD * (count(cases.len()) + 1) + BAR * count(bars) + FOOT;
    let mut svg = String::new();
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(svg, r##"<rect width="100%" height="100%" fill="#fff"/>"##)?;
    writeln!(
        svg,
        r##"<text x="8" y="24" font-size="15">thousand records/s, and CPU seconds a million records: exactly once, second half, medians</text>"##
    )?;
    let mut y = HEAD;
    for ((broker, workload, _, threads), contenders) in &cases {
        y += HEAD;
        let plural = if *threads == 1 { "thread" } else { "threads" };
        let place = match broker {
            Broker::Kafka => "",
            Broker::Embedded => ", on the embedded broker",
        };
        writeln!(
            svg,
            r#"<text x="8" y="{}" font-weight="bold">{workload}, {threads} {plural}{place}</text>"#,
            y - 8
        )?;
        for (who, runs) in contenders {
            bar(&mut svg, y, *who, (speed(runs), fastest, cpu(runs)))?;
            y += BAR;
        }
    }
    writeln!(svg, "</svg>")?;
    Ok(svg)
}

fn bar(
    svg: &mut String,
    y: u32,
    who: Contender,
    (speed, fastest, cpu): (f64, f64, f64),
) -> std::fmt::Result {
    let width = speed / fastest * f64::from(WIDTH - LABELS - FIGURES);
    let (text, bar, colour) = (y + BAR - 7, BAR - 5, colour(who));
    let end = f64::from(LABELS) + width + 6.0;
    writeln!(svg, r#"<text x="16" y="{text}">{who}</text>"#)?;
    writeln!(
        svg,
        r#"<rect x="{LABELS}" y="{y}" width="{width:.0}" height="{bar}" fill="{colour}"/>"#
    )?;
    writeln!(
        svg,
        r##"<text x="{end:.0}" y="{text}">{:.0} k <tspan fill="#666">  {cpu:.2} CPU s/M</tspan></text>"##,
        speed / 1e3
    )
}

fn colour(who: Contender) -> &'static str {
    match who {
        Contender::Onceflow => "#c0392b",
        Contender::Handwritten => "#7f8c8d",
        Contender::KafkaStreamsTuned => "#2c6fad",
        Contender::KafkaStreamsDefault => "#9cc3e6",
    }
}
