//! The workloads: which transactions are sent, in which requests, and what each must hear.

use std::{fmt, str::FromStr};

use cairn_ledger::ids::TransactionId;

use crate::{
    corpus::{self, Holding, Label, OUTPUTS_EACH, Signed},
    http,
};

/// What kind of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Workload {
    /// W1: CREATEs.
    Creates,
    /// W2: half CREATEs, half TRANSFERs.
    Mixed,
    /// W3: TRANSFERs, each output moved twice.
    Transfers,
    /// W4: W3 with 1 % double spends and 1 % bad signatures.
    Attacked,
    /// W5: TRANSFERs of four inputs with a signature each.
    FourInputs,
    /// W6: one asset that moves on and on.
    HotAsset,
}

use Workload::{Attacked, Creates, FourInputs, HotAsset, Mixed, Transfers};

impl Workload {
    /// All, in order.
    pub(crate) const ALL: [Self; 6] = [Creates, Mixed, Transfers, Attacked, FourInputs, HotAsset];

    /// What it is, for people.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Creates => "CREATE",
            Mixed => "half CREATE, half TRANSFER",
            Transfers => "TRANSFER",
            Attacked => "TRANSFER, 1 % spent twice, 1 % badly signed",
            FourInputs => "TRANSFER of four inputs, four signatures",
            HotAsset => "one asset, on and on",
        }
    }

    /// Signatures of each transaction.
    pub(crate) fn signatures(self) -> usize {
        self.inputs()
    }

    /// Inputs of each TRANSFER.
    fn inputs(self) -> usize {
        if self == FourInputs { 4 } else { 1 }
    }

    /// Whether it can be measured with so many transactions in a request. A spend of what is not
    /// yet decided is refused, so the links of one chain cannot travel together.
    pub(crate) fn fits(self, per_request: usize) -> bool {
        self != HotAsset || per_request == 1
    }

    /// Whether each request needs the answer to the one before it.
    pub(crate) fn is_sequential(self) -> bool {
        self == HotAsset
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Self::ALL.iter().position(|one| one == self).map_or(0, |at| at + 1);
        write!(f, "W{at}")
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|one| one.to_string().eq_ignore_ascii_case(text));
        known.copied().ok_or_else(|| format!("{text:?} is none of W1, W2, W3, W4, W5, W6"))
    }
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Transactions.
    pub(crate) transactions: usize,
    /// Transactions in each request.
    pub(crate) per_request: usize,
    /// Outputs that are there, at least, when the TRANSFERs begin.
    pub(crate) live_outputs: usize,
    /// Bytes of payload of a CREATE.
    pub(crate) payload: usize,
    /// Bytes of a TRANSFER.
    pub(crate) transfer_bytes: usize,
}

/// What a transaction must hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It is committed.
    Committed,
    /// What it spends is spent.
    DoubleSpend,
    /// Its signature does not hold.
    BadSignature,
}

use Expected::{BadSignature, Committed, DoubleSpend};

/// One request.
pub(crate) struct Request {
    /// The bytes to send, head and body.
    pub(crate) bytes: Vec<u8>,
    /// What each of its transactions must hear.
    pub(crate) expected: Vec<Expected>,
    /// The request whose answer must be here before this one is sent.
    pub(crate) after: Option<usize>,
}

/// What is sent.
pub(crate) struct Script {
    /// What must be in the ledger before the clock starts.
    pub(crate) prepare: Vec<Request>,
    /// What is measured.
    pub(crate) measured: Vec<Request>,
    /// Some of those that will be committed, to be read back.
    pub(crate) committed: Vec<TransactionId>,
    /// Some of those that must not be in the ledger.
    pub(crate) refused: Vec<TransactionId>,
}

/// How many of each kind are looked for afterwards.
const SAMPLE: usize = 250;

/// CREATEs of outputs in a request; each is large.
const OUTPUTS_PER_REQUEST: usize = 10;

/// How often a holding moves.
const MOVES: usize = 2;

/// So many requests lie at least between one and the next that needs its answer, where there are
/// enough: more than can be on their way.
const LAG: usize = 1024;

/// Of so many transactions that spend what a transfer made, two are attacks: of all, 1 % are
/// double spends and 1 % are badly signed.
const ATTACKS_IN: usize = 50;
const DOUBLE_SPEND_AT: usize = 7;
const BAD_SIGNATURE_AT: usize = 32;

/// A transaction and what it must hear.
type Item = (Signed, Expected);

