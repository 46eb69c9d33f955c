//! The figures as a picture: how a put and what is stored grow with a thread.

use std::fmt::Write as _;

use crate::figures::Figures;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 350.0;
/// One panel: its curves, without what is written around them.
const PANEL: (f64, f64) = (285.0, 210.0);
const TOP: f64 = 82.0;
const LEFTS: [f64; 2] = [74.0, 520.0];
/// The height of a line's label.
const LABEL: f64 = 15.0;

/// It has a background of its own, because a page's may differ from what the reader prefers.
const STYLE: &str = "text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.back { fill: #ffffff; stroke: #d1d9e0 }
.title { font-size: 15px; font-weight: 600 }
.axis { stroke: #818b98; stroke-opacity: .35 }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round }
.end { font-weight: 600 }
.s0 { stroke: #0969da } text.s0 { stroke: none; fill: #0969da }
.s1 { stroke: #bc4c00 } text.s1 { stroke: none; fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.back { fill: #0d1117; stroke: #3d444d }
.axis { stroke: #9198a1 }
.s0 { stroke: #4493f8 } text.s0 { fill: #4493f8 }
.s1 { stroke: #f0883e } text.s1 { fill: #f0883e }
}";

/// One line: points of a step and a value.
type Line = Vec<(usize, f64)>;

/// Draws one line for each of the figures.
pub(crate) fn draw(figures: &[&Figures]) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n\
         <title>Put latency and stored bytes by step</title>\n<style>{STYLE}</style>\n\
         <rect class=\"back\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n",
        WIDTH - 1.0,
        HEIGHT - 1.0
    );
    for (index, figures) in figures.iter().enumerate() {
        let (x, name) = (LEFTS[0] + 190.0 * index as f64, figures.system.name());
        let _ = writeln!(
            out,
            "<path class=\"line s{index}\" d=\"M{x} 24h22\"/>\
             <text class=\"s{index}\" x=\"{}\" y=\"28.5\">{name}</text>",
            x + 30.0
        );
    }
    let latencies = figures.iter().map(|of| of.put_by_step.clone());
    panel(
        &mut out,
        LEFTS[0],
        "One put, by step (median)",
        &latencies.collect::<Vec<_>>(),
        |value| short(value, "ms"),
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
        "Stored, by step",
        &weights.collect::<Vec<Line>>(),
        |value| match value {
            1e6.. => short(value / 1e6, "MB"),
            _ => short(value / 1e3, "kB"),
        },
    );
    out += "</svg>\n";
    out
}

fn panel(out: &mut String, left: f64, title: &str, lines: &[Line], label: impl Fn(f64) -> String) {
    let (width, height) = PANEL;
    let bottom = TOP + height;
    let points = || lines.iter().flatten();
    let steps = points().map(|(step, _)| *step).max().unwrap_or(1);
    let most = points().map(|(_, value)| *value).fold(0.0, f64::max);
    let tick = tick(most);
    let ticks = (most / tick).ceil().max(1.0);
    let y_of = |value: f64| bottom - height * value / (tick * ticks);
    let _ = writeln!(
        out,
        "<text class=\"title\" x=\"{left}\" y=\"{}\">{title}</text>",
        TOP - 18.0
    );
    for at in 0..=ticks as usize {
        let value = tick * at as f64;
        let y = y_of(value);
        let _ = writeln!(
            out,
            "<path class=\"axis\" d=\"M{left} {y:.1}h{width}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            y + 4.5,
            if at == 0 {
                "0".to_owned()
            } else {
                label(value)
            }
        );
    }
    for half in 0..=2 {
        let x = left + width * f64::from(half) / 2.0;
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 20.0,
            steps * half as usize / 2
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">steps</text>",
        left + width / 2.0,
        bottom + 40.0
    );
    let mut taken: Vec<f64> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let points = line.iter().map(|(step, value)| {
            let x = left + width * *step as f64 / steps as f64;
            format!("{x:.1},{:.1}", y_of(*value))
        });
        let _ = writeln!(
            out,
            "<polyline class=\"line s{index}\" points=\"{}\"/>",
            points.collect::<Vec<_>>().join(" ")
        );
        let Some((_, last)) = line.last() else {
            continue;
        };
        // Above the labels that it would cover.
        let mut y = y_of(*last) + 4.5;
        while let Some(other) = taken.iter().find(|other| (*other - y).abs() < LABEL) {
            y = other - LABEL;
        }
        taken.push(y);
        let _ = writeln!(
            out,
            "<text class=\"end s{index}\" x=\"{}\" y=\"{y:.1}\">{}</text>",
            left + width + 8.0,
            label(*last)
        );
    }
}

/// A figure of two or three digits.
fn short(value: f64, unit: &str) -> String {
    let digits = match value {
        10.0.. => 0,
        _ if value.fract() == 0.0 => 0,
        1.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// A round distance between lines, of which about four fit below the greatest value.
fn tick(most: f64) -> f64 {
    let rough = (most / 4.0).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 2.5, 5.0, 10.0];
    let fitting = times.into_iter().find(|times| times * power >= rough);
    fitting.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::tick;

    #[test]
    fn ticks_are_round_and_about_four() {
        for (most, expected) in [
            (22.3, 10.0),
            (2.9, 1.0),
            (134.0, 50.0),
            (8.0, 2.0),
            (1.0, 0.25),
        ] {
            assert_eq!(tick(most), expected, "{most}");
        }
    }
}
