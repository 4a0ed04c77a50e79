//! Plots and pages of their own: inline SVG, no script, nothing from elsewhere,
//! as light or dark as their reader's screen and as readable on a narrow one.
//! Used by the report of a load test and by benches.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 288.0;
/// Around what is drawn, for numbers and labels.
const LEFT: f64 = 72.0;
const TOP: f64 = 36.0;
const RIGHT: f64 = 20.0;
const BOTTOM: f64 = 56.0;
/// From the border to the first and the last of marked values, which have
/// their numbers beside them.
const MARGIN: f64 = 32.0;
/// Lines across, at most.
const STEPS_MAX: f64 = 5.0;
const COLOURS: [&str; 7] = [
    "#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d",
];

// Letters of a plot shrink with it on a narrow screen, and are larger there.
const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;\
color:#1f2937;background:#fff}h1{font-size:1.5rem}h2{font-size:1.1rem;margin:2rem 0 .3rem}\
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .6rem;border-bottom:1px solid #e5e7eb;text-align:right}\
td:first-child,th:first-child{text-align:left}pre,.wide{overflow-x:auto}.wide td{white-space:nowrap}svg{display:block;width:100%;height:auto}\
text{font:11px system-ui,sans-serif;fill:#4b5563}\
text.value{fill:#1f2937;paint-order:stroke;stroke:#fff;stroke-width:4px}\
.names span{white-space:nowrap;margin-right:1.2em}\
.doubt{background:#fef3c7;padding:.5rem .8rem;border-left:4px solid #d97706}\
@media(max-width:36rem){body{margin:1rem auto}text{font-size:19px}td,th{padding:.25rem .2rem}.wide{font-size:12px}}\
@media(prefers-color-scheme:dark){body{color:#e5e7eb;background:#111827}td,th{border-color:#374151}text{fill:#9ca3af}\
text.value{fill:#e5e7eb;stroke:#111827}.doubt{color:#1f2937}}";

/// Text as it stands in a page.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A whole page around `body`.
pub fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title}</h1>{body}</html>"
    )
}

/// A line of a plot: its name and its points.
pub struct Line<'a> {
    pub name: &'a str,
    pub points: Vec<(f64, f64)>,
    /// How far values of each point were spread, if that is to be seen.
    pub spreads: Vec<(f64, f64)>,
}

/// How values are laid out along the first axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Even,
    /// Each mark is ten times the last.
    Decades,
    /// As far apart as their ratios are. The lines' own values are marked, and
    /// how high they are is written beside each point.
    Marked,
}

pub struct Plot<'a> {
    pub title: &'a str,
    /// What is along the first axis, and what up the second.
    pub along: &'a str,
    pub up: &'a str,
    pub scale: Scale,
}

impl Plot<'_> {
    /// As a part of a page, the lines' names below it; nothing of no points.
    pub fn svg(&self, lines: &[Line<'_>]) -> String {
        let Some(axes) = Axes::fit(self.scale, lines) else {
            return String::new();
        };
        let title = escaped(self.title);
        let mut svg = format!(
            "<h2>{title}</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
        );
        axes.write(&mut svg);
        let (middle, low) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 10.0);
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            svg,
            "<text x=\"{middle}\" y=\"{low}\" text-anchor=\"middle\">{}</text><text x=\"4\" y=\"15\">{}</text>",
            escaped(self.along),
            escaped(self.up)
        );
        let mut names = String::new();
        for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            axes.draw(&mut svg, line, colour);
            let _ = write!(
                names,
                "<span><b style=\"color:{colour}\">\u{25a0}</b> {}</span> ",
                escaped(line.name)
            );
        }
        if self.scale == Scale::Marked {
            axes.write_values(&mut svg, lines);
        }
        format!("{svg}</svg><p class=\"names\">{names}</p>")
    }
}

/// Where values are on a plot.
struct Axes {
    scale: Scale,
    /// Of the first axis, as they are laid out.
    low: f64,
    high: f64,
    top: f64,
    /// Between two lines across.
    step: f64,
    marks: Vec<f64>,
}

