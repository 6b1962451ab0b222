//! What is shown of the last looks: every figure worked out, nothing drawn yet. Its JSON is what
//! `--once --output json` prints, and stays as it is; what is not known is null there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    ask::{Admin, Members, Moment},
    figures::{Figures, rise},
    histogram::Histogram,
    history::{BEHIND_MAX, Course, History, Look, Seen, middle, of, rate, whole},
};

/// How a validator is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It stores and signs what is decided.
    Voting,
    /// It stores what is decided, and may not sign.
    Following,
    /// It has fewer blocks than others, and gets more of them.
    CatchingUp,
    /// It has fewer blocks than others, and does not get any.
    Behind,
    /// It does not serve.
    NotReady,
    /// It waits for its genesis.
    Founding,
    /// It is of another chain than most of those that were asked.
    OtherChain,
    /// It has said nothing, or nothing that makes sense.
    NotAnswering,
}

impl State {
    /// The word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Voting => "voting",
            Self::Following => "following",
            Self::CatchingUp => "catching up",
            Self::Behind => "behind",
            Self::NotReady => "not ready",
            Self::Founding => "founding",
            Self::OtherChain => "other chain",
            Self::NotAnswering => "not answering",
        }
    }
}

/// One validator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    /// Where it was asked.
    pub(super) admin: String,
    /// Its name; null while it never answered.
    pub(super) validator: Option<String>,
    pub(super) state: State,
    /// Why it does not vote, if it does not.
    pub(super) because: Option<String>,
    pub(super) height: Option<u64>,
    /// How many blocks others have, and it has not.
    pub(super) behind: Option<u64>,
    pub(super) round: Option<u32>,
    /// Whether it sees a quorum.
    pub(super) quorum: Option<bool>,
    pub(super) peers: Option<usize>,
    /// Whether it leads the log.
    pub(super) leads: Option<bool>,
    pub(super) requests_per_second: Option<f64>,
    /// Blocks without its signature, as somebody else has them.
    pub(super) votes_missing: Option<u64>,
    /// Which part of all blocks that is: a certificate is whole with two thirds of the votes, so that
    /// who is well misses some.
    pub(super) votes_missing_share: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) data_free_bytes: Option<u64>,
    pub(super) data_size_bytes: Option<u64>,
    pub(super) version: Option<String>,
    /// Why its metrics are not known, though it answers.
    pub(super) metrics_error: Option<String>,
}

/// All of them together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Federation {
    pub(super) name: Option<String>,
    pub(super) chain_id: Option<String>,
    /// How many there are, asked or not.
    pub(super) validators: Option<u64>,
    pub(super) voting_power: Option<u64>,
    /// How many of them answer.
    pub(super) answering: u64,
    pub(super) answering_power: Option<u64>,
    /// Whether more than two thirds of the power answer.
    pub(super) quorum_answers: bool,
    /// Whether anybody who answers sees a quorum, and whoever leads the log.
    pub(super) quorum: Option<bool>,
    pub(super) no_quorum_because: Option<String>,
    /// How many may be lost before there is none.
    pub(super) quorum_margin: Option<u64>,
    pub(super) height: Option<u64>,
    /// Who leads the log.
    pub(super) leader: Option<String>,
    /// Those who belong to it and do not answer, or were not asked.
    pub(super) not_heard: Vec<String>,
    pub(super) committed_per_second: Option<f64>,
    pub(super) refused_per_second: Option<f64>,
    pub(super) blocks_per_second: Option<f64>,
    pub(super) block_interval_seconds: Option<f64>,
    pub(super) commit_p50_seconds: Option<f64>,
    pub(super) commit_p99_seconds: Option<f64>,
    pub(super) fsync_p99_seconds: Option<f64>,
    pub(super) append_p99_seconds: Option<f64>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct View {
    /// When.
    pub(super) unix_ms: u64,
    /// Over how long rates, latencies and missing votes are.
    pub(super) over_seconds: f64,
    pub(super) federation: Federation,
    pub(super) validators: Vec<Row>,
    /// The latest first.
    pub(super) blocks: Vec<Seen>,
    /// For the screen alone.
    #[serde(skip)]
    pub(super) rates: Vec<f64>,
}

