//! What the moments of a day come to: one span for the whole, and one for each step, from the
//! step before it.

use cairn_ledger::ids::ChainId;

use super::{
    Over,
    context::{SpanId, TraceId},
    day::{Origin, STEPS, Step, Told},
};
use crate::clock::{self, Stopwatch};

/// One span.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: &'static str,
    /// Whether others call it.
    pub(super) serves: bool,
    /// Unix time in nanoseconds.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Vec<Attribute>,
    pub(super) events: Vec<(&'static str, u64)>,
    pub(super) failed: bool,
}

/// Something said of a span: ids, heights, codes and counts; never what a transaction says.
pub(super) type Attribute = (&'static str, Value);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// Of whom all spans are.
pub(super) fn resource(validator: &str, chain: &ChainId) -> Vec<Attribute> {
    vec![
        ("service.name", "cairn".into()),
        ("service.version", env!("CARGO_PKG_VERSION").into()),
        ("service.instance.id", validator.into()),
        ("cairn.validator", validator.into()),
        ("cairn.chain", chain.to_string().as_str().into()),
    ]
}

/// What a step's span is called. Searches have none: they follow behind, seconds on a busy machine, for which nobody
/// waits, and a trace that is mostly that shows nothing else.
#[rustfmt::skip]
const NAMES: [(Step, &str); STEPS - 1] = [
    (Step::Received,   "receive"),
    (Step::Checked,    "check"),
    (Step::Admitted,   "admit"),
    (Step::Taken,      "wait"),
    (Step::Appended,   "append"),
    (Step::Read,       "read"),
    (Step::Proposed,   "propose"),
    (Step::Decided,    "vote"),
    (Step::Stored,     "store"),
];

/// The spans of a day, the whole first. Steps follow each other without a gap and without overlap, so that their
/// lengths add up: what was known later than the step after it (the log may give a
/// batch back before it has said that it has it) ends where the one before it ended.
pub(super) fn spans(over: &Over) -> Vec<Span> {
    let Over { origin, told } = over;
    let Origin { trace, parent, came, .. } = origin;
    let clock = Clock::at(came);
    let last = NAMES.iter().filter_map(|(step, _)| told.at(*step)).map(|at| clock.of(at)).max();
    let answered = told.answered.map(|(at, _)| clock.of(&at));
    let whole = Span {
        trace: *trace,
        id: clock::random(),
        parent: *parent,
        name: "transaction",
        serves: true,
        start: clock.began,
        end: last.max(answered).unwrap_or(clock.began),
        attributes: attributes(origin, told),
        events: Vec::new(),
        failed: told.outcome == Some("unknown"),
    };
    let part = |name, start, end| Span {
        id: clock::random(),
        parent: Some(whole.id),
        name,
        serves: false,
        start,
        end,
        attributes: Vec::new(),
        events: Vec::new(),
        failed: false,
        ..whole
    };
    let mut parts = Vec::with_capacity(told.spans());
    if let Some((at, status)) = told.answered {
        let mut request = part("request", clock.began, clock.of(&at));
        request.attributes = vec![
            ("http.request.method", "POST".into()),
            ("http.route", format!("/api/{}", origin.route).as_str().into()),
            ("http.response.status_code", u64::from(status).into()),
        ];
        request.failed = status >= 500;
        parts.push(request);
    }
    let mut before = clock.began;
    for (step, name) in NAMES {
        let Some(at) = told.at(step) else { continue };
        let end = clock.of(at).max(before);
        let mut span = part(name, before, end);
        if step == Step::Decided {
            let votes = [("prevoted", told.prevoted), ("precommitted", told.precommitted)];
            let within = |at: &Stopwatch| clock.of(at).clamp(before, end);
            span.events = votes
                .into_iter()
                .filter_map(|(what, at)| Some((what, within(at.as_ref()?))))
                .collect();
        }
        parts.push(span);
        before = end;
    }
    parts.insert(0, whole);
    parts
}

fn attributes(origin: &Origin, told: &Told) -> Vec<Attribute> {
    let Told { id, transactions, position, appends, place, round, outcome, code, .. } = told;
    let mut all: Vec<Attribute> = vec![
        ("cairn.request_id", (*origin.request_id).into()),
        ("cairn.outcome", outcome.unwrap_or("pending").into()),
    ];
    all.extend(id.map(|id| ("cairn.transaction", id.to_string().as_str().into())));
    all.extend(code.map(|code| ("cairn.code", code.into())));
    all.extend(place.map(|place| ("cairn.height", place.height.0.into())));
    all.extend(place.map(|place| ("cairn.index", u64::from(place.index).into())));
    all.extend(round.map(|round| ("cairn.round", u64::from(round).into())));
    all.extend(position.map(|position| ("cairn.position", position.0.into())));
    if let (Some(stored), Some(found)) = (told.at(Step::Stored), told.at(Step::Searchable)) {
        let after = u64::try_from(stored.until(found).as_millis()).unwrap_or(u64::MAX);
        all.push(("cairn.searchable_after_ms", after.into()));
    }
    let counts = [("cairn.transactions", *transactions), ("cairn.appends", (*appends).into())];
    let told = counts.into_iter().filter(|(_, count)| *count > 0);
    all.extend(told.map(|(name, count)| (name, (count as u64).into())));
    all
}

/// Moments as Unix time, by what the machine's clock said at one of them: so a clock that is
/// set meanwhile moves a trace, and does not bend it.
struct Clock<'a> {
    came: &'a Stopwatch,
    began: u64,
}

impl<'a> Clock<'a> {
    fn at(came: &'a Stopwatch) -> Self {
        let ago = nanoseconds(came.elapsed());
        Self { came, began: clock::unix_ns().saturating_sub(ago) }
    }

    fn of(&self, at: &Stopwatch) -> u64 {
        self.began.saturating_add(nanoseconds(self.came.until(at)))
    }
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
