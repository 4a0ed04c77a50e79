//! The report as a page of its own: no script, nothing from elsewhere.

use std::fmt::Write;

use super::{Report, Second, figure};
use crate::load::histogram::Histogram;
use crate::load::tally::STEPS;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
/// Around a plot, for its numbers.
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 28.0;
const RIGHT: f64 = 40.0;
const COLOURS: [&str; 7] = [
    "#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d",
];

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;\
color:#1f2937;background:#fff}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .6rem;border-bottom:1px solid #e5e7eb;text-align:right}\
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}text{font:11px system-ui,sans-serif;fill:#4b5563}\
.doubt{background:#fef3c7;padding:.5rem .8rem;border-left:4px solid #d97706}\
@media(prefers-color-scheme:dark){body{color:#e5e7eb;background:#111827}td,th{border-color:#374151}text{fill:#9ca3af}.doubt{color:#1f2937}}";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A line of a plot: its name and its points.
struct Line<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
}

/// Where values are on a plot. `is_log`: each step along the first axis is ten
/// times the last.
struct Axes {
    is_log: bool,
    low: f64,
    high: f64,
    top: f64,
}

impl Axes {
    /// `None`: there is nothing to show.
    fn fit(is_log: bool, lines: &[Line<'_>]) -> Option<Self> {
        let mut axes = Axes {
            is_log,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            top: 1e-9,
        };
        for (x, y) in lines.iter().flat_map(|line| &line.points) {
            let x = axes.x_of(*x);
            (axes.low, axes.high) = (axes.low.min(x), axes.high.max(x));
            axes.top = axes.top.max(*y);
        }
        if is_log {
            (axes.low, axes.high) = (axes.low.floor(), axes.high.ceil());
        }
        axes.high = axes.high.max(axes.low + 1e-9);
        axes.low.is_finite().then_some(axes)
    }

    fn x_of(&self, x: f64) -> f64 {
        if self.is_log { x.max(1.0).log10() } else { x }
    }

    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let along = (self.x_of(x) - self.low) / (self.high - self.low);
        let across = LEFT + along * (WIDTH - LEFT - RIGHT);
        (across, (HEIGHT - BOTTOM) * (1.0 - y / self.top * 0.95))
    }

    fn write(&self, svg: &mut String, unit: &str) {
        for step in 0..=4 {
            let y = self.top * f64::from(step) / 4.0;
            let (_, up) = self.place(1.0, y);
            // Writing to a String cannot fail, here and below.
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{up:.1}\" y2=\"{up:.1}\" stroke=\"#9ca3af\" \
                 stroke-opacity=\".4\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                up + 4.0,
                short(y)
            );
        }
        let ticks: Vec<f64> = match self.is_log {
            true => (self.low as i32..=self.high as i32)
                .map(|power| 10_f64.powi(power))
                .collect(),
            false => (0..=5)
                .map(|step| self.low + (self.high - self.low) * f64::from(step) / 5.0)
                .collect(),
        };
        for tick in ticks {
            let (across, _) = self.place(tick, 0.0);
            let _ = write!(
                svg,
                "<text x=\"{across:.1}\" y=\"{}\" text-anchor=\"middle\">{}{unit}</text>",
                HEIGHT - 8.0,
                short(tick)
            );
        }
    }
}

/// A plot whose axes fit its lines, with their names below it.
fn plot(title: &str, unit: &str, is_log: bool, lines: &[Line<'_>]) -> String {
    let Some(axes) = Axes::fit(is_log, lines) else {
        return String::new();
    };
    let title = escaped(title);
    let mut svg = format!(
        "<h2>{title}</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
    );
    axes.write(&mut svg, unit);
    let mut names = String::new();
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let points = line.points.iter().map(|(x, y)| {
            let (across, up) = axes.place(*x, *y);
            format!("{across:.1},{up:.1}")
        });
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            points.collect::<Vec<_>>().join(" ")
        );
        let _ = write!(
            names,
            "<span style=\"color:{colour}\">\u{25a0}</span> {} &nbsp; ",
            escaped(line.name)
        );
    }
    format!("{svg}</svg><p>{names}</p>")
}

fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1e6 => format!("{}M", (value / 1e5).round() / 10.0),
        large if large >= 1e3 => format!("{}k", (value / 1e2).round() / 10.0),
        large if large >= 10.0 || large == 0.0 => format!("{value:.0}"),
        _ => format!("{}", (value * 100.0).round() / 100.0),
    }
}

fn curve<'a>(name: &'a str, histogram: &Histogram, scale: f64) -> Line<'a> {
    let points = histogram.curve().into_iter();
    Line {
        name,
        points: points
            .map(|(value, share)| (value as f64 * scale, share * 100.0))
            .collect(),
    }
}

fn seconds<'a>(name: &'a str, report: &Report, of: impl Fn(&Second) -> f64) -> Line<'a> {
    Line {
        name,
        points: report
            .seconds
            .iter()
            .map(|second| (second.at_s, of(second)))
            .collect(),
    }
}

pub fn html(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Load test</title><style>{STYLE}</style><h1>Load test of {}</h1>",
        escaped(&report.plan.url)
    );
    for doubt in &report.doubts {
        let _ = write!(page, "<p class=\"doubt\">{}</p>", escaped(doubt));
    }
    page += &table(report);
    page += &curves(report);
    page += &course(report);
    let plan = escaped(&format!("{:#}", report.plan.to_json()));
    page + &format!("<h2>Plan</h2><pre>{plan}</pre></html>")
}

fn table(report: &Report) -> String {
    let mut rows = String::new();
    for (name, value) in report.figures().as_object().into_iter().flatten() {
        let name = name.replace('_', " ");
        let _ = write!(rows, "<tr><td>{name}</td><td>{}</td></tr>", figure(value));
    }
    for (cause, count) in &report.tally.failures {
        let cause = escaped(cause);
        let _ = write!(rows, "<tr><td>failed: {cause}</td><td>{count}</td></tr>");
    }
    format!("<h2>Figures</h2><table>{rows}</table>")
}

fn curves(report: &Report) -> String {
    let steps = STEPS.iter().filter_map(|step| {
        let histogram = report.tally.steps.get(*step)?;
        Some(curve(step, histogram, 1e-3))
    });
    let steps: Vec<Line<'_>> = steps.collect();
    let of = |name: &str| report.tally.histogram(name);
    let ways = [
        curve("through the server", &of("latency_us"), 1.0),
        curve("the generator to itself", &of("baseline_us"), 1.0),
    ];
    let runs = [curve("packets", &of("train"), 1.0)];
    plot(
        "Joining: % of participants through each step",
        " ms",
        true,
        &steps,
    ) + &plot(
        "One way: % of packets there by then",
        " \u{b5}s",
        true,
        &ways,
    ) + &plot("Packets read at once: % of reads", "", false, &runs)
}

/// What happened second by second.
fn course(report: &Report) -> String {
    let packets = [seconds("packets", report, |second| second.packets as f64)];
    let joins = [
        seconds("through", report, |second| second.joins as f64),
        seconds("failed", report, |second| second.failed as f64),
    ];
    let cpu = [
        seconds("server", report, |second| second.server_cpu * 100.0),
        seconds("generator", report, |second| second.generator_cpu * 100.0),
    ];
    plot("Packets received each second", " s", false, &packets)
        + &plot("Joins", " s", false, &joins)
        + &plot("CPU, % of one", " s", false, &cpu)
}
