//! The figures as a picture: how a put and what is stored grow with a thread.

use std::fmt::Write as _;

use crate::figures::Figures;
use crate::report;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 340.0;
/// One panel: its curves, without what is written around them.
const PANEL: (f64, f64) = (300.0, 210.0);
const TOP: f64 = 70.0;
const LEFTS: [f64; 2] = [70.0, 490.0];

const STYLE: &str = "text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: 600 }
.axis { stroke: #8c959f; stroke-opacity: .4 }
.line { fill: none; stroke-width: 2 }
.s0 { stroke: #0969da } text.s0 { stroke: none; fill: #0969da }
.s1 { stroke: #bc4c00 } text.s1 { stroke: none; fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.s0 { stroke: #58a6ff } text.s0 { fill: #58a6ff }
.s1 { stroke: #f0883e } text.s1 { fill: #f0883e }
}";

/// Draws one line for each of the figures.
pub(crate) fn draw(figures: &[&Figures]) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n\
         <title>Put latency and stored bytes by step</title>\n<style>{STYLE}</style>\n"
    );
    for (index, figures) in figures.iter().enumerate() {
        let (x, name) = (LEFTS[0] + 210.0 * index as f64, figures.system.name());
        let _ = writeln!(
            out,
            "<text class=\"s{index}\" x=\"{x}\" y=\"24\">{name}</text>"
        );
    }
    let latencies = figures.iter().map(|of| of.put_by_step.clone());
    panel(
        &mut out,
        LEFTS[0],
        "one put, by step (median)",
        &latencies.collect::<Vec<_>>(),
        |value| format!("{value:.1} ms"),
    );
    let weights = figures.iter().map(|of| {
        let weights = of.bytes_by_step.iter();
        weights
            .map(|(step, bytes)| (*step, *bytes as f64))
            .collect()
    });
    panel(
        &mut out,
        LEFTS[1],
        "stored, by step",
        &weights.collect::<Vec<_>>(),
        |value| report::bytes(value as i64),
    );
    out += "</svg>\n";
    out
}

fn panel(
    out: &mut String,
    left: f64,
    title: &str,
    lines: &[Vec<(usize, f64)>],
    label: impl Fn(f64) -> String,
) {
    let (width, height) = PANEL;
    let bottom = TOP + height;
    let points = || lines.iter().flatten();
    let steps = points().map(|(step, _)| *step).max().unwrap_or(1);
    let most = points().map(|(_, value)| *value).fold(0.0, f64::max);
    let _ = writeln!(
        out,
        "<text class=\"title\" x=\"{left}\" y=\"{}\">{title}</text>",
        TOP - 14.0
    );
    for quarter in 0..=4 {
        let value = most * f64::from(quarter) / 4.0;
        let y = bottom - height * f64::from(quarter) / 4.0;
        let _ = writeln!(
            out,
            "<path class=\"axis\" d=\"M{left} {y}h{width}\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            y + 4.0,
            label(value)
        );
    }
    for half in 0..=2 {
        let x = left + width * f64::from(half) / 2.0;
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            steps * half as usize / 2
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">steps</text>",
        left + width / 2.0,
        bottom + 38.0
    );
    for (index, line) in lines.iter().enumerate() {
        let points = line.iter().map(|(step, value)| {
            let x = left + width * *step as f64 / steps as f64;
            let y = bottom - height * value / most.max(f64::MIN_POSITIVE);
            format!("{x:.1},{y:.1}")
        });
        let _ = writeln!(
            out,
            "<polyline class=\"line s{index}\" points=\"{}\"/>",
            points.collect::<Vec<_>>().join(" ")
        );
    }
}
