//! Metrics that say what they are. A program has one [`List`]; whatever it counts is made by the list,
//! which remembers name, kind, unit, labels and help, and serves all of it to Prometheus.
//!
//! Read in this order: this file (the list), `open_metrics` (the page), `exemplars` (which one it was),
//! `document` (the list for people).

mod document;
mod exemplars;
mod open_metrics;

pub use prometheus::{
    Gauge as Real, Histogram, HistogramVec as Histograms, IntCounter as Counter,
    IntCounterVec as Counters, IntGauge as Gauge, IntGaugeVec as Gauges,
};
use prometheus::{
    HistogramOpts, Opts, Registry, TextEncoder, core::Collector,
    process_collector::ProcessCollector,
};

pub use self::{document::document, exemplars::Exemplified};

/// Declares the list of a program: a struct with a field for each metric, whose doc comment is what
/// Prometheus and people are told of it.
///
/// ```
/// cairn_metrics::metrics! {
///     /// What a mill counts.
///     Mill, "mill_build_info"
///     /// Sacks that stand there.
///     sacks: Gauge = gauge("mill_sacks", "sacks");
/// }
/// let mill = Mill::new();
/// mill.sacks.set(3);
/// assert!(mill.page(cairn_metrics::Format::Text).contains("mill_sacks 3"));
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[doc = $meaning:literal])+
        $list:ident, $build:literal
        $($(#[doc = $help:literal])+ $field:ident: $type:ident = $make:ident($name:literal, $unit:literal $(, $more:expr)*);)+
    ) => {
        $(#[doc = $meaning])+
        #[derive(Debug)]
        pub struct $list {
            list: $crate::List,
            $($(#[doc = $help])+ pub $field: $crate::$type,)+
        }

        impl $list {
            /// All at zero.
            #[must_use]
            pub fn new() -> Self {
                let mut list = $crate::List::new();
                list.build($build, env!("CARGO_PKG_VERSION"));
                list.process();
                Self {
                    $($field: list.$make($name, $unit, $($more,)* $crate::help(concat!($($help),+))),)+
                    list,
                }
            }

            /// The page that Prometheus reads.
            #[must_use]
            pub fn page(&self, format: $crate::Format) -> String {
                self.list.page(format)
            }

            /// What each metric is, those not yet counted included.
            #[must_use]
            pub fn described(&self) -> &[$crate::Described] {
                self.list.described()
            }
        }

        impl Default for $list {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

/// A doc comment as a help: without the blank before it and the full stop.
#[doc(hidden)]
#[must_use]
pub fn help(comment: &'static str) -> &'static str {
    comment.trim().trim_end_matches('.')
}

/// What a metric does as time goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, until the process ends. Its name ends with `_total`.
    Counter,
    /// Counts by size: `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// As Prometheus calls it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// What a label may be. Never anything that a client makes up: each value is a series for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// One of these.
    Of(&'static [&'static str]),
    /// At most so many, whatever they are called; and what they are.
    UpTo(usize, &'static str),
}

impl Values {
    fn most(self) -> usize {
        match self {
            Self::Of(values) => values.len(),
            Self::UpTo(most, _) => most,
        }
    }
}

/// A label: its name and what it may be.
pub type Label = (&'static str, Values);

/// What the list knows of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name, as in queries; a histogram's without `_bucket`.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// Of what its value is so many: `seconds`, `bytes`, `blocks`.
    pub unit: &'static str,
    /// What tells its series apart.
    pub labels: &'static [Label],
    /// What it means.
    pub help: &'static str,
    /// Buckets of a histogram, that without a bound not counted.
    buckets: usize,
}

impl Described {
    /// The names under which Prometheus has it.
    #[must_use]
    pub fn series_names(&self) -> Vec<String> {
        match self.kind {
            Kind::Gauge | Kind::Counter => vec![self.name.to_owned()],
            Kind::Histogram => {
                ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", self.name)).into()
            }
        }
    }

    /// The most series that it can have.
    #[must_use]
    pub fn series_max(&self) -> usize {
        let combinations: usize = self.labels.iter().map(|(_, values)| values.most()).product();
        match self.kind {
            Kind::Gauge | Kind::Counter => combinations,
            // Its buckets, the one without a bound, the sum and the count.
            Kind::Histogram => combinations * (self.buckets + 3),
        }
    }
}

/// How a page of metrics is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4, which everything reads.
    Text,
    /// OpenMetrics 1.0, with units and exemplars.
    OpenMetrics,
}

impl Format {
    /// What a request's `Accept` asks for: OpenMetrics where it is named, as Prometheus does.
    #[must_use]
    pub fn asked_for(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// The page's `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All metrics of a program.
#[derive(Debug, Default)]
pub struct List {
    registry: Registry,
    described: Vec<Described>,
    exemplified: Vec<Exemplified>,
}

impl List {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A gauge of whole numbers.
    pub fn gauge(&mut self, name: &'static str, unit: &'static str, help: &'static str) -> Gauge {
        self.put(describe(name, Kind::Gauge, unit, help), Gauge::new(name, help))
    }

    /// A gauge of any number.
    pub fn real(&mut self, name: &'static str, unit: &'static str, help: &'static str) -> Real {
        self.put(describe(name, Kind::Gauge, unit, help), Real::new(name, help))
    }

    /// Gauges told apart by labels.
    pub fn gauges(
        &mut self,
        name: &'static str,
        unit: &'static str,
        labels: &'static [Label],
        help: &'static str,
    ) -> Gauges {
        let described = Described { labels, ..describe(name, Kind::Gauge, unit, help) };
        self.put(described, Gauges::new(Opts::new(name, help), &names(labels)))
    }

    /// A counter.
    pub fn counter(
        &mut self,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
    ) -> Counter {
        self.put(describe(name, Kind::Counter, unit, help), Counter::new(name, help))
    }

    /// Counters told apart by labels.
    pub fn counters(
        &mut self,
        name: &'static str,
        unit: &'static str,
        labels: &'static [Label],
        help: &'static str,
    ) -> Counters {
        let described = Described { labels, ..describe(name, Kind::Counter, unit, help) };
        self.put(described, Counters::new(Opts::new(name, help), &names(labels)))
    }

    /// A histogram with these upper bounds, and one bucket more for all that is beyond.
    pub fn histogram(
        &mut self,
        name: &'static str,
        unit: &'static str,
        bounds: &[f64],
        help: &'static str,
    ) -> Histogram {
        let buckets = bounds.len();
        let described = Described { buckets, ..describe(name, Kind::Histogram, unit, help) };
        let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.put(described, Histogram::with_opts(options))
    }

    /// Histograms told apart by labels.
    pub fn histograms(
        &mut self,
        name: &'static str,
        unit: &'static str,
        labels: &'static [Label],
        bounds: &[f64],
        help: &'static str,
    ) -> Histograms {
        let buckets = bounds.len();
        let described =
            Described { labels, buckets, ..describe(name, Kind::Histogram, unit, help) };
        let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.put(described, Histograms::new(options, &names(labels)))
    }

    /// A histogram that shows for each bucket which one was counted there last, by one label.
    pub fn exemplified(
        &mut self,
        name: &'static str,
        unit: &'static str,
        bounds: &[f64],
        label: &'static str,
        help: &'static str,
    ) -> Exemplified {
        let made = Exemplified::new(self.histogram(name, unit, bounds, help), name, label, bounds);
        self.exemplified.push(made.clone());
        made
    }

    /// A gauge that is always 1, and whose label says what runs.
    pub fn build(&mut self, name: &'static str, version: &str) {
        let labels: &[Label] = &[("version", Values::UpTo(1, "the version that runs"))];
        let build = self.gauges(name, "boolean", labels, "Always 1; the version that runs");
        build.with_label_values(&[version]).set(1);
    }

    /// What the kernel says of this process, under the names that all programs use for it.
    pub fn process(&mut self) {
        for (name, kind, unit, help) in PROCESS {
            self.described.push(describe(name, *kind, unit, help));
        }
        self.register(Box::new(ProcessCollector::for_self()));
    }

    /// What each metric is, in the order in which they were made.
    #[must_use]
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// The page that Prometheus reads.
    #[must_use]
    pub fn page(&self, format: Format) -> String {
        let families = self.registry.gather();
        match format {
            Format::Text => TextEncoder::new()
                .encode_to_string(&families)
                .expect("gathered metrics have names and values"),
            Format::OpenMetrics => open_metrics::page(&families, &self.exemplified),
        }
    }

    /// Names and labels are constants, which a program's tests see when they make its list.
    fn put<C>(&mut self, described: Described, made: prometheus::Result<C>) -> C
    where
        C: Collector + Clone + 'static,
    {
        let metric = made.expect("names and labels are sound");
        self.described.push(described);
        self.register(Box::new(metric.clone()));
        metric
    }

    fn register(&self, collector: Box<dyn Collector>) {
        self.registry.register(collector).expect("each name is in the list once");
    }
}

/// What [`ProcessCollector`] has.
#[rustfmt::skip]
const PROCESS: &[(&str, Kind, &str, &str)] = &[
    ("process_cpu_seconds_total",     Kind::Counter, "seconds", "Time on processors, the kernel's on its behalf included"),
    ("process_open_fds",              Kind::Gauge,   "file descriptors", "Open file descriptors"),
    ("process_max_fds",               Kind::Gauge,   "file descriptors", "The most file descriptors that it may have"),
    ("process_virtual_memory_bytes",  Kind::Gauge,   "bytes", "Memory that it has addresses for"),
    ("process_resident_memory_bytes", Kind::Gauge,   "bytes", "Memory that it has"),
    ("process_start_time_seconds",    Kind::Gauge,   "seconds", "Unix time at which it started"),
    ("process_threads",               Kind::Gauge,   "threads", "Its threads"),
];

fn describe(name: &'static str, kind: Kind, unit: &'static str, help: &'static str) -> Described {
    Described { name, kind, unit, labels: &[], help, buckets: 0 }
}

fn names(labels: &[Label]) -> Vec<&'static str> {
    labels.iter().map(|(name, _)| *name).collect()
}

/// What every list of metrics keeps to, whoever has it: the rules of Prometheus for names, and ours.
///
/// # Panics
/// With the first metric that does not, for tests.
pub fn assert_sound(described: &[Described], prefix: &str) {
    for Described { name, kind, unit, labels, help, .. } in described {
        let known = name.starts_with(prefix) || name.starts_with("process_");
        assert!(known, "{name} does not begin with {prefix}");
        assert_eq!(
            *kind == Kind::Counter,
            name.ends_with("_total"),
            "{name}: only counters end with _total"
        );
        for base in ["seconds", "bytes"] {
            let stem = name.trim_end_matches("_total").trim_end_matches("_max");
            let named = stem.ends_with(base);
            assert_eq!(*unit == base, named, "{name} is in {unit}, and its name says otherwise");
        }
        assert!(help.starts_with(|c: char| c.is_uppercase() || c.is_numeric()), "{name}: {help}");
        assert!(!help.ends_with('.'), "{name}: {help}");
        for (label, values) in *labels {
            assert!(
                !["job", "instance", "le"].contains(label),
                "{name}: {label} is Prometheus' own"
            );
            assert!(values.most() > 0, "{name}: {label} can be nothing");
        }
    }
    let unique: std::collections::BTreeSet<_> = described.iter().map(|one| one.name).collect();
    assert_eq!(unique.len(), described.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_what_the_list_says() {
        let mut list = List::new();
        list.process();
        let page = list.page(Format::Text);
        let shown: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let mut listed: Vec<_> = list
            .described()
            .iter()
            .map(|metric| format!("{} {}", metric.name, metric.kind.word()))
            .collect();
        listed.sort();
        assert_eq!(shown, listed);
        assert_sound(list.described(), "process_");
    }

    #[test]
    fn series_are_counted() {
        const OUTCOME: Label = ("outcome", Values::Of(&["yes", "no"]));
        const VALIDATOR: Label = ("validator", Values::UpTo(31, "a validator"));
        let mut list = List::new();
        list.gauge("cairn_a", "blocks", "A");
        list.counters("cairn_b_total", "blocks", &[OUTCOME, VALIDATOR], "B");
        list.histograms("cairn_c_seconds", "seconds", &[OUTCOME], &[1.0, 2.0], "C");
        let most: Vec<_> = list.described().iter().map(Described::series_max).collect();
        assert_eq!(most, [1, 62, 10]);
        let c = list.described()[2].series_names();
        assert_eq!(c, ["cairn_c_seconds_bucket", "cairn_c_seconds_sum", "cairn_c_seconds_count"]);
    }

    #[test]
    fn whoever_asks_for_openmetrics_gets_it() {
        #[rustfmt::skip]
        let table = [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format::OpenMetrics),
        ];
        for (accept, format) in table {
            assert_eq!(Format::asked_for(accept), format, "{accept}");
        }
    }
}