impl Axes {
    /// `None`: there is nothing to show.
    fn fit(scale: Scale, lines: &[Line<'_>]) -> Option<Self> {
        let mut axes = Axes {
            scale,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            top: 1e-9,
            step: 1.0,
            marks: Vec::new(),
        };
        for (x, y) in lines.iter().flat_map(|line| &line.points) {
            let at = axes.laid(*x);
            (axes.low, axes.high) = (axes.low.min(at), axes.high.max(at));
            axes.top = axes.top.max(*y);
            axes.marks.push(*x);
        }
        for (_, high) in lines.iter().flat_map(|line| &line.spreads) {
            axes.top = axes.top.max(*high);
        }
        if !axes.low.is_finite() {
            return None;
        }
        if scale == Scale::Marked {
            // The number above the highest point has room below the label.
            axes.top *= 1.1;
        }
        axes.step = step_of(axes.top);
        axes.top = (axes.top / axes.step).ceil() * axes.step;
        axes.mark();
        axes.high = axes.high.max(axes.low + 1e-9);
        Some(axes)
    }

    /// Decides on the values that stand below the first axis.
    fn mark(&mut self) {
        match self.scale {
            Scale::Marked => {
                self.marks.sort_by(f64::total_cmp);
                self.marks.dedup();
            }
            Scale::Decades => {
                (self.low, self.high) = (self.low.floor(), self.high.ceil());
                let powers = self.low as i32..=self.high as i32;
                self.marks = powers.map(|power| 10_f64.powi(power)).collect();
            }
            Scale::Even => {
                let step = step_of(self.high - self.low);
                let first = (self.low / step).ceil() as i64;
                let last = (self.high / step + 1e-9).floor() as i64;
                self.marks = (first..=last).map(|count| count as f64 * step).collect();
            }
        }
    }

    fn laid(&self, x: f64) -> f64 {
        match self.scale {
            Scale::Even => x,
            Scale::Decades | Scale::Marked => x.max(1.0).log10(),
        }
    }

    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let margin = match self.scale {
            Scale::Marked => MARGIN,
            Scale::Even | Scale::Decades => 0.0,
        };
        let share = (self.laid(x) - self.low) / (self.high - self.low);
        let room = WIDTH - LEFT - RIGHT - 2.0 * margin;
        let height = HEIGHT - TOP - BOTTOM;
        let up = TOP + height * (1.0 - y / self.top);
        (LEFT + margin + share * room, up)
    }

    fn write(&self, svg: &mut String) {
        let steps = (self.top / self.step).round() as u32;
        for step in 0..=steps {
            let y = self.step * f64::from(step);
            let (_, up) = self.place(1.0, y);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{up:.1}\" y2=\"{up:.1}\" stroke=\"#9ca3af\" \
                 stroke-opacity=\".4\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                up + 4.0,
                short(y)
            );
        }
        let foot = HEIGHT - BOTTOM;
        for mark in &self.marks {
            let (across, _) = self.place(*mark, 0.0);
            let _ = write!(
                svg,
                "<line x1=\"{across:.1}\" x2=\"{across:.1}\" y1=\"{foot}\" y2=\"{}\" stroke=\"#9ca3af\"/>\
                 <text x=\"{across:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                foot + 4.0,
                foot + 20.0,
                short(*mark)
            );
        }
    }

    fn draw(&self, svg: &mut String, line: &Line<'_>, colour: &str) {
        let places: Vec<(f64, f64)> = line
            .points
            .iter()
            .map(|(x, y)| self.place(*x, *y))
            .collect();
        let points = places
            .iter()
            .map(|(across, up)| format!("{across:.1},{up:.1}"));
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            points.collect::<Vec<_>>().join(" ")
        );
        for ((x, _), (low, high)) in line.points.iter().zip(&line.spreads) {
            let ((across, from), (_, to)) = (self.place(*x, *low), self.place(*x, *high));
            let _ = write!(
                svg,
                "<line x1=\"{across:.1}\" x2=\"{across:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\" \
                 stroke=\"{colour}\" stroke-width=\"6\" stroke-opacity=\".3\"/>"
            );
        }
        if self.scale == Scale::Marked {
            for (across, up) in places {
                let _ = write!(
                    svg,
                    "<circle cx=\"{across:.1}\" cy=\"{up:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
                );
            }
        }
    }

    /// How high the points are: last, over everything drawn.
    fn write_values(&self, svg: &mut String, lines: &[Line<'_>]) {
        for (x, y) in lines.iter().flat_map(|line| &line.points) {
            let (across, up) = self.place(*x, *y);
            let _ = write!(
                svg,
                "<text class=\"value\" x=\"{across:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                up - 9.0,
                short(*y)
            );
        }
    }
}

