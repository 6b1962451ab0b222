//! What the last looks at the validators have shown: enough of it to say what happened lately.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    ask::{Answer, Heard, Members, Moment, Status},
    figures::{Figures, rise},
};

/// Over how many looks rates, latencies and missing votes are.
const LOOKS_MAX: usize = 11;

/// How many blocks are remembered.
const BLOCKS_MAX: usize = 64;

/// How many rates are remembered: as many as the widest screen has columns.
const RATES_MAX: usize = 512;

/// Whoever is further behind is catching up. As validators have it, who are not ready then.
pub(super) const BEHIND_MAX: u64 = 3;

/// One look at a validator.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    /// When it was asked for, and when it was there.
    asked: Duration,
    pub(super) at: Moment,
    pub(super) status: Status,
    /// Its metrics, or why they are none.
    pub(super) figures: Result<Figures, String>,
}

/// The last looks at one validator.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    /// Those that were answered by its process that runs now; the oldest first.
    looks: VecDeque<Look>,
    /// Why the last one was not answered, if it was not.
    pub(super) silent: Option<String>,
    /// What it called itself when it last answered.
    pub(super) name: Option<String>,
    /// Whose chain it is of, if it has shown its genesis.
    members: Option<Members>,
}

impl Course {
    fn take(&mut self, answer: Result<Look, String>) {
        let look = match answer {
            Ok(look) => look,
            Err(why) => {
                self.silent = Some(why);
                return;
            }
        };
        self.silent = None;
        self.name = Some(look.status.validator.clone());
        if self.looks.back().is_some_and(|before| anew(before, &look)) {
            self.looks.clear();
        }
        self.looks.push_back(look);
        if self.looks.len() > LOOKS_MAX {
            self.looks.pop_front();
        }
    }

    /// The last look, if the validator answers.
    pub(super) fn now(&self) -> Option<&Look> {
        self.looks.back().filter(|_| self.silent.is_none())
    }

    /// The first and the last of the last looks, where there are two and the validator answers.
    pub(super) fn lately(&self) -> Option<(&Look, &Look)> {
        let now = self.now()?;
        self.looks.front().zip(Some(now)).filter(|(first, now)| first.at.since < now.at.since)
    }

    /// The last look that was there then, if the validator answers.
    fn before(&self, then: Duration) -> Option<&Look> {
        self.now()?;
        self.looks.iter().rev().find(|look| look.at.since <= then)
    }

    /// The last two.
    fn last_two(&self) -> Option<(&Look, &Look)> {
        let now = self.now()?;
        let before = self.looks.len().checked_sub(2).and_then(|at| self.looks.get(at))?;
        (before.at.since < now.at.since).then_some((before, now))
    }
}

/// Whether something else answers than before.
fn anew(before: &Look, now: &Look) -> bool {
    let restarted = match (&before.figures, &now.figures) {
        (Ok(before), Ok(now)) => now.anew(before),
        _ => false,
    };
    restarted
        || now.status.height < before.status.height
        || now.status.validator != before.status.validator
        || now.status.chain_id != before.status.chain_id
}

/// What two looks make of a counter.
fn risen((before, now): (&Look, &Look), of: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
    let (before, now) = (before.figures.as_ref().ok()?, now.figures.as_ref().ok()?);
    rise(of(now), of(before))
}

/// The same in a second.
pub(super) fn rate(looks: (&Look, &Look), of: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
    let seconds = (looks.1.at.since - looks.0.at.since).as_secs_f64();
    risen(looks, of).map(|risen| risen / seconds)
}

/// The value in the middle: one validator that does something else does not change it.
pub(super) fn middle(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A block that was stored while somebody looked, or several that were stored between two looks.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Seen {
    /// Of the last of them.
    pub(super) height: u64,
    /// How many there are.
    pub(super) blocks: u64,
    /// Their transactions, those that were refused included.
    pub(super) transactions: Option<u64>,
    /// Those that became part of the ledger.
    pub(super) committed: Option<u64>,
    /// When they were seen.
    pub(super) seen_unix_ms: u64,
    /// From one block to the next; their mean, if there are several.
    pub(super) interval_seconds: Option<f64>,
}

/// What the last looks have shown.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) courses: Vec<Course>,
    /// The last blocks, the latest first.
    pub(super) blocks: VecDeque<Seen>,
    /// Whose looks the blocks are from.
    follows: Option<usize>,
    /// Committed transactions in a second, look by look, the latest last.
    pub(super) rates: VecDeque<f64>,
}

impl History {
    /// Nothing is known yet.
    pub(super) fn new(validators: usize) -> Self {
        Self { courses: vec![Course::default(); validators], ..Self::default() }
    }