impl View {
    /// Whether the federation can decide, and for how long.
    pub(super) fn quorum_words(&self) -> String {
        let founding = |row: &Row| row.state == State::Founding;
        match (self.federation.quorum, self.federation.quorum_margin) {
            (Some(true), Some(0)) => "quorum, none may be lost".to_owned(),
            (Some(true), Some(margin)) => format!("quorum, {margin} may be lost"),
            (Some(true), None) => "quorum".to_owned(),
            (Some(false), _) => "NO QUORUM".to_owned(),
            (None, _) if self.validators.iter().any(founding) => "no chain yet".to_owned(),
            (None, _) => "NOBODY ANSWERS".to_owned(),
        }
    }
}

/// Works everything out.
pub(super) fn view(history: &History, admins: &[Admin], at: Moment) -> View {
    let chain = history.chain();
    let chain = chain.as_deref();
    let height = history.height(chain);
    let missing = votes_missing(history, chain);
    let rows = |(admin, course)| row(history, admin, course, chain).missing(&missing);
    let mut validators: Vec<Row> = admins.iter().zip(&history.courses).map(rows).collect();
    let federation = Federation { height, ..federation(history, &validators, chain) };
    name_the_last(&mut validators, &federation.not_heard, &missing);
    let spans = history.courses.iter().filter_map(Course::lately);
    let spans = spans.map(|(first, now)| (now.at.since - first.at.since).as_secs_f64());
    View {
        unix_ms: at.unix_ms,
        over_seconds: spans.fold(0.0, f64::max),
        federation,
        validators,
        blocks: history.blocks.iter().cloned().collect(),
        rates: history.rates.iter().copied().collect(),
    }
}

/// Who never answered has not said its name; when all others have, it can only be one.
fn name_the_last(rows: &mut [Row], not_heard: &[String], missing: &Missing) {
    let known: Vec<String> = rows.iter().filter_map(|row| row.validator.clone()).collect();
    let mut others = not_heard.iter().filter(|name| !known.contains(name));
    let mut nameless = rows.iter_mut().filter(|row| row.validator.is_none());
    if let (Some(name), None, Some(row), None) =
        (others.next(), others.next(), nameless.next(), nameless.next())
    {
        row.validator = Some(name.clone());
        *row = row.clone().missing(missing);
    }
}

fn row(history: &History, admin: &Admin, course: &Course, chain: Option<&str>) -> Row {
    let admin = admin.to_string();
    let validator = course.name.clone();
    let Some(look) = course.now() else {
        let because = course.silent.clone().or_else(|| Some("no answer yet".to_owned()));
        return Row { because, ..Row::silent(admin, validator) };
    };
    let Look { status, figures, .. } = look;
    let behind = history.behind(course, chain);
    let (state, because) = state(course, look, behind);
    let lately = course.lately();
    let figure = |of: fn(&Figures) -> Option<f64>| figures.as_ref().ok().and_then(of);
    Row {
        admin,
        validator,
        state,
        because,
        height: Some(status.height),
        behind,
        round: Some(status.round),
        quorum: Some(status.quorum),
        peers: Some(status.peers.len()),
        leads: Some(status.leads),
        requests_per_second: lately.and_then(|looks| rate(looks, |figures| figures.requests)),
        votes_missing: None,
        votes_missing_share: None,
        resident_bytes: figure(|figures| figures.resident_bytes).map(whole),
        data_free_bytes: figure(|figures| figures.data_free_bytes).map(whole),
        data_size_bytes: figure(|figures| figures.data_size_bytes).map(whole),
        version: Some(status.version.clone()).filter(|version| !version.is_empty()),
        metrics_error: figures.as_ref().err().cloned(),
    }
}

impl Row {
    /// Of a validator that says nothing.
    fn silent(admin: String, validator: Option<String>) -> Self {
        Self {
            admin,
            validator,
            state: State::NotAnswering,
            because: None,
            height: None,
            behind: None,
            round: None,
            quorum: None,
            peers: None,
            leads: None,
            requests_per_second: None,
            votes_missing: None,
            votes_missing_share: None,
            resident_bytes: None,
            data_free_bytes: None,
            data_size_bytes: None,
            version: None,
            metrics_error: None,
        }
    }

