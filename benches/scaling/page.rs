//! What `scale` found as a page: of each grid a table, and a plot where several
//! sizes were measured.

use std::fmt::Write;

use ringhall::load::plot::{Line, Plot, Scale, escaped, page};

use crate::shared::grid::{Cell, Grid};
use crate::shared::samples::Samples;

type Of = fn(&Cell) -> &Samples;

const WAYS: [(&str, Of); 2] = [
    ("the core alone", |cell| &cell.core_ns),
    ("with the kernel", |cell| &cell.kernel_ns),
];

/// One grid's part of the page.
pub fn chapter(grid: Grid, cells: &[Cell]) -> String {
    let lines = WAYS.map(|(name, of)| line(name, of, cells));
    let lines: Vec<Line<'_>> = lines.into_iter().filter(|l| !l.points.is_empty()).collect();
    let title = format!("Cost of a forwarded packet against {}", grid.what());
    let plot = Plot {
        title: &title,
        along: grid.what(),
        up: "ns of CPU per forwarded packet",
        scale: Scale::Marked,
    };
    let picture = match cells {
        [_, _, ..] => plot.svg(&lines),
        _ => format!("<h2>{}</h2>", escaped(&title)),
    };
    picture + &table(grid, cells)
}

/// The whole page; `about` says what was measured where.
pub fn html(about: &str, chapters: &str) -> String {
    let body = format!(
        "<p>{}. Points are medians, bars reach from the least to the value 90 % are within.</p>{chapters}",
        escaped(about)
    );
    page("What forwarding a packet costs", &body)
}

/// Points of the sizes that were measured.
fn line<'a>(name: &'a str, of: Of, cells: &[Cell]) -> Line<'a> {
    let measured = cells.iter().filter(|cell| !of(cell).median().is_nan());
    let (points, spreads) = measured
        .map(|cell| {
            let samples = of(cell);
            let spread = (samples.quantile(0.0), samples.quantile(0.9));
            ((cell.size as f64, samples.median()), spread)
        })
        .unzip();
    Line {
        name,
        points,
        spreads,
    }
}

fn table(grid: Grid, cells: &[Cell]) -> String {
    let (base, _) = grid.goal();
    let mut rows = format!("<tr><th>{}</th>", grid.what());
    for (name, _) in WAYS {
        // Writing to a String cannot fail, here and below.
        let _ = write!(rows, "<th>{name}, ns</th><th>of {base}</th>");
    }
    rows += "</tr>";
    for cell in cells {
        let _ = write!(rows, "<tr><td>{}</td>", cell.size);
        for (_, of) in WAYS {
            let (cost, ratio) = (of(cell), grid.of_base(cells, of, cell));
            // A dash where it was not measured.
            let or_not = |value: f64, text: String| match value.is_nan() {
                true => "\u{2013}".to_string(),
                false => text,
            };
            let cost = or_not(cost.median(), cost.to_string());
            let ratio = or_not(ratio, format!("{ratio:.2}"));
            let _ = write!(rows, "<td>{cost}</td><td>{ratio}</td>");
        }
        rows += "</tr>";
    }
    format!("<div class=\"wide\"><table>{rows}</table></div>")
}
