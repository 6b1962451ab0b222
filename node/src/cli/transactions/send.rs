//! `cairn tx send`: batches to `POST /api/v2/transactions`, one result a line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;

use super::items::Items;
use crate::{
    cli::{
        Context,
        asset::Wait,
        client::{Answer, Client, Kind, text},
        print::{Printed, Row, Rows, cell},
        profile::Connection,
        progress::Progress,
    },
    exit::Failure,
};

/// Most transactions of one request, as the API has it.
const BATCH_MAX: u64 = 1000;

/// Largest body that is sent: less than the API takes.
const BATCH_BYTES_MAX: usize = 3 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// A file with one signed transaction, an array of them, or one a line; - is stdin
    file: PathBuf,
    /// What to wait for
    #[arg(long, value_enum, default_value_t = Wait::Committed)]
    wait: Wait,
    /// Most transactions of one request
    #[arg(long, default_value_t = BATCH_MAX, value_parser = clap::value_parser!(u64).range(1..=BATCH_MAX))]
    batch: u64,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Printed, Failure> {
    let client = Client::new(&arguments.connection, context)?;
    let named = |why: String| Failure::general(format!("{}: {why}", arguments.file.display()));
    let (reader, size) =
        open(&arguments.file).map_err(|error| named(format!("cannot be read: {error}")))?;
    let mut items = Items::new(reader);
    let progress = Progress::bytes("sending", size);
    let path = format!("/api/v2/transactions?wait={}", arguments.wait.word());
    let mut rows = Rows::new(context.output, &["transaction", "status", "block", "reason"]);
    let (mut sent, mut bad) = (0, 0);
    loop {
        let (batch, end) = gather(&mut items, arguments.batch);
        if !batch.is_empty() {
            let answer = client.post(&path, Kind::Lines, &batch).and_then(Answer::well);
            let answer = answer.map_err(|failure| Failure {
                message: format!(
                    "{failure} ({sent} were answered before; sending all again does no harm)"
                ),
                ..failure
            })?;
            let Value::Array(reports) = answer.json()? else {
                return Err(Failure::general(format!("{} answered no list", answer.url)));
            };
            sent += reports.len();
            bad += reports.iter().filter(|report| !is_taken(report)).count();
            progress.at(items.bytes);
            if !rows.print(reports.iter().map(row).collect())? {
                break;
            }
        }
        match end {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => return Err(named(error.to_string())),
        }
    }
    progress.done();
    if bad == 0 {
        return Ok(Printed::nothing());
    }
    Err(Failure::general(format!("{bad} of {sent} transactions were not taken")))
}

fn open(file: &Path) -> io::Result<(Box<dyn BufRead>, Option<u64>)> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let file = File::open(file)?;
    let size = file.metadata()?.len();
    Ok((Box::new(BufReader::new(file)), Some(size)))
}

/// The next lines to send, and whether that was all. What came before a fault is sent.
fn gather<R: BufRead>(
    items: &mut Items<R>,
    most: u64,
) -> (Vec<u8>, Result<bool, super::items::ItemError>) {
    let mut batch = Vec::new();
    let end = items.found + most;
    while items.found < end && batch.len() < BATCH_BYTES_MAX {
        match items.next() {
            Ok(Some(item)) => {
                batch.extend_from_slice(&item);
                batch.push(b'\n');
            }
            Ok(None) => return (batch, Ok(true)),
            Err(error) => return (batch, Err(error)),
        }
    }
    (batch, Ok(false))
}

fn is_taken(report: &Value) -> bool {
    matches!(report["status"].as_str(), Some("committed" | "pending"))
}

fn row(report: &Value) -> Row {
    let reason = match report["reason"]["message"].as_str() {
        Some(why) => format!("{}: {why}", text(&report["reason"]["code"])),
        None => String::new(),
    };
    let cells = vec![text(&report["id"]), cell(&report["status"]), cell(&report["height"]), reason];
    Row::line(cells, report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_full_or_the_last_and_what_precedes_a_fault_is_sent() {
        let mut items = Items::new(&b"{}{}{}{}{} x"[..]);
        let (batch, end) = gather(&mut items, 2);
        assert_eq!((&batch[..], end.unwrap()), (&b"{}\n{}\n"[..], false));
        let (batch, end) = gather(&mut items, 2);
        assert_eq!((&batch[..], end.unwrap()), (&b"{}\n{}\n"[..], false));
        let (batch, end) = gather(&mut items, 2);
        assert_eq!(&batch[..], b"{}\n");
        assert!(end.unwrap_err().to_string().contains("after 5"));
    }
}