/// Makes and signs it all.
pub(crate) fn script(workload: Workload, size: Size) -> Script {
    let label = Label::next();
    let Size { transactions, payload, .. } = size;
    match workload {
        Creates => {
            let made = corpus::creates(&label, transactions, payload);
            one_round(Vec::new(), made.into_iter().map(good).collect(), size)
        }
        Mixed => {
            let half = transactions / 2;
            let made = corpus::creates(&label, transactions - half, payload);
            let Chains { prepare, rounds } = chains(Transfers, &label, half, 1, size);
            let mut moved = rounds.into_iter().flatten();
            let both = made.into_iter().flat_map(|one| [Some(good(one)), moved.next()]);
            one_round(prepare, both.flatten().collect(), size)
        }
        Transfers | Attacked | FourInputs => {
            let count = transactions.div_ceil(MOVES);
            let Chains { prepare, rounds } = chains(workload, &label, count, MOVES, size);
            rounds_of(prepare, rounds, size)
        }
        HotAsset => hot(&label, size),
    }
}

/// Requests of so many each, all of which must be committed.
pub(crate) fn good_requests(made: Vec<Signed>, per_request: usize) -> Vec<Request> {
    let items: Vec<Item> = made.into_iter().map(good).collect();
    items.chunks(per_request).map(|chunk| request(chunk, None)).collect()
}

fn good(signed: Signed) -> Item {
    (signed, Committed)
}

/// Assets that move on, from one key to the next.
struct Chains {
    prepare: Vec<Signed>,
    /// Their moves, round by round: each spends what the round before made.
    rounds: Vec<Vec<Item>>,
}

fn chains(workload: Workload, label: &Label, count: usize, moves: usize, size: Size) -> Chains {
    let inputs = workload.inputs();
    let prepare = corpus::outputs(label, (count * inputs).max(size.live_outputs));
    let holdings = corpus::holdings(&prepare, inputs);
    let bytes = size.transfer_bytes;
    let chains = corpus::on_all_cores("signing TRANSFERs", count, |number| {
        chain(workload, holdings[number].clone(), number, moves, bytes)
    });
    let mut rounds: Vec<Vec<Item>> = (0..moves).map(|_| Vec::with_capacity(count)).collect();
    for chain in chains {
        for (round, item) in rounds.iter_mut().zip(chain) {
            round.push(item);
        }
    }
    Chains { prepare, rounds }
}

/// The moves of one holding. Attacks take the place of the last one, which nothing spends.
fn chain(
    workload: Workload,
    mut holding: Holding,
    number: usize,
    moves: usize,
    bytes: usize,
) -> Vec<Item> {
    let mut items = Vec::with_capacity(moves);
    let mut before = holding.clone();
    for _ in 1..moves {
        before = holding.clone();
        items.push(good(holding.move_on("", bytes)));
    }
    items.push(match (workload, number % ATTACKS_IN) {
        (Attacked, DOUBLE_SPEND_AT) => (before.spend_only("again", bytes), DoubleSpend),
        (Attacked, BAD_SIGNATURE_AT) => {
            (corpus::spoiled(&holding.spend_only("", bytes)), BadSignature)
        }
        _ => good(holding.move_on("", bytes)),
    });
    items
}

/// One asset, moved so often.
fn hot(label: &Label, size: Size) -> Script {
    let prepare = corpus::outputs(label, OUTPUTS_EACH);
    let mut holding = corpus::holdings(&prepare, 1)[0].clone();
    let moves = (0..size.transactions).map(|_| good(holding.move_on("", size.transfer_bytes)));
    let mut script = one_round(prepare, moves.collect(), size);
    for (at, request) in script.measured.iter_mut().enumerate() {
        request.after = at.checked_sub(1);
    }
    script
}

fn one_round(prepare: Vec<Signed>, items: Vec<Item>, size: Size) -> Script {
    rounds_of(prepare, vec![items], size)
}

fn rounds_of(prepare: Vec<Signed>, rounds: Vec<Vec<Item>>, size: Size) -> Script {
    let prepare = good_requests(prepare, OUTPUTS_PER_REQUEST);
    let requests = rounds[0].len().div_ceil(size.per_request);
    let measured = turns(requests, rounds.len(), LAG.min(requests))
        .into_iter()
        .map(|Turn { round, request: at, after }| {
            let first = at * size.per_request;
            let last = rounds[round].len().min(first + size.per_request);
            request(&rounds[round][first..last], after)
        })
        .collect();
    let sample = |wanted: fn(Expected) -> bool| {
        let all: Vec<TransactionId> = rounds
            .iter()
            .flatten()
            .filter(|(_, expected)| wanted(*expected))
            .map(|(signed, _)| signed.id)
            .collect();
        let step = all.len().div_ceil(SAMPLE).max(1);
        all.into_iter().step_by(step).collect()
    };
    let committed = sample(|expected| expected == Committed);
    let refused = sample(|expected| expected != Committed);
    Script { prepare, measured, committed, refused }
}