    /// With what others say of its votes, unless it is of another chain.
    fn missing(self, missing: &Missing) -> Self {
        let named = self.validator.as_ref().filter(|_| self.state != State::OtherChain);
        let of = named.and_then(|name| missing.get(name)).copied();
        let votes_missing = of.map(|(votes, _)| whole(votes));
        let votes_missing_share = of.and_then(|(votes, of)| (of > 0.0).then_some(votes / of));
        Self { votes_missing, votes_missing_share, ..self }
    }

    /// What it is called, or where it was asked.
    pub(super) fn name(&self) -> &str {
        self.validator.as_deref().unwrap_or(&self.admin)
    }
}

/// How a validator that answers is, and why not better.
fn state(course: &Course, look: &Look, behind: Option<u64>) -> (State, Option<String>) {
    let status = &look.status;
    let not_ready = status.not_ready_because.clone();
    if status.phase == "founding" {
        return (State::Founding, not_ready);
    }
    let Some(behind) = behind else {
        return (State::OtherChain, Some(format!("chain {}", status.chain_id)));
    };
    if behind > BEHIND_MAX {
        // At the first look nobody knows yet.
        let rises =
            course.lately().is_none_or(|(first, now)| first.status.height < now.status.height);
        let blocks = || format!("{behind} blocks behind");
        return match (rises, status.ready) {
            (true, _) => (State::CatchingUp, not_ready.or_else(|| Some(blocks()))),
            (false, true) => {
                (State::Behind, status.no_quorum_because.clone().or_else(|| Some(blocks())))
            }
            (false, false) => (State::NotReady, not_ready),
        };
    }
    if !status.ready {
        (State::NotReady, not_ready)
    } else if status.voting {
        (State::Voting, None)
    } else {
        (State::Following, status.not_voting_because.clone())
    }
}

/// Of each validator, blocks without its vote, and all blocks.
type Missing = BTreeMap<String, (f64, f64)>;

/// Votes that were missing lately, as whoever saw most of them has it.
fn votes_missing(history: &History, chain: Option<&str>) -> Missing {
    let mut missing = Missing::new();
    for (first, now) in level(history, chain).filter_map(Course::lately) {
        let (Ok(before), Ok(figures)) = (&first.figures, &now.figures) else { continue };
        let count = |figures: &Figures| figures.block_transactions.as_ref().map(Histogram::count);
        let Some(blocks) = rise(count(figures), count(before)) else { continue };
        // Who missed nothing has no counter; that is known where there are metrics.
        let named = now.status.peers.iter().chain([&now.status.validator]);
        for name in named.chain(figures.votes_missing.keys()) {
            let count = |figures: &Figures| figures.votes_missing.get(name).copied();
            let lately = count(figures).unwrap_or(0.0) - count(before).unwrap_or(0.0);
            let lately = lately.clamp(0.0, blocks);
            let most = missing.entry(name.clone()).or_insert((lately, blocks));
            if most.0 < lately {
                *most = (lately, blocks);
            }
        }
    }
    missing
}

/// Those whose figures say how the federation is.
fn level<'h>(history: &'h History, chain: Option<&'h str>) -> impl Iterator<Item = &'h Course> {
    history.courses.iter().filter(move |course| history.level(course, chain))
}

