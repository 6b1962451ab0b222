//! How far the chain is, asked of a quorum: what a validator must know before it says that
//! something is *not* in the ledger.
//!
//! Whoever was told "committed" was told so of a block that more than two thirds of the voting power
//! precommitted. Any such part of the power shares an honest validator with any other, and that one
//! has stored the block or is deciding its height. So whoever hears from a quorum, and stores the
//! highest of what it said, misses nothing that anybody was told before it asked. (The same thought
//! lets a Raft leader read without writing: Ongaro's dissertation, 6.4.)

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    genesis::Genesis,
    ids::Height,
    vote::is_quorum,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::{Mutex, watch};

use super::{ChainStatus, peers::Request};
use crate::{
    clock::Stopwatch,
    mesh::{Channel, Mesh, Peer},
};

/// How long peers may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Asks how far the chain is. Those who ask at once are answered at once, with one question.
pub struct Frontier {
    mesh: Arc<Mesh>,
    genesis: Arc<Genesis>,
    me: Peer,
    status: watch::Receiver<ChainStatus>,
    since: Stopwatch,
    last: Mutex<Answer>,
}

/// What a quorum said.
#[derive(Clone, Copy, Default)]
struct Answer {
    /// When it was asked, by [`Frontier::since`].
    asked: Duration,
    found: Option<Height>,
}

impl std::fmt::Debug for Frontier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frontier(validator {})", self.me)
    }
}

impl Frontier {
    /// As seen by validator `me`, whose chain says how it stands in `status`.
    pub fn new(
        mesh: Arc<Mesh>,
        genesis: Arc<Genesis>,
        me: Peer,
        status: watch::Receiver<ChainStatus>,
    ) -> Self {
        let (since, last) = (Stopwatch::start(), Mutex::default());
        Self { mesh, genesis, me, status, since, last }
    }

    /// A height that no block lies above of which anybody had been told when this was called;
    /// nothing when no quorum answers within a second.
    pub async fn highest(&self) -> Option<Height> {
        let came = self.since.elapsed();
        let mut last = self.last.lock().await;
        // What was asked before this call may not know what its caller knows.
        if last.asked <= came {
            let asked = self.since.elapsed();
            *last = Answer { asked, found: self.ask().await };
        }
        last.found
    }

    async fn ask(&self) -> Option<Height> {
        let power = |peer: Peer| {
            self.genesis.validators().get(usize::from(peer)).map_or(0, |validator| validator.power)
        };
        let request = Request::Frontier.encode();
        let peers = self.mesh.connected().into_iter();
        let mut answers: FuturesUnordered<_> = peers
            .map(|peer| {
                let asked = self.mesh.ask(peer, Channel::Blocks, request.clone(), ANSWER_WITHIN);
                async move { (peer, asked.await.ok().and_then(|bytes| decode(&bytes).ok())) }
            })
            .collect();
        let own = heard_of(&self.status.borrow());
        let (mut heard, mut highest) = own.map_or((0, Height(0)), |own| (power(self.me), own));
        loop {
            if is_quorum(heard, self.genesis.total_power()) {
                return Some(highest);
            }
            if let (peer, Some(height)) = answers.next().await? {
                heard += power(peer);
                highest = highest.max(height);
            }
        }
    }
}

/// The highest block that this validator may have precommitted: nothing if it does not vote.
fn heard_of(status: &ChainStatus) -> Option<Height> {
    let tip = status.tip.height;
    let highest = if status.round.is_some() { tip.next() } else { tip };
    status.signing.then_some(highest)
}

/// What a validator answers.
pub(super) fn answer(status: &ChainStatus) -> Result<Bytes, String> {
    let height = heard_of(status).ok_or("this validator does not vote")?;
    let mut writer = Writer::default();
    writer.u64(height.0);
    Ok(writer.finish().into())
}

fn decode(bytes: &[u8]) -> Result<Height, DecodeError> {
    let mut reader = Reader::new("frontier", bytes);
    let height = Height(reader.u64()?);
    reader.finish()?;
    Ok(height)
}

#[cfg(test)]
mod tests {
    use cairn_ledger::{block::Tip, ids::ChainId};

    use super::*;

    #[test]
    fn a_validator_speaks_for_what_it_may_have_precommitted() {
        #[rustfmt::skip]
        let table = [
            // round, signing, what it says
            (None,    true,  Some(Height(0))),
            (Some(0), true,  Some(Height(1))),
            (Some(3), true,  Some(Height(1))),
            (None,    false, None),
            (Some(0), false, None),
        ];
        for (round, signing, says) in table {
            let tip = Tip::genesis(ChainId([7; 32]));
            let status = ChainStatus { tip, round, best_peer: Height(9), signing };
            let told = answer(&status).ok().map(|bytes| decode(&bytes).unwrap());
            assert_eq!(told, says, "{round:?} {signing}");
        }
        assert!(decode(&[0; 7]).is_err() && decode(&[0; 9]).is_err());
    }
}