fn request(items: &[Item], after: Option<usize>) -> Request {
    let expected = items.iter().map(|(_, expected)| *expected).collect();
    let body = match items {
        [(one, _)] => one.bytes.clone(),
        many => {
            let mut body = vec![b'['];
            for (index, (signed, _)) in many.iter().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(&signed.bytes);
            }
            body.push(b']');
            body
        }
    };
    Request { bytes: http::post("/api/v2/transactions?wait=committed", &body), expected, after }
}

/// Which request of which round is sent next.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    round: usize,
    request: usize,
    /// The place in the order of what it needs.
    after: Option<usize>,
}

/// The order of so many requests in each round: a round begins when the one before it is `lag`
/// requests ahead, so that all of them are under way at the same time.
fn turns(requests: usize, rounds: usize, lag: usize) -> Vec<Turn> {
    let mut order = Vec::with_capacity(requests * rounds);
    let mut place = vec![vec![0; requests]; rounds];
    for step in 0..requests + rounds.saturating_sub(1) * lag {
        for round in 0..rounds {
            let Some(request) = step.checked_sub(round * lag).filter(|at| *at < requests) else {
                continue;
            };
            place[round][request] = order.len();
            let after = round.checked_sub(1).map(|before| place[before][request]);
            order.push(Turn { round, request, after });
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_request_comes_once_and_after_what_it_needs() {
        for (requests, rounds, lag) in
            [(0, 1, 0), (1, 1, 1), (5, 1, 3), (5, 2, 3), (5, 2, 5), (9, 3, 2)]
        {
            let order = turns(requests, rounds, lag);
            let row = format!("{requests} {rounds} {lag}");
            let all: BTreeSet<_> = order.iter().map(|turn| (turn.round, turn.request)).collect();
            assert_eq!((order.len(), all.len()), (requests * rounds, requests * rounds), "{row}");
            for (at, turn) in order.iter().enumerate() {
                let Some(after) = turn.after else {
                    assert_eq!(turn.round, 0, "{row}");
                    continue;
                };
                let needed = &order[after];
                assert!(after < at, "{row}");
                assert_eq!((needed.round + 1, needed.request), (turn.round, turn.request), "{row}");
                // Between the two are at least as many as may be on their way.
                assert!(at - after >= lag, "{row}: {at} after {after}");
            }
        }
    }

    #[test]
    fn a_script_has_what_its_workload_says() {
        #[rustfmt::skip]
        let table = [ // transactions, requests, double spends, bad signatures
            (Creates,    10,  405, 41, 0, 0),
            (Mixed,      10,  400, 40, 0, 0),
            (Transfers,  10,  400, 40, 0, 0),
            (Transfers,   1,  400, 400, 0, 0),
            (Attacked,   10, 1000, 100, 10, 10),
            (FourInputs, 10,  400, 40, 0, 0),
            (HotAsset,    1,   20, 20, 0, 0),
        ];
        for (workload, per_request, transactions, requests, twice, badly) in table {
            let (payload, transfer_bytes) = (64, 800);
            let size = Size { transactions, per_request, live_outputs: 0, payload, transfer_bytes };
            let script = script(workload, size);
            let heard = |wanted: Expected| {
                let expected = script.measured.iter().flat_map(|request| &request.expected);
                expected.filter(|expected| **expected == wanted).count()
            };
            let row = format!("{workload} {per_request}");
            assert_eq!(script.measured.len(), requests, "{row}");
            assert_eq!(heard(DoubleSpend), twice, "{row}");
            assert_eq!(heard(BadSignature), badly, "{row}");
            assert_eq!(heard(Committed), transactions - twice - badly, "{row}");
            assert_eq!(script.refused.len(), twice + badly, "{row}");
            assert_eq!(script.prepare.is_empty(), workload == Creates, "{row}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for workload in Workload::ALL {
            assert_eq!(workload.to_string().parse(), Ok(workload));
            assert_eq!(workload.to_string().to_lowercase().parse(), Ok(workload));
        }
        assert!("W7".parse::<Workload>().is_err());
    }
}