    /// Takes what somebody answered.
    pub(super) fn take(&mut self, validator: usize, answer: Answer) {
        let course = &mut self.courses[validator];
        let look = answer.map(|Heard { asked, at, status, figures, members }| {
            course.members = members.or(course.members.take());
            Look { asked, at, status, figures }
        });
        course.take(look);
        self.follow(validator);
    }

    /// Remembers what came since everybody was asked the last time.
    pub(super) fn round(&mut self) {
        let committed = |course: &Course| rate(course.last_two()?, |figures| figures.committed);
        let chain = self.chain();
        let ours = self.courses.iter().filter(|course| self.level(course, chain.as_deref()));
        if let Some(rate) = middle(ours.filter_map(committed)) {
            self.rates.push_back(rate);
            if self.rates.len() > RATES_MAX {
                self.rates.pop_front();
            }
        }
    }

    /// The chain that most of those who answer are of.
    pub(super) fn chain(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for look in self.courses.iter().filter_map(Course::now) {
            if !look.status.chain_id.is_empty() {
                *votes.entry(&look.status.chain_id).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(chain, _)| chain.to_owned())
    }

    /// Who makes up a chain, if that is known.
    pub(super) fn members(&self, chain: &str) -> Option<&Members> {
        let mut shown = self.courses.iter().filter_map(|course| course.members.as_ref());
        shown.find(|members| members.chain_id == chain)
    }

    /// The best height that anybody of the chain has, or has heard of.
    pub(super) fn height(&self, chain: Option<&str>) -> Option<u64> {
        let ours = self.courses.iter().filter_map(Course::now).filter(|look| of(look, chain));
        ours.map(best).max()
    }

    /// How many blocks others had before this one was asked, and it had not: looks are not taken all
    /// at once, and what is stored meanwhile makes nobody slow.
    pub(super) fn behind(&self, course: &Course, chain: Option<&str>) -> Option<u64> {
        let look = course.now().filter(|look| of(look, chain))?;
        let before = self.courses.iter().filter_map(|other| other.before(look.asked));
        let others = before.filter(|look| of(look, chain)).map(best).max();
        let most = best(look).max(others.unwrap_or_default());
        Some(most - look.status.height)
    }

    /// Whether a validator answers and stores what the federation decides, as it decides it.
    pub(super) fn level(&self, course: &Course, chain: Option<&str>) -> bool {
        self.behind(course, chain).is_some_and(|behind| behind <= BEHIND_MAX)
    }

    /// Writes down the blocks that a look has shown. They come from one validator as long as that
    /// is level: what two looks at it differ by is what the blocks between have.
    fn follow(&mut self, validator: usize) {
        let chain = self.chain();
        let level = |at: &usize| self.level(&self.courses[*at], chain.as_deref());
        self.follows = self.follows.filter(level).or_else(|| Some(validator).filter(level));
        if self.follows != Some(validator) {
            return;
        }
        let Some(looks) = self.courses[validator].last_two() else { return };
        if let Some(seen) = between(looks, self.blocks.front()) {
            self.blocks.push_front(seen);
            self.blocks.truncate(BLOCKS_MAX);
        }
    }
}

/// The best height that a look has shown.
fn best(look: &Look) -> u64 {
    look.status.height.max(look.status.best_peer)
}

/// Whether a look was at a validator of that chain.
pub(super) fn of(look: &Look, chain: Option<&str>) -> bool {
    chain == Some(&look.status.chain_id)
}

/// The blocks that were stored between two looks at a validator, behind those that were seen before.
fn between(looks: (&Look, &Look), last: Option<&Seen>) -> Option<Seen> {
    let (before, now) = looks;
    // Metrics are a moment younger than the status, and what is counted goes with their height.
    let height = |look: &Look| match &look.figures {
        Ok(Figures { height: Some(height), .. }) => whole(*height),
        _ => look.status.height,
    };
    let stored = height(before);
    let from = last.map_or(stored, |last| last.height.max(stored));
    let blocks = height(now).checked_sub(from).filter(|blocks| *blocks > 0)?;
    // Else some of what was counted belongs to blocks that another validator has shown.
    let exact = from == stored;
    let count = |of: fn(&Figures) -> Option<f64>| risen(looks, of).filter(|_| exact).map(whole);
    let histograms = || {
        let (before, now) = (before.figures.as_ref().ok()?, now.figures.as_ref().ok()?);
        now.block_interval.as_ref()?.since(before.block_interval.as_ref()?)
    };
    Some(Seen {
        height: height(now),
        blocks,
        transactions: count(|figures| Some(figures.block_transactions.as_ref()?.sum())),
        committed: count(|figures| figures.committed),
        seen_unix_ms: now.at.unix_ms,
        interval_seconds: histograms().filter(|_| exact).and_then(|histogram| histogram.mean()),
    })
}

/// A count as one; counts of more than that are not in this world.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` ends at the bounds"
)]
pub(super) fn whole(value: f64) -> u64 {
    value.round() as u64
}
