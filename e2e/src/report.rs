//! What was found: a table for people, JSON for programs, a folder with raw data and plots.

use std::{fmt::Write as _, path::Path};

use anyhow::Context;
use serde::Serialize;

use crate::{
    growth::{Curve, Point},
    machine::Machine,
    pairing::Compared,
    peers::Peer,
    plot::{self, Axis, Plot},
    suite::Run,
    window::Window,
};

/// Everything of one run of the benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The machine.
    pub(crate) machine: Machine,
    /// What was given on the command line.
    pub(crate) arguments: Vec<String>,
    /// The yardstick at the beginning, in signatures a second.
    pub(crate) yardstick: f64,
    /// Each federation that was measured.
    pub(crate) runs: Vec<Run>,
    /// Two programs, turn by turn.
    pub(crate) compared: Vec<Compared>,
    /// Growth curves.
    pub(crate) curves: Vec<Curve>,
    /// Other systems.
    pub(crate) peers: Vec<Peer>,
    /// What there was no time for.
    pub(crate) left_out: Vec<String>,
    /// How long it all took.
    pub(crate) seconds: f64,
}

impl Report {
    /// For programs.
    pub(crate) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        for line in self.machine.lines() {
            let _ = writeln!(out, "{line}");
        }
        let _ = writeln!(
            out,
            "yardstick: {:.0} signatures/s in batches of 1024, at the beginning",
            self.yardstick
        );
        // Of two programs that took turns, what counts is below.
        for run in self.runs.iter().filter(|_| self.compared.is_empty()) {
            table_of_run(&mut out, run);
        }
        table_of_compared(&mut out, &self.compared);
        for curve in &self.curves {
            table_of_curve(&mut out, curve);
        }
        table_of_peers(&mut out, &self.peers);
        self.doubts(&mut out);
        out
    }

    /// What to know before any figure is believed.
    fn doubts(&self, out: &mut String) {
        let windows = || self.runs.iter().flat_map(|run| &run.windows);
        let discarded: usize = windows().map(|window| window.discarded).sum();
        let disturbed = windows().filter(|window| !window.disturbed.is_empty()).count();
        let _ = writeln!(
            out,
            "\n{} windows; {discarded} were disturbed and measured again, {disturbed} disturbed ones were kept (marked *); {:.0} s",
            windows().count(),
            self.seconds
        );
        if windows().any(|window| !window.stolen.first) {
            let _ = writeln!(
                out,
                "the probe may not run first here (SCHED_FIFO): stolen time was not judged by it"
            );
        }
        if !self.left_out.is_empty() {
            let _ = writeln!(out, "no time was left for: {}", self.left_out.join("; "));
        }
    }

    /// Writes raw data and plots into a folder.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        write("report.json", &(self.json()? + "\n"))?;
        write("report.txt", &self.table())?;
        for (name, plot) in self.plots() {
            if let Some(text) = plot::svg(&plot) {
                write(&format!("{name}.svg"), &text)?;
            }
        }
        Ok(())
    }

    fn plots(&self) -> Vec<(String, Plot)> {
        let run = self.runs.first().filter(|_| self.compared.is_empty());
        let windows = run.map(|run| run.windows.as_slice()).unwrap_or_default();
        let mut rows: Vec<(&str, usize)> = Vec::new();
        for window in windows.iter().filter(|window| window.offered.is_some()) {
            let row = (window.workload.as_str(), window.per_request);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        let latencies = rows.into_iter().map(|row| latency_plot(row, windows));
        let curves =
            self.curves.iter().map(|curve| (format!("growth-{}", curve.what), curve_plot(curve)));
        latencies.chain(curves).collect()
    }
}

fn latency_plot((workload, each): (&str, usize), windows: &[Window]) -> (String, Plot) {
    let of_row =
        windows.iter().filter(|window| window.workload == workload && window.per_request == each);
    let open: Vec<&Window> = of_row.filter(|window| window.offered.is_some()).collect();
    let line = |name: &str, of: fn(&Window) -> f64| {
        let points = open.iter().map(|window| (window.rate, of(window))).collect();
        (name.to_owned(), points)
    };
    let lines = vec![
        line("p50", |window| window.latency.p50_ms),
        line("p90", |window| window.latency.p90_ms),
        line("p99", |window| window.latency.p99_ms),
        line("p99.9", |window| window.latency.p999_ms),
    ];
    let plot = Plot {
        title: format!("{workload}, {each} a request: from due to committed"),
        across: Axis {
            label: "transactions a second, offered on schedule".to_owned(),
            logarithmic: false,
        },
        up: Axis { label: "ms".to_owned(), logarithmic: true },
        lines,
    };
    (format!("latency-{}-{each}", workload.to_lowercase()), plot)
}

fn curve_plot(curve: &Curve) -> Plot {
    let line = |name: &str, of: fn(&Point) -> f64| {
        (name.to_owned(), curve.points.iter().map(|point| (point.at as f64, of(point))).collect())
    };
    let mut lines = vec![line("committed", |point| point.rate)];
    if curve.what == "validators" {
        lines.push(line("× validators", |point| point.rate_times_validators));
    }
    Plot {
        title: curve.measured.clone(),
        across: Axis { label: curve.what.to_owned(), logarithmic: curve.what != "validators" },
        up: Axis { label: "transactions a second".to_owned(), logarithmic: false },
        lines,
    }
}

