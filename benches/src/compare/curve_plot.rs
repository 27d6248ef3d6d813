//! The curve as three panels over the rate, both axes logarithmic: p50, p99, the broker's CPU.

use std::fmt::Write;

use super::curve::Curve;
use super::results::Latency;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 40.0;
const GAP: f64 = 24.0;
const LEGEND_LINE: f64 = 20.0;
const COLOURS: [&str; 8] = [
    "#c0392b", "#2c6fad", "#27ae60", "#8e44ad", "#d68910", "#16a085", "#7f8c8d", "#2c3e50",
];

/// A panel: its title, and what is drawn.
type Panel = (&'static str, fn(&Latency) -> f64);

const PANELS: [Panel; 3] = [
    ("p50, ms", |point| point.p50_ms),
    ("p99, ms", |point| point.p99_ms),
    ("broker CPU, ms a commit", |point| {
        point.broker_ms_per_commit().unwrap_or(f64::NAN)
    }),
];

/// The picture.
///
/// # Errors
///
/// Never: a string takes all that is written.
pub fn svg(curve: &Curve) -> Result<String, std::fmt::Error> {
    let mut lines: Vec<(String, Vec<&Latency>)> = Vec::new();
    for point in &curve.points {
        let name = point.settings.join(", ");
        match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push(point),
            None => lines.push((name, vec![point])),
        }
    }
    let mut legend_lines = 0.0;
    lines.iter().for_each(|_| legend_lines += 1.0);
    let width = 3.0 * (LEFT + WIDTH + GAP);
    let height = TOP + HEIGHT + 56.0 + legend_lines * LEGEND_LINE;
    let mut svg = String::new();
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(svg, r##"<rect width="100%" height="100%" fill="#fff"/>"##)?;
    let mut left = LEFT;
    for panel in PANELS {
        draw(&mut svg, left, panel, &lines)?;
        left += LEFT + WIDTH + GAP;
    }
    let mut y = TOP + HEIGHT + 56.0;
    for ((name, _), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        writeln!(
            svg,
            r#"<rect x="{LEFT}" y="{:.0}" width="18" height="4" fill="{colour}"/><text x="{:.0}" y="{y:.0}">{name}</text>"#,
            y - 6.0,
            LEFT + 26.0
        )?;
        y += LEGEND_LINE;
    }
    writeln!(svg, "</svg>")?;
    Ok(svg)
}

/// A logarithmic axis over whole decades.
#[derive(Clone, Copy)]
struct Axis {
    from: f64,
    to: f64,
    start: f64,
    length: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, start: f64, length: f64) -> Self {
        let logs = values.filter(|value| *value > 0.0).map(f64::log10);
        let (low, high) = logs.fold((f64::MAX, f64::MIN), |(low, high), log| {
            (low.min(log), high.max(log))
        });
        let from = if low > high { 0.0 } else { low.floor() };
        Axis {
            from,
            to: high.ceil().max(from + 1.0),
            start,
            length,
        }
    }

    fn at(&self, value: f64) -> f64 {
        self.start + (value.log10() - self.from) / (self.to - self.from) * self.length
    }

    fn decades(&self) -> impl Iterator<Item = f64> + use<> {
        let (mut at, to) = (self.from, self.to);
        std::iter::from_fn(move || {
            let now = at;
            at += 1.0;
            (now <= to).then(|| 10_f64.powf(now))
        })
    }
}

fn draw(
    svg: &mut String,
    left: f64,
    (title, figure): Panel,
    lines: &[(String, Vec<&Latency>)],
) -> std::fmt::Result {
    let points = || lines.iter().flat_map(|(_, points)| points.iter());
    let x = Axis::over(points().map(|point| rate(point)), left, WIDTH);
    let y = Axis::over(points().map(|point| figure(point)), TOP + HEIGHT, -HEIGHT);
    let bottom = TOP + HEIGHT;
    writeln!(
        svg,
        r#"<text x="{left}" y="{:.0}" font-weight="bold">{title}</text>"#,
        TOP - 14.0
    )?;
    for value in x.decades() {
        let at = x.at(value);
        writeln!(
            svg,
            r##"<line x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{bottom}" stroke="#ddd"/><text x="{at:.1}" y="{:.0}" text-anchor="middle">{}</text>"##,
            bottom + 16.0,
            short(value)
        )?;
    }
    for value in y.decades() {
        let (at, right) = (y.at(value), left + WIDTH);
        writeln!(
            svg,
            r##"<line x1="{left}" x2="{right}" y1="{at:.1}" y2="{at:.1}" stroke="#ddd"/><text x="{:.0}" y="{:.1}" text-anchor="end">{}</text>"##,
            left - 6.0,
            at + 4.0,
            short(value)
        )?;
    }
    writeln!(
        svg,
        r#"<text x="{:.0}" y="{:.0}" text-anchor="middle">records/s</text>"#,
        left + WIDTH / 2.0,
        bottom + 34.0
    )?;
    for ((_, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let drawn = points.iter().filter(|point| figure(point) > 0.0);
        let path: Vec<String> = drawn
            .map(|point| format!("{:.1},{:.1}", x.at(rate(point)), y.at(figure(point))))
            .collect();
        writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            path.join(" ")
        )?;
        for place in &path {
            let (cx, cy) = place.split_once(',').unwrap_or_default();
            writeln!(
                svg,
                r#"<circle cx="{cx}" cy="{cy}" r="3" fill="{colour}"/>"#
            )?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a place on a picture")]
fn rate(point: &Latency) -> f64 {
    point.records_per_second as f64
}

/// `1000000` is `1 M`.
fn short(value: f64) -> String {
    match value {
        millions if millions >= 1e6 => format!("{:.0} M", millions / 1e6),
        thousands if thousands >= 1e3 => format!("{:.0} k", thousands / 1e3),
        whole if whole >= 1.0 => format!("{whole:.0}"),
        small => format!("{small}"),
    }
}