fn federation(history: &History, rows: &[Row], chain: Option<&str>) -> Federation {
    let ours: Vec<&Look> =
        history.courses.iter().filter_map(Course::now).filter(|look| of(look, chain)).collect();
    let members = chain.and_then(|chain| history.members(chain));
    // One that was asked at two addresses is one.
    let answering: BTreeSet<&str> =
        ours.iter().map(|look| look.status.validator.as_str()).collect();
    let power = |members: &Members| {
        let power = |name: &&str| members.power.get(*name).copied().unwrap_or(0);
        answering.iter().map(power).sum::<u64>()
    };
    let (total, answering_power) =
        (members.map(|members| members.power.values().sum::<u64>()), members.map(power));
    let figure = |of: fn(&Figures) -> Option<f64>| {
        let figures = ours.iter().filter_map(|look| look.figures.as_ref().ok());
        figures.filter_map(of).reduce(f64::max)
    };
    let count = members.map(|members| members.power.len() as u64);
    let count = count.or_else(|| figure(|figures| figures.validators).map(whole));
    let answered = answering.len() as u64;
    // Without the genesis all that were asked count, and count the same.
    let asked = rows.len() as u64;
    let of_all = total.unwrap_or_else(|| count.map_or(asked, |count| count.max(asked)));
    let quorum_answers = enough(answering_power.unwrap_or(answered), of_all);
    let sees = ours.iter().any(|look| look.status.quorum);
    let why = ours.iter().find_map(|look| look.status.no_quorum_because.clone());
    let silent = |name: &&String| !answering.contains(name.as_str());
    let not_heard =
        members.map(|members| members.power.keys().filter(silent).cloned().collect::<Vec<_>>());
    Federation {
        name: members.map(|members| members.name.clone()),
        chain_id: chain.map(str::to_owned),
        validators: count,
        voting_power: total,
        answering: answered,
        answering_power,
        quorum_answers,
        quorum: (!ours.is_empty()).then_some(sees),
        no_quorum_because: why.filter(|_| !sees),
        quorum_margin: figure(|figures| figures.quorum_margin).filter(|m| *m >= 0.0).map(whole),
        leader: ours
            .iter()
            .find(|look| look.status.leads)
            .map(|look| look.status.validator.clone()),
        not_heard: not_heard.unwrap_or_default(),
        ..lately(history, chain)
    }
}

/// More than two thirds.
fn enough(power: u64, of_all: u64) -> bool {
    u128::from(power) * 3 > u128::from(of_all) * 2
}

/// Rates and latencies.
fn lately(history: &History, chain: Option<&str>) -> Federation {
    let looks: Vec<(&Look, &Look)> = level(history, chain).filter_map(Course::lately).collect();
    // Each stores all blocks: what is of blocks, everybody says, and the middle is believed.
    let everybody =
        |of: fn(&Figures) -> Option<f64>| middle(looks.iter().filter_map(|looks| rate(*looks, of)));
    // What is of one validator is of all when it is put together.
    let together = |of: fn(&Figures) -> &Option<Histogram>| {
        let between = |(before, now): &(&Look, &Look)| {
            let (before, now) = (before.figures.as_ref().ok()?, now.figures.as_ref().ok()?);
            of(now).as_ref()?.since(of(before).as_ref()?)
        };
        // Buckets of another version are left out.
        looks.iter().filter_map(between).reduce(|all, more| all.and(&more).unwrap_or(all))
    };
    let commit = together(|figures| &figures.commit);
    let quantile = |histogram: Option<Histogram>, share| histogram?.quantile(share);
    let interval = |(before, now): &(&Look, &Look)| {
        let (before, now) = (before.figures.as_ref().ok()?, now.figures.as_ref().ok()?);
        now.block_interval.as_ref()?.since(before.block_interval.as_ref()?)?.mean()
    };
    Federation {
        committed_per_second: everybody(|figures| figures.committed),
        refused_per_second: refused(&looks),
        blocks_per_second: everybody(|figures| figures.height),
        block_interval_seconds: middle(looks.iter().filter_map(interval)),
        commit_p50_seconds: quantile(commit.clone(), 0.5),
        commit_p99_seconds: quantile(commit, 0.99),
        fsync_p99_seconds: quantile(together(|figures| &figures.fsync), 0.99),
        append_p99_seconds: quantile(together(|figures| &figures.append), 0.99),
        ..Federation::default()
    }
}

/// What is refused at the door is counted by who was asked; what is refused in a block, by all.
fn refused(looks: &[(&Look, &Look)]) -> Option<f64> {
    let of_blocks =
        |figures: &Figures| Some(figures.block_transactions.as_ref()?.sum() - figures.committed?);
    let in_blocks = |looks: &(&Look, &Look)| rate(*looks, of_blocks).unwrap_or(0.0);
    let at_the_door = |looks: &(&Look, &Look)| {
        rate(*looks, |figures| figures.refused).map(|all| (all - in_blocks(looks)).max(0.0))
    };
    let doors: Vec<f64> = looks.iter().filter_map(at_the_door).collect();
    let blocks = middle(looks.iter().map(in_blocks)).unwrap_or(0.0);
    (!doors.is_empty()).then(|| doors.iter().sum::<f64>() + blocks)
}
