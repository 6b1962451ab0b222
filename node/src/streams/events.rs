//! A block as events: read once, written once, shared by all who follow.
//!
//! The text of all events lies in one piece, in the form of Server-Sent Events; whoever
//! wants a run of them is given a slice of it, and whoever speaks WebSocket the JSON inside.

use std::{fmt::Write as _, ops::Range, sync::OnceLock};

use bytes::Bytes;
use cairn_ledger::{
    block::Block,
    execution::Outcome,
    ids::{Height, PublicKey, TransactionId},
    json::{self, Strictness, Value},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{filter::Operation, place::EventId};

/// Why a transaction is no part of the ledger.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Refused<'a> {
    /// A stable code, as in `DOUBLE_SPEND`.
    code: &'a str,
    /// The reason, in the same words on every validator.
    message: &'a str,
}

/// A transaction was decided.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TransactionEvent<'a> {
    /// Always `transaction`.
    event: &'a str,
    /// `height:index`: what `Last-Event-ID` and `from` take.
    event_id: String,
    /// The block that decided it.
    height: u64,
    /// Its place in that block, refused transactions counted.
    index: u32,
    /// Its id; null when it was refused and has none that can be read.
    id: Option<String>,
    /// The asset that it makes or moves: for CREATE and elections its own id.
    asset_id: Option<String>,
    /// As in `CREATE`; null when it was refused and names none that is known.
    operation: Option<&'a str>,
    /// `committed` or `refused`.
    status: &'a str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Refused<'a>>,
}

/// A block was decided; its transactions have been told before.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BlockEvent<'a> {
    /// Always `block`.
    event: &'a str,
    /// `height`: what `Last-Event-ID` takes.
    event_id: String,
    /// Its height.
    height: u64,
    /// Its id.
    id: String,
    /// When it was proposed, by the proposer's clock, in Unix milliseconds.
    time_ms: u64,
    /// How many transactions it decided.
    transactions: u32,
    /// How many of them were committed.
    committed: u32,
}

/// Nothing wanted has happened up to here: where a reader may go on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProgressEvent<'a> {
    /// Always `progress`.
    event: &'a str,
    /// The event that was passed last, wanted or not.
    event_id: String,
}

/// What filters look at.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) id: Option<TransactionId>,
    pub(super) asset: Option<TransactionId>,
    pub(super) operation: Option<Operation>,
    pub(super) committed: bool,
    /// Owners of inputs and outputs, each once.
    pub(super) owners: Vec<PublicKey>,
}

impl Told {
    /// Of a transaction whatever can be read of it: what was refused may be no transaction.
    fn of(bytes: &[u8], committed: bool) -> Self {
        let read = json::parse(bytes, Strictness::Lenient).unwrap_or(Value::Null);
        let id = read.get("id").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let operation = read.get("operation").and_then(Value::as_str).and_then(Operation::named);
        let asset = match read.get("asset").and_then(|asset| asset.get("id")) {
            Some(named) => named.as_str().and_then(|text| text.parse().ok()),
            None => id,
        };
        Self { id, asset, operation, committed, owners: owners(&read) }
    }
}

