//! Two programs, turn by turn in one run: what disturbs the machine disturbs both, and the ratio of
//! neighbours says more than any figure of either.

use std::path::Path;

use serde::Serialize;

use crate::{
    latency::median,
    progress::say,
    suite::{Row, Run, Suite},
    window::Window,
};

/// One row of both programs.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    /// What was measured.
    pub(crate) name: String,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Whether more is better.
    pub(crate) more_is_better: bool,
    /// Of the program, round by round.
    pub(crate) program: Vec<f64>,
    /// Of the one it is compared with.
    pub(crate) against: Vec<f64>,
    /// Program ÷ against.
    pub(crate) ratio: Ratio,
}

/// The ratios of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    /// The middle one.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) least: f64,
    /// The largest.
    pub(crate) most: f64,
}

/// Measures both, so many times in turn.
pub(crate) async fn measure(
    suite: &mut Suite,
    program: &Path,
    against: &Path,
    rounds: usize,
) -> anyhow::Result<(Vec<Run>, Vec<Compared>)> {
    let rows: Vec<Row> = suite.plan.rows();
    let mut runs = Vec::new();
    for round in 1..=rounds {
        if !suite.has_time(&format!("round {round}")) {
            break;
        }
        for one in [program, against] {
            say(&format!("round {round} of {rounds}: {}", one.display()));
            runs.push(suite.run(one, &rows).await?);
        }
    }
    let windows: Vec<&[Window]> = runs.iter().map(|run| run.windows.as_slice()).collect();
    let compared = compare(&windows);
    Ok((runs, compared))
}

/// A figure of a window that is compared.
struct Figure {
    name: &'static str,
    unit: &'static str,
    more_is_better: bool,
    of: fn(&Window) -> f64,
}

/// Of closed loops, then of open ones.
const CLOSED: [Figure; 2] = [
    Figure { name: "rate", unit: "/s", more_is_better: true, of: |window| window.rate },
    Figure {
        name: "processor time",
        unit: "µs",
        more_is_better: false,
        of: |window| window.validators_us,
    },
];
const OPEN: [Figure; 2] = [
    Figure { name: "p50", unit: "ms", more_is_better: false, of: |window| window.latency.p50_ms },
    Figure { name: "p99", unit: "ms", more_is_better: false, of: |window| window.latency.p99_ms },
];

/// The windows of runs, the program's and the other's in turn; rows that not all have are left out.
fn compare(runs: &[&[Window]]) -> Vec<Compared> {
    let whole = runs.len() / 2 * 2;
    let rows = runs[..whole].iter().map(|windows| windows.len()).min().unwrap_or(0);
    (0..rows)
        .flat_map(|row| {
            let window = &runs[0][row];
            let figures = if window.offered.is_none() { &CLOSED } else { &OPEN };
            figures.iter().map(move |figure| (row, window, figure))
        })
        .map(|(row, window, figure)| {
            let of = |first: usize| -> Vec<f64> {
                let turns = runs[..whole].iter().skip(first).step_by(2);
                turns.map(|windows| (figure.of)(&windows[row])).collect()
            };
            let (program, against) = (of(0), of(1));
            let Figure { unit, more_is_better, .. } = *figure;
            let name = format!("{}: {}", window.name(), figure.name);
            let ratio = ratio(&program, &against);
            Compared { name, unit, more_is_better, program, against, ratio }
        })
        .collect()
}

fn ratio(program: &[f64], against: &[f64]) -> Ratio {
    let ratios: Vec<f64> = program.iter().zip(against).map(|(a, b)| a / b).collect();
    let median = median(&ratios).unwrap_or(f64::NAN);
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Ratio { median, least, most }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_compared_with_each_other() {
        #[rustfmt::skip]
        let table = [
            (vec![2.0, 4.0, 8.0], vec![1.0, 2.0, 4.0], (2.0, 2.0, 2.0), "a machine that became faster, for both"),
            (vec![1.0, 3.0, 2.0], vec![1.0, 1.0, 1.0], (2.0, 1.0, 3.0), "the middle and the ends"),
            (vec![1.0, 3.0],      vec![1.0],           (1.0, 1.0, 1.0), "one without a neighbour is left out"),
        ];
        for (program, against, (median, least, most), why) in table {
            assert_eq!(ratio(&program, &against), Ratio { median, least, most }, "{why}");
        }
    }
}