/// Of a range: a round number that goes into it a few times.
fn step_of(range: f64) -> f64 {
    let least = (range / STEPS_MAX).max(1e-9);
    let power = 10_f64.powf(least.log10().floor());
    let round = [1.0, 2.0, 2.5, 5.0].into_iter().map(|times| times * power);
    // A hair less than needed is enough.
    let found = round.into_iter().find(|step| *step >= least * 0.999);
    found.unwrap_or(10.0 * power)
}

fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1e6 => format!("{}M", (value / 1e4).round() / 100.0),
        large if large >= 1e4 => format!("{}k", (value / 1e2).round() / 10.0),
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{}", (value * 10.0).round() / 10.0),
        _ => format!("{}", (value * 100.0).round() / 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(f64, f64)]) -> Line<'static> {
        Line {
            name: "a < b",
            points: points.to_vec(),
            spreads: Vec::new(),
        }
    }

    fn plot(scale: Scale) -> Plot<'static> {
        Plot {
            title: "T & U",
            along: "viewers",
            up: "ns",
            scale,
        }
    }

    #[test]
    fn steps_are_round_and_few() {
        for (range, due) in [
            (100.0, 20.0),
            (1_234.0, 250.0),
            (900.0, 200.0),
            (0.3, 0.1),
            (5.0, 1.0),
            (6.0, 2.0),
            (9.9, 2.0),
        ] {
            let step = step_of(range);
            assert!((step - due).abs() < due * 1e-9, "{range}: {step}");
        }
    }

    #[test]
    fn every_point_is_on_the_plot_and_higher_values_are_higher_up() {
        let points = [(20.0, 700.0), (50.0, 650.0), (2_000.0, 1_312.0)];
        for scale in [Scale::Even, Scale::Decades, Scale::Marked] {
            let axes = Axes::fit(scale, &[line(&points)]).unwrap();
            let places: Vec<_> = points.iter().map(|(x, y)| axes.place(*x, *y)).collect();
            for (across, up) in &places {
                assert!((LEFT..=WIDTH - RIGHT).contains(across), "{across}");
                assert!((TOP..=HEIGHT - BOTTOM).contains(up), "{up}");
            }
            assert!(places[0].0 < places[1].0 && places[1].0 < places[2].0);
            assert!(places[2].1 < places[0].1 && places[0].1 < places[1].1);
        }
    }

    #[test]
    fn marked_values_and_heights_are_written_and_names_escaped() {
        let mut shown = line(&[(20.0, 712.4), (50.0, 650.0)]);
        shown.spreads = vec![(700.0, 990.0), (640.0, 700.0)];
        let svg = plot(Scale::Marked).svg(&[shown]);
        for text in [
            ">20<",
            ">50<",
            ">712<",
            ">650<",
            ">1000<",
            ">viewers<",
            ">ns<",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(svg.contains("T &amp; U") && svg.contains("a &lt; b") && !svg.contains("a < b"));
        assert_eq!(plot(Scale::Even).svg(&[line(&[])]), "");
    }

    #[test]
    fn a_single_point_has_a_place() {
        for scale in [Scale::Even, Scale::Decades, Scale::Marked] {
            let svg = plot(scale).svg(&[line(&[(7.0, 3.0)])]);
            assert!(svg.contains("polyline") && !svg.contains("NaN") && !svg.contains("inf"));
        }
    }
}
