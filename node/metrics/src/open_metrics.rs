//! The page as OpenMetrics 1.0 has it: <https://prometheus.io/docs/specs/om/open_metrics_spec/>. The crate
//! `prometheus` writes only the older format, which has neither units nor exemplars.

use std::fmt::{self, Write};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use crate::exemplars::{Exemplar, Exemplified};

/// The whole page, its end marked, so that a page cut short is known to be.
pub(crate) fn page(families: &[MetricFamily], exemplified: &[Exemplified]) -> String {
    let mut page = String::with_capacity(32 << 10);
    for family in families {
        let with = exemplified.iter().find(|one| one.metric == family.name());
        // To a String nothing fails to be written.
        let _ = write_family(&mut page, family, with);
    }
    page.push_str("# EOF\n");
    page
}

fn write_family(
    page: &mut String,
    family: &MetricFamily,
    exemplified: Option<&Exemplified>,
) -> fmt::Result {
    let (kind, name) = match family.get_field_type() {
        MetricType::COUNTER => ("counter", family.name().trim_end_matches("_total")),
        MetricType::HISTOGRAM => ("histogram", family.name()),
        MetricType::GAUGE => ("gauge", family.name()),
        // Nothing in a list makes one.
        MetricType::SUMMARY | MetricType::UNTYPED => return Ok(()),
    };
    writeln!(page, "# TYPE {name} {kind}")?;
    for unit in ["seconds", "bytes"] {
        if name.ends_with(&format!("_{unit}")) {
            writeln!(page, "# UNIT {name} {unit}")?;
        }
    }
    writeln!(page, "# HELP {name} {}", escaped(family.help()))?;
    for metric in family.get_metric() {
        match family.get_field_type() {
            MetricType::COUNTER => {
                write_sample(page, name, "_total", metric, None, metric.get_counter().get_value())?;
                page.push('\n');
            }
            MetricType::HISTOGRAM => write_histogram(page, name, metric, exemplified)?,
            _ => {
                write_sample(page, name, "", metric, None, metric.get_gauge().get_value())?;
                page.push('\n');
            }
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 is far away")]
fn write_histogram(
    page: &mut String,
    name: &str,
    metric: &Metric,
    exemplified: Option<&Exemplified>,
) -> fmt::Result {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count();
    let bounded = histogram.get_bucket().iter();
    let bounded = bounded.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let bounded = bounded.filter(|(bound, _)| bound.is_finite());
    for (bound, below) in bounded.chain([(f64::INFINITY, count)]) {
        write_sample(page, name, "_bucket", metric, Some(bound), below as f64)?;
        if let Some(one) = exemplified
            && let Some(Exemplar { name, value, at }) = one.of(bound)
        {
            write!(page, " # {{{}=\"{}\"}} {value} {at:.3}", one.label, escaped(&name))?;
        }
        page.push('\n');
    }
    write_sample(page, name, "_count", metric, None, count as f64)?;
    page.push('\n');
    write_sample(page, name, "_sum", metric, None, histogram.get_sample_sum())?;
    page.push('\n');
    Ok(())
}

fn write_sample(
    page: &mut String,
    name: &str,
    end: &str,
    metric: &Metric,
    bound: Option<f64>,
    value: f64,
) -> fmt::Result {
    write!(page, "{name}{end}")?;
    let labels =
        metric.get_label().iter().map(|label: &LabelPair| (label.name(), escaped(label.value())));
    let bound = bound.map(|bound| {
        ("le", if bound.is_finite() { format!("{bound:?}") } else { "+Inf".to_owned() })
    });
    let mut open = false;
    for (label, value) in labels.chain(bound) {
        let before = if open { ',' } else { '{' };
        write!(page, "{before}{label}=\"{value}\"")?;
        open = true;
    }
    if open {
        page.push('}');
    }
    write!(page, " {value}")
}

/// As a label's value or a help may be written.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use crate::{Format, Label, List, Values};

    #[test]
    fn a_page_is_as_the_specification_has_it() {
        const WHAT: Label = ("what", Values::UpTo(2, "anything"));
        let mut list = List::new();
        list.gauge("a_height", "blocks", "The \"height\"").set(7);
        let counters = list.counters("b_bytes_total", "bytes", &[WHAT], "Bytes");
        counters.with_label_values(&["a\\b\n\"c\""]).inc_by(3);
        let histogram =
            list.exemplified("c_seconds", "seconds", &[0.5, 1.0], "transaction_id", "Seconds");
        histogram.observe(0.25);
        histogram.observe(4.0);
        histogram.name(4.0, "ff00".to_owned());
        histogram.name(0.5, "x".repeat(97));
        let page = list.page(Format::OpenMetrics);
        let (before, at) = page.split_once("\"ff00\"} 4 ").expect("the slow one is named");
        let (at, after) = at.split_once('\n').expect("lines");
        assert!(at.parse::<f64>().expect("a time") > 1e9);
        assert_eq!(
            format!("{before}…\n{after}"),
            "# TYPE a_height gauge\n# HELP a_height The \\\"height\\\"\na_height 7\n\
             # TYPE b_bytes counter\n# UNIT b_bytes bytes\n# HELP b_bytes Bytes\n\
             b_bytes_total{what=\"a\\\\b\\n\\\"c\\\"\"} 3\n\
             # TYPE c_seconds histogram\n# UNIT c_seconds seconds\n# HELP c_seconds Seconds\n\
             c_seconds_bucket{le=\"0.5\"} 1\nc_seconds_bucket{le=\"1.0\"} 1\n\
             c_seconds_bucket{le=\"+Inf\"} 2 # {transaction_id=…\n\
             c_seconds_count 2\nc_seconds_sum 4.25\n# EOF\n"
        );
    }

    #[test]
    fn an_exemplar_is_that_of_its_bucket() {
        let mut list = List::new();
        let histogram = list.exemplified("c_seconds", "seconds", &[0.5, 1.0], "id", "Seconds");
        for (value, name) in [(0.1, "old"), (0.5, "low"), (0.7, "middle"), (1.1, "high")] {
            histogram.observe(value);
            histogram.name(value, name.to_owned());
        }
        let page = list.page(Format::OpenMetrics);
        for (bound, name) in [("0.5", "low"), ("1.0", "middle"), ("+Inf", "high")] {
            let line = page.lines().find(|line| line.contains(&format!("le=\"{bound}\""))).unwrap();
            assert!(line.contains(&format!("id=\"{name}\"")), "{line}");
        }
        assert!(!page.contains("old"));
    }
}
