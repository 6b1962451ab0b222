//! Plots as SVG: lines over linear or logarithmic axes, readable on light and on dark pages.

use std::fmt::Write as _;

/// A plot to be drawn.
pub(crate) struct Plot {
    /// Above it.
    pub(crate) title: String,
    /// What lies along the lower edge.
    pub(crate) across: Axis,
    /// What lies along the left edge.
    pub(crate) up: Axis,
    /// Named lines.
    pub(crate) lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// One edge.
pub(crate) struct Axis {
    /// What it shows, with its unit.
    pub(crate) label: String,
    /// Whether equal ratios are equally far apart.
    pub(crate) logarithmic: bool,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// Told apart by people who see few colours as well (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// About so many marks on an edge.
const MARKS: f64 = 6.0;

/// What an edge goes from and to.
struct Scale {
    logarithmic: bool,
    least: f64,
    most: f64,
}

impl Scale {
    /// One that shows all these values; what a logarithmic one cannot show is left out.
    fn of(values: impl Iterator<Item = f64>, logarithmic: bool) -> Option<Self> {
        let shown = values.filter(|value| value.is_finite() && (!logarithmic || *value > 0.0));
        let (least, most) =
            shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if least > most {
            return None;
        }
        // Linear edges begin at nothing: lengths can be compared.
        let (least, most) = match logarithmic {
            true => (least / 1.2, most * 1.2),
            false => (least.min(0.0), if most > 0.0 { most * 1.05 } else { 1.0 }),
        };
        Some(Self { logarithmic, least, most })
    }

    /// Where a value lies, from 0 to 1.
    fn at(&self, value: f64) -> f64 {
        let Self { logarithmic, least, most } = self;
        match logarithmic {
            true => (value / least).ln() / (most / least).ln(),
            false => (value - least) / (most - least),
        }
    }

    fn shows(&self, value: f64) -> bool {
        value.is_finite() && (0.0..=1.0).contains(&self.at(value))
    }

    /// Round numbers along it.
    fn marks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = self.least.log10().floor() as i32..=self.most.log10().ceil() as i32;
            let wide = self.most / self.least > 1e3;
            let steps: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let all = decades.flat_map(|decade| steps.iter().map(move |s| s * 10f64.powi(decade)));
            return all.filter(|mark| self.shows(*mark)).collect();
        }
        let rough = (self.most - self.least) / MARKS;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|s| s * decade).into_iter().find(|s| *s >= rough);
        let step = step.unwrap_or(10.0 * decade);
        (0..=(self.most / step) as usize).map(|n| n as f64 * step).collect()
    }
}

/// The plot as the text of an SVG file; nothing where there is nothing to show.
pub(crate) fn svg(plot: &Plot) -> Option<String> {
    let points = || plot.lines.iter().flat_map(|(_, points)| points.iter());
    let across = Scale::of(points().map(|(x, _)| *x), plot.across.logarithmic)?;
    let up = Scale::of(points().map(|(_, y)| *y), plot.up.logarithmic)?;
    let x = |value: f64| LEFT + across.at(value) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - up.at(value) * (HEIGHT - TOP - BOTTOM);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let (middle, lower) = (WIDTH / 2.0, HEIGHT - BOTTOM);
    text(&mut out, middle, 20.0, "middle", &plot.title);
    text(&mut out, middle, HEIGHT - 10.0, "middle", &plot.across.label);
    text(&mut out, 8.0, TOP - 8.0, "start", &plot.up.label);
    for mark in across.marks() {
        rule(&mut out, (x(mark), TOP), (x(mark), lower));
        text(&mut out, x(mark), lower + 18.0, "middle", &number(mark));
    }
    for mark in up.marks() {
        rule(&mut out, (LEFT, y(mark)), (WIDTH - RIGHT, y(mark)));
        text(&mut out, LEFT - 6.0, y(mark) + 4.0, "end", &number(mark));
    }
    for (index, (name, points)) in plot.lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let shown = points.iter().filter(|(px, py)| across.shows(*px) && up.shows(*py));
        let places: Vec<(f64, f64)> = shown.map(|(px, py)| (x(*px), y(*py))).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in places {
            let _ =
                writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let at = TOP + 8.0 + 16.0 * index as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>",
            LEFT + 10.0,
            at - 9.0
        );
        text(&mut out, LEFT + 26.0, at, "start", name);
    }
    out.push_str("</svg>\n");
    Some(out)
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222\">{words}</text>"
    );
}

