//! `cairn watch`: what the federation decides, as it decides it; nothing is missed when a
//! connection, or a validator, goes.

mod events;

use std::{
    io::{BufReader, Read},
    thread,
    time::Duration,
};

use cairn_ledger::ids::{PublicKey, TransactionId};
use clap::{Args, ValueEnum};
use serde_json::Value;

use self::events::{Event, Events};
use super::{
    Context, Output,
    client::{Client, Stopped, query, text},
    print::{self, Printed, Row, Rows, cell},
    profile::Connection,
};
use crate::exit::Failure;

/// How long to wait after the first connection that is lost, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Follow what the federation decides, one event a line, until Ctrl-C
#[derive(Debug, Args)]
#[command(after_help = "\
An event's id says where it is in the chain: HEIGHT:INDEX for a transaction, HEIGHT for a block. When a
connection is lost, it is made again, to another validator if several are named, and goes on behind the last
event that was printed: no event is missed.

Ctrl-C ends it; a shell sees exit code 130.

Examples:
  cairn watch                                     from now on
  cairn watch --from 1 --events transaction       the whole history, then what comes
  cairn watch --asset ID --output json | jq .id
  cairn watch --from 1042:7                       behind that event")]
pub(super) struct Arguments {
    /// Begin at this height, or behind this event [default: from now on]
    #[arg(long, value_name = "HEIGHT[:INDEX]")]
    from: Option<String>,
    /// Only transactions of this asset; of any of them when repeated
    #[arg(long, value_name = "ID")]
    asset: Vec<TransactionId>,
    /// Only transactions that do this, as in CREATE
    #[arg(long, value_name = "OPERATION")]
    operation: Vec<String>,
    /// Only transactions that this key owns something of, before or after
    #[arg(long, value_name = "PUBLICKEY")]
    public_key: Vec<PublicKey>,
    /// Only these events
    #[arg(long, value_enum)]
    events: Option<Kind>,
    /// Transactions that were refused, too
    #[arg(long)]
    refused: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A transaction was decided.
    Transaction,
    /// A block was decided.
    Block,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Printed, Failure> {
    let client = Client::new(&arguments.connection, context)?;
    let mut following = Following {
        client: &client,
        filter: filter(arguments),
        from: arguments.from.clone(),
        last: None,
        reached: false,
    };
    let mut rows =
        Rows::new(context.output, &["event", "operation", "transaction", "asset", "status"]);
    following.follow(|event| match context.output {
        // As the validator wrote it.
        Output::Json => print::out(&format!("{}\n", event.data)),
        Output::Table => rows.print(vec![Row::table(lines(event))]),
    })?;
    Ok(Printed::nothing())
}

fn filter(arguments: &Arguments) -> Vec<(&'static str, String)> {
    let Arguments { from: _, asset, operation, public_key, events, refused, connection: _ } =
        arguments;
    let mut pairs = Vec::new();
    pairs.extend(asset.iter().map(|id| ("asset_id", id.to_string())));
    pairs.extend(operation.iter().map(|word| ("operation", word.to_ascii_uppercase())));
    pairs.extend(public_key.iter().map(|key| ("public_key", key.to_string())));
    pairs.extend(events.map(|kind| {
        let word = match kind {
            Kind::Transaction => "transaction",
            Kind::Block => "block",
        };
        ("events", word.to_owned())
    }));
    pairs.extend(refused.then(|| ("refused", "true".to_owned())));
    pairs
}

fn lines(event: &Event) -> Vec<Vec<String>> {
    let data: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
    let id = event.id.clone().unwrap_or_else(|| "-".to_owned());
    let cells = if event.name == "block" {
        let what = format!("{} transactions", data["transactions"]);
        vec![id, "block".to_owned(), text(&data["id"]), "-".to_owned(), what]
    } else {
        let status = match data["reason"]["message"].as_str() {
            Some(why) => format!("{}: {why}", text(&data["status"])),
            None => text(&data["status"]),
        };
        let of = |name: &str| cell(&data[name]);
        vec![id, of("operation"), of("id"), of("asset_id"), status]
    };
    vec![cells]
}

/// Why a connection is over.
enum Over {
    /// Nobody reads any more.
    Unread,
    /// It broke, or the validator ended it.
    Lost(String),
}

/// A stream that goes on over many connections.
struct Following<'a> {
    client: &'a Client,
    filter: Vec<(&'static str, String)>,
    from: Option<String>,
    /// The last event that was printed, or passed.
    last: Option<String>,
    /// Whether anybody has answered yet.
    reached: bool,
}

impl Following<'_> {
    /// Hands on every event, until nobody reads or asking again is of no use.
    fn follow(
        &mut self,
        mut take: impl FnMut(&Event) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut wait = FIRST_WAIT;
        let mut failed = Vec::new();
        loop {
            let before = self.last.clone();
            let why = match self.connect() {
                Err(Stopped::Refused(failure)) => return Err(failure),
                Err(Stopped::Trouble(why)) => why,
                Ok(stream) => match self.read(stream, &mut take)? {
                    Over::Unread => return Ok(()),
                    Over::Lost(why) => why,
                },
            };
            failed.push(why.clone());
            // A URL that nobody ever answered at is more likely wrong than down.
            if !self.reached && failed.len() == self.client.urls().len() {
                return Err(Failure::general(format!("no stream: {}", failed.join("; "))));
            }
            self.client.turn();
            if self.last != before {
                wait = FIRST_WAIT;
                failed.clear();
            }
            if self.reached {
                let behind = self.last.as_deref().unwrap_or("nothing yet");
                eprintln!(
                    "{}; going on behind {behind} at {}",
                    print::harmless(&why),
                    self.client.url()
                );
                thread::sleep(wait);
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    fn connect(&self) -> Result<impl Read + use<>, Stopped> {
        let mut pairs = self.filter.clone();
        if self.last.is_none() {
            pairs.extend(self.from.clone().map(|from| ("from", from)));
        }
        let path = format!("/api/v2/stream{}", query(pairs));
        self.client.stream(&path, self.last.as_deref())
    }

    fn read(
        &mut self,
        stream: impl Read,
        take: &mut impl FnMut(&Event) -> Result<bool, Failure>,
    ) -> Result<Over, Failure> {
        self.reached = true;
        let url = self.client.url().to_owned();
        let mut events = Events::new(BufReader::new(stream));
        loop {
            match events.next() {
                Err(error) => return Ok(Over::Lost(format!("{url}: {error}"))),
                Ok(None) => return Ok(Over::Lost(format!("{url} ended the stream"))),
                Ok(Some(event)) => {
                    if !event.data.is_empty() && !take(&event)? {
                        return Ok(Over::Unread);
                    }
                    // Only what was handed on is behind us.
                    if event.id.is_some() {
                        self.last = event.id;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::stub::{Stub, client_of},
        *,
    };

    fn following<'a>(client: &'a Client, from: &str) -> Following<'a> {
        let from = Some(from.to_owned());
        Following {
            client,
            filter: vec![("events", "block".to_owned())],
            from,
            last: None,
            reached: false,
        }
    }

    /// An answer that breaks off after its events.
    fn stream(events: &str) -> String {
        let chunk = format!("{:x}\r\n{events}\r\n", events.len());
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunk}"
        )
    }

    #[test]
    fn a_lost_connection_is_taken_up_elsewhere_behind_the_last_event() {
        let first = Stub::raw(vec![stream(
            "retry: 1\nid: 4\n\nid: 5\nevent: block\ndata: five\n\nid: 6\nevent: block\ndata: si",
        )]);
        let second = Stub::raw(vec![stream(
            "id: 6\nevent: block\ndata: six\n\nid: 7\nevent: block\ndata: seven\n\n",
        )]);
        let client = client_of(&[&first.url, &second.url]);
        let mut seen = Vec::new();
        let followed = following(&client, "5").follow(|event| {
            seen.push(event.data.clone());
            Ok(seen.len() < 3)
        });
        followed.unwrap();
        assert_eq!(seen, ["five", "six", "seven"], "half an event is none");
        assert_eq!(first.asked(), ["GET /api/v2/stream?events=block&from=5"]);
        assert_eq!(second.asked(), ["GET /api/v2/stream?events=block [last-event-id: 5]"]);
    }

    #[test]
    fn what_asking_again_does_not_mend_ends_it() {
        let refusing = Stub::start(vec![(400, r#"{"detail":"from: a height is wanted"}"#)]);
        let client = refusing.client();
        let failure = following(&client, "x").follow(|_| Ok(true)).unwrap_err();
        assert!(failure.message.contains("400: from: a height is wanted"), "{failure}");
        let nobody = client_of(&["http://127.0.0.1:9", "http://127.0.0.1:9"]);
        let failure = following(&nobody, "1").follow(|_| Ok(true)).unwrap_err();
        assert!(failure.message.contains("no stream"), "{failure}");
    }

    #[test]
    fn events_are_told_in_one_line() {
        let event = |name: &str, data: &str| Event {
            id: Some("3:1".to_owned()),
            name: name.to_owned(),
            data: data.to_owned(),
        };
        let told = lines(&event(
            "transaction",
            r#"{"operation":"CREATE","id":"a","asset_id":"a","status":"committed"}"#,
        ));
        assert_eq!(told, [["3:1", "CREATE", "a", "a", "committed"]]);
        let told = lines(&event("block", r#"{"id":"b","transactions":2}"#));
        assert_eq!(told, [["3:1", "block", "b", "-", "2 transactions"]]);
    }
}
