//! The report as a page of its own.

use std::fmt::Write;

use super::{Report, Second, figure};
use crate::load::histogram::Histogram;
use crate::load::plot::{Line, Plot, Scale, escaped, page};
use crate::load::tally::STEPS;

fn curve<'a>(name: &'a str, histogram: &Histogram, scale: f64) -> Line<'a> {
    let points = histogram.curve().into_iter();
    Line {
        name,
        points: points
            .map(|(value, share)| (value as f64 * scale, share * 100.0))
            .collect(),
        spreads: Vec::new(),
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
        spreads: Vec::new(),
    }
}

pub fn html(report: &Report) -> String {
    let mut body = String::new();
    for doubt in &report.doubts {
        let _ = write!(body, "<p class=\"doubt\">{}</p>", escaped(doubt));
    }
    body += &table(report);
    body += &curves(report);
    body += &course(report);
    let plan = escaped(&format!("{:#}", report.plan.to_json()));
    body += &format!("<h2>Plan</h2><pre>{plan}</pre>");
    page(&format!("Load test of {}", report.plan.url), &body)
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
    let plot = |title, along, up| Plot {
        title,
        along,
        up,
        scale: Scale::Decades,
    };
    plot(
        "Joining",
        "ms from the participant's start",
        "% of participants through each step",
    )
    .svg(&steps)
        + &plot("One way", "\u{b5}s", "% of packets there by then").svg(&ways)
        + &plot("Packets read at once", "packets", "% of reads").svg(&runs)
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
    let plot = |title, up| Plot {
        title,
        along: "s of the run",
        up,
        scale: Scale::Even,
    };
    plot("Packets received each second", "packets").svg(&packets)
        + &plot("Joins", "participants").svg(&joins)
        + &plot("CPU", "% of one").svg(&cpu)
}