fn owners(transaction: &Value<'_>) -> Vec<PublicKey> {
    let lists = [("inputs", "owners_before"), ("outputs", "public_keys")];
    let keys = lists.into_iter().flat_map(|(list, field)| {
        let members = transaction.get(list).and_then(Value::as_array).unwrap_or_default();
        members.iter().filter_map(move |member| member.get(field)?.as_array()).flatten()
    });
    let keys = keys.filter_map(|key| key.as_str()?.parse().ok());
    let mut keys: Vec<PublicKey> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Where an event's text lies.
#[derive(Clone, Copy, Debug)]
struct Text {
    /// Where the JSON begins, behind the lines that name the event.
    json: usize,
    /// Where the event ends, its empty line included.
    end: usize,
}

/// All events of one block, in order: its transactions, then itself.
#[derive(Debug)]
pub struct BlockEvents {
    height: Height,
    told: Vec<Told>,
    text: Bytes,
    /// One more than there are transactions.
    texts: Vec<Text>,
    /// The committed transactions as BigchainDB tells them, made when somebody asks.
    frames: OnceLock<Vec<Bytes>>,
}

impl BlockEvents {
    /// Reads a block.
    pub(super) fn of(block: &Block) -> Self {
        let header = &block.header;
        let mut text = String::new();
        let mut texts = Vec::with_capacity(block.body.len() + 1);
        let mut told = Vec::with_capacity(block.body.len());
        for (index, (bytes, outcome)) in (0..).zip(block.body.iter().zip(&block.outcomes)) {
            let (status, reason) = match outcome {
                Outcome::Committed => ("committed", None),
                Outcome::Refused(why) => {
                    ("refused", Some(Refused { code: why.code(), message: &why.text }))
                }
            };
            let read = Told::of(bytes, reason.is_none());
            let id = EventId { height: header.height, index: Some(index) };
            let event = TransactionEvent {
                event: "transaction",
                event_id: id.to_string(),
                height: header.height.0,
                index,
                id: read.id.map(|id| id.to_string()),
                asset_id: read.asset.map(|asset| asset.to_string()),
                operation: read.operation.map(Operation::name),
                status,
                reason,
            };
            texts.push(write(&mut text, event.event, id, &event));
            told.push(read);
        }
        let id = EventId::block(header.height);
        let event = BlockEvent {
            event: "block",
            event_id: id.to_string(),
            height: header.height.0,
            id: header.id().to_string(),
            time_ms: header.time_ms,
            transactions: header.transactions,
            committed: header.committed,
        };
        texts.push(write(&mut text, event.event, id, &event));
        let frames = OnceLock::new();
        Self { height: header.height, told, text: text.into(), texts, frames }
    }

    /// The block's height.
    pub fn height(&self) -> Height {
        self.height
    }

    /// How many events there are.
    pub(super) fn count(&self) -> usize {
        self.texts.len()
    }

    /// The transaction of an event; none for the last, which is the block.
    pub(super) fn told(&self, event: usize) -> Option<&Told> {
        self.told.get(event)
    }

    /// Bytes of an event in the form of Server-Sent Events.
    pub(super) fn bytes(&self, event: usize) -> usize {
        self.texts[event].end - self.start(event)
    }

    fn start(&self, event: usize) -> usize {
        event.checked_sub(1).map_or(0, |before| self.texts[before].end)
    }

    /// Some events in the form of Server-Sent Events.
    fn lines(&self, events: Range<usize>) -> Bytes {
        let end = events.end.checked_sub(1).map_or(0, |last| self.texts[last].end);
        self.text.slice(self.start(events.start).min(end)..end)
    }

    /// One event as JSON.
    fn json(&self, event: usize) -> Bytes {
        let Text { json, end } = self.texts[event];
        self.text.slice(json..end - "\n\n".len())
    }

    /// One transaction as BigchainDB tells it, spaces and order of keys included. Empty for a
    /// refused one, of which BigchainDB tells nothing.
    fn frame(&self, event: usize) -> Bytes {
        let frames = self.frames.get_or_init(|| {
            let frames = self.told.iter().map(|told| match (told.committed, told.id, told.asset) {
                (true, Some(id), Some(asset)) => Bytes::from(format!(
                    r#"{{"height": {}, "asset_id": "{asset}", "transaction_id": "{id}"}}"#,
                    self.height
                )),
                _ => Bytes::new(),
            });
            frames.collect()
        });
        frames.get(event).cloned().unwrap_or_default()
    }
}

/// Appends one event. JSON has no line ends of its own, so that it is one `data` line.
fn write(text: &mut String, name: &str, id: EventId, event: &impl Serialize) -> Text {
    let json = serde_json::to_string(event).expect("its keys are text, and nothing else fails");
    write!(text, "id: {id}\nevent: {name}\ndata: ").expect("a string takes all that fits memory");
    let at = text.len();
    text.push_str(&json);
    text.push_str("\n\n");
    Text { json: at, end: text.len() }
}

/// A run of events of one block that somebody wants.
#[derive(Clone, Debug)]
pub struct Portion {
    pub(super) block: std::sync::Arc<BlockEvents>,
    pub(super) events: Range<usize>,
}

impl Portion {
    /// How many there are: at least one.
    pub fn count(&self) -> u64 {
        self.events.len() as u64
    }

    /// The height of their block.
    pub fn height(&self) -> Height {
        self.block.height()
    }

    /// In the form of Server-Sent Events.
    pub fn lines(&self) -> Bytes {
        self.block.lines(self.events.clone())
    }

    /// Each as JSON.
    pub fn json(&self) -> impl Iterator<Item = Bytes> {
        self.events.clone().map(|event| self.block.json(event))
    }

    /// Each as BigchainDB tells it.
    pub fn frames(&self) -> impl Iterator<Item = Bytes> {
        self.events.clone().map(|event| self.block.frame(event))
    }
}

/// Where a reader stands, in the form of Server-Sent Events: a comment that keeps the
/// connection alive, and an id without an event, which a browser remembers all the same.
pub fn progress_lines(at: EventId) -> Bytes {
    format!(": still here\nid: {at}\n\n").into()
}

/// The same as JSON.
pub fn progress_json(at: EventId) -> Bytes {
    let event = ProgressEvent { event: "progress", event_id: at.to_string() };
    serde_json::to_vec(&event).expect("its keys are text, and nothing else fails").into()
}