fn table_of_run(out: &mut String, run: &Run) {
    let Run { program, validators, idle_mib, loaded_mib, windows, faulted, checked } = run;
    let _ = writeln!(out, "\n{program}, {validators} validators");
    let _ = writeln!(
        out,
        "  {:<36} {:>8} {:>7} {:>7} {:>7} {:>7} {:>5} {:>8} {:>7}",
        "", "/s", "p50 ms", "p90", "p99", "p99.9", "R1", "µs each", "stolen"
    );
    for window in windows {
        let latency = &window.latency;
        let _ = writeln!(
            out,
            "  {:<36} {:>8.0} {:>7.1} {:>7.1} {:>7.1} {:>7.1} {:>5.2} {:>8.0} {:>5.1} %{}",
            window.name(),
            window.rate,
            latency.p50_ms,
            latency.p90_ms,
            latency.p99_ms,
            latency.p999_ms,
            window.r1,
            window.validators_us,
            window.stolen.share * 100.0,
            mark(&window.disturbed),
        );
    }
    for one in faulted {
        let _ = writeln!(
            out,
            "  {:<36} {:>8.0} {:>7.1} {:>7.1} {:>7.1} {:>7.1}  {} undecided, longest {:.0} ms",
            one.what,
            one.offered,
            one.latency.p50_ms,
            one.latency.p90_ms,
            one.latency.p99_ms,
            one.latency.p999_ms,
            one.undecided,
            one.latency.most_ms
        );
    }
    let _ = writeln!(
        out,
        "  memory of a validator: idle {} MiB, after the load {} MiB",
        numbers(idle_mib),
        numbers(loaded_mib)
    );
    let _ = writeln!(
        out,
        "  checked: {} read back from other validators, {} refused ones absent; all killed, back in {:.1} s; exports identical ({:.0} MB)",
        checked.read_back,
        checked.absent,
        checked.restart_seconds,
        checked.export_bytes as f64 / 1e6
    );
    let verified = &checked.verified;
    let _ = writeln!(
        out,
        "  verified: {} blocks, {} committed (as many as were answered), {} refused, {} signatures, every rule",
        verified.blocks, verified.committed, verified.refused, verified.signatures
    );
}

fn table_of_compared(out: &mut String, compared: &[Compared]) {
    if compared.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nprogram ÷ against, turn by turn: the middle ratio (least to most)");
    for one in compared {
        let (ratio, unit) = (one.ratio, one.unit);
        let _ = writeln!(
            out,
            "  {:<46} {:>5.2} ({:.2} to {:.2})   {} ÷ {} {unit}",
            one.name,
            ratio.median,
            ratio.least,
            ratio.most,
            numbers(&one.program),
            numbers(&one.against),
        );
    }
}

fn table_of_curve(out: &mut String, curve: &Curve) {
    let _ = writeln!(out, "\n{} by {}", curve.measured, curve.what);
    for point in &curve.points {
        let _ = writeln!(
            out,
            "  {:>9} {:>8.0} /s   p99 {:>7.1} ms   R1 {:.2}   {:>6.0} µs each   {:>6.0} MiB{}",
            point.at,
            point.rate,
            point.p99_ms,
            point.r1,
            point.validators_us,
            point.resident_mib,
            mark(&point.disturbed),
        );
    }
    if let Some(bytes) = bytes_each(&curve.points).filter(|_| curve.what == "ledger") {
        let _ = writeln!(
            out,
            "  {bytes:.0} B of resident memory for each transaction more, with its output"
        );
    }
}

fn table_of_peers(out: &mut String, peers: &[Peer]) {
    for (index, peer) in peers.iter().enumerate() {
        if index == 0 {
            let _ = writeln!(out, "\npeers");
        }
        let ms = |time: Option<f64>| time.map_or("–".to_owned(), |ms| format!("{ms:.1} ms"));
        let _ = writeln!(
            out,
            "  {:<46} {:>8.0} {}/s   p50 {}   p99 {}   {}",
            format!("{}: {}", peer.name, peer.what),
            peer.per_second,
            peer.unit,
            ms(peer.p50_ms),
            ms(peer.p99_ms),
            peer.note,
        );
    }
}

/// What each transaction more costs, from the first point to the last, where transactions are what grows.
fn bytes_each(points: &[Point]) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    let more = last.at.checked_sub(first.at).filter(|more| *more > 0)?;
    Some((last.resident_mib - first.resident_mib) * 1024.0 * 1024.0 / more as f64)
}

/// A star at what cannot be believed.
fn mark(disturbed: &[&str]) -> &'static str {
    if disturbed.is_empty() { "" } else { " *" }
}

/// Whole numbers where they are large, with decimals where they are small.
fn numbers(values: &[f64]) -> String {
    let one = |value: &f64| match value {
        small if small.abs() < 100.0 => format!("{small:.1}"),
        large => format!("{large:.0}"),
    };
    values.iter().map(one).collect::<Vec<_>>().join(" ")
}