fn rule(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>"
    );
}

/// A number as short as it can be read.
fn number(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, " M"),
        size if size >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let short = format!("{value:.3}");
    let short = short.trim_end_matches('0').trim_end_matches('.');
    format!("{short}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(values: &[f64], logarithmic: bool) -> Option<Scale> {
        Scale::of(values.iter().copied(), logarithmic)
    }

    #[test]
    fn marks_are_round_and_within() {
        #[rustfmt::skip]
        let table: [(&[f64], bool, &[f64]); 5] = [
            (&[3.0, 100.0],     false, &[0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
            (&[0.0, 0.0],       false, &[0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]),
            (&[1.0, 20.0],      true,  &[1.0, 2.0, 5.0, 10.0, 20.0]),
            (&[1e4, 1e7],       true,  &[1e4, 1e5, 1e6, 1e7]),
            (&[7.0],            true,  &[]),
        ];
        for (values, logarithmic, expected) in table {
            let marks = scale(values, logarithmic).unwrap().marks();
            assert_eq!(marks.len(), expected.len(), "{values:?}: {marks:?}");
            for (mark, expected) in marks.iter().zip(expected) {
                assert!((mark / expected - 1.0).abs() < 1e-9 || mark == expected, "{marks:?}");
            }
        }
        assert!(scale(&[], false).is_none());
        assert!(scale(&[0.0, -1.0, f64::NAN], true).is_none(), "nothing that a logarithm has");
    }

    #[test]
    fn values_lie_where_they_should() {
        #[rustfmt::skip]
        let table: [(&[f64], bool, f64, f64); 3] = [
            (&[0.0, 100.0], false, 105.0, 1.0),
            (&[0.0, 100.0], false,  52.5, 0.5),
            (&[1.2, 1e4 / 1.2], true, 100.0, 0.5),
        ];
        for (values, logarithmic, value, expected) in table {
            let at = scale(values, logarithmic).unwrap().at(value);
            assert!((at - expected).abs() < 1e-9, "{values:?} {value}: {at}");
        }
    }

    #[test]
    fn a_plot_has_every_point_and_no_markup_of_others() {
        let axis = |label: &str, logarithmic| Axis { label: label.to_owned(), logarithmic };
        let plot = |lines| Plot {
            title: "a < b & c".to_owned(),
            across: axis("load", false),
            up: axis("ms", true),
            lines,
        };
        let lines = vec![
            ("p50".to_owned(), vec![(25.0, 4.0), (50.0, 5.0), (80.0, 9.0)]),
            ("p99".to_owned(), vec![(25.0, 8.0), (50.0, 0.0), (80.0, f64::NAN)]),
        ];
        let drawn = svg(&plot(lines)).unwrap();
        assert_eq!(drawn.matches("<circle").count(), 4, "nothing for what cannot be shown");
        assert_eq!(drawn.matches("<polyline").count(), 2);
        assert!(drawn.contains("a &lt; b &amp; c"));
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
        assert!(svg(&plot(vec![])).is_none());
    }

    #[test]
    fn numbers_are_short() {
        #[rustfmt::skip]
        let table = [(0.0, "0"), (0.25, "0.25"), (20.0, "20"), (9000.0, "9000"), (12_500.0, "12.5 k"), (1e7, "10 M")];
        for (value, expected) in table {
            assert_eq!(number(value), expected);
        }
    }
}
