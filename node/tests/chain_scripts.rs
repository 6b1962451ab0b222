//! Runs every script in `tests/chain_scripts`: one validator's machine is told things, and
//! says what it wants done. `UPDATE_GOLDENFILES=1` rewrites the expected output; read the
//! diff against Tendermint's rules (arXiv 1807.04938) before committing it.
//!
//! Blocks have names; the first mention of one makes it, on top of the machine's tip. The
//! proposer of height `h` and round `r` is validator `(h + r) mod 4`. Written `1/0` is
//! height 1, round 0. The scripts' world watches what no script can print: what is signed is
//! on record before it leaves, and a slot is signed once.

#[cfg(test)]
#[path = "chain_scripts_world/mod.rs"]
mod world;

use std::{error::Error, fs, path::Path};

use cairn_ledger::{block::Tip, ids::Hash, vote::VoteKind};
use cairn_node::{
    chain::{
        machine::{Input, Step, Timer, Verdict},
        message::{
            Message, PolkaCertificate, RoundCertificate, RoundCertificateKind, RoundSignature,
            Seen, Status,
        },
    },
    mesh::Peer,
};
use goldenscript::{Context, Runner};
use world::World;

#[derive(goldenscript::Command)]
enum Command {
    /// A new machine on an empty chain.
    Start {
        /// Which validator it is.
        #[arg(key)]
        me: Option<Peer>,
        /// How many there are.
        #[arg(key)]
        validators: Option<u16>,
        /// Whether it follows without a key.
        #[arg(key, optional)]
        observer: bool,
    },
    /// The process dies; another begins with the journal that it left.
    Restart,
    /// The log has `work` for the next block, or `nothing`.
    Ordered(String),
    /// Makes a block in some way of its own.
    Block {
        name: String,
        /// A block of that name, else the tip.
        #[arg(key)]
        on: Option<String>,
        #[arg(key)]
        proposer: Option<Peer>,
        /// A field that does not fit what it builds on.
        #[arg(key)]
        wrong: Option<String>,
    },
    /// A proposal comes in from whoever signed it.
    Proposal {
        from: Peer,
        round: u32,
        block: String,
        /// The round of its proof of lock.
        #[arg(key)]
        valid_round: Option<u32>,
    },
    /// Prevotes come in, for a block or `nil`.
    Prevote {
        round: u32,
        block: String,
        from: Vec<Peer>,
        #[arg(key)]
        height: Option<u64>,
    },
    /// Precommits come in, for a block or `nil`.
    Precommit {
        round: u32,
        block: String,
        from: Vec<Peer>,
        #[arg(key)]
        height: Option<u64>,
    },
    /// Prevotes of these validators come in at once, from the first of them.
    Polka { round: u32, block: String, signers: Vec<Peer> },
    /// Nil precommits of these validators come in at once, from the first of them.
    Skip { round: u32, signers: Vec<Peer> },
    /// A round's timer runs out.
    Timeout {
        step: String,
        round: u32,
        #[arg(key)]
        height: Option<u64>,
    },
    /// Another timer runs out: `status`, `blocks HEIGHT`, `body BLOCK`.
    Timer { which: String, of: Option<String> },
    /// The slice that was asked for, or `nothing`.
    Cut { round: u32, block: String },
    /// The body was `valid`, `invalid` or `missing`.
    Examined { block: String, verdict: String },
    /// The block is stored.
    Committed(String),
    /// Connections come up.
    Connected(Vec<Peer>),
    /// Connections break.
    Disconnected(Vec<Peer>),
    /// A peer says how far it is.
    Status {
        from: Peer,
        height: u64,
        /// The round that it is in at the height after.
        #[arg(key)]
        round: Option<u32>,
        /// The block at its height; else this machine's tip.
        #[arg(key)]
        block: Option<String>,
        /// Of its round: whether it has the proposal, and whose votes, comma-separated.
        #[arg(key, optional)]
        proposal: bool,
        #[arg(key, optional)]
        prevotes: String,
        #[arg(key, optional)]
        precommits: String,
    },
    /// A peer answers with a block that these validators precommitted in round 0.
    Certified {
        from: Peer,
        block: String,
        signers: Vec<Peer>,
        /// The last signature is another's.
        #[arg(key, optional)]
        forged: bool,
    },
    /// A peer had no block to send.
    Unanswered(Peer),
}

impl Runner for World {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        Ok(match command {
            Command::Start { me, validators, observer } => {
                self.start(me.unwrap_or(0), validators.unwrap_or(4), *observer)
            }
            Command::Restart => self.restart(),
            Command::Block { name, on, proposer, wrong } => {
                self.make(name, on.as_deref(), *proposer, wrong.as_deref())?;
                String::new()
            }
            Command::Ordered(what) => self.ordered(match what.as_str() {
                "work" => true,
                "nothing" => false,
                other => return Err(format!("work or nothing, not {other}").into()),
            }),
            Command::Connected(peers) => {
                self.all(peers.iter().map(|peer| Input::PeerConnected(*peer)))
            }
            Command::Disconnected(peers) => {
                self.all(peers.iter().map(|peer| Input::PeerDisconnected(*peer)))
            }
            Command::Timeout { step, round, height } => {
                let height = self.height(*height);
                let timer = Timer::Round { height, round: *round, step: step_of(step)? };
                self.tell(Input::TimerFired(timer))
            }
            Command::Timer { which, of } => {
                let timer = self.timer(which, of.as_deref())?;
                self.tell(Input::TimerFired(timer))
            }
            Command::Cut { round, block } => {
                let height = self.height(None);
                let header = match block.as_str() {
                    "nothing" => None,
                    name => Some(self.header(name, self.me)),
                };
                self.tell(Input::Cut { height, round: *round, header })
            }
            Command::Examined { block, verdict } => {
                let block = self.id(block).ok_or("nil has no body")?;
                let verdict = match verdict.as_str() {
                    "valid" => Verdict::Valid,
                    "invalid" => Verdict::Invalid("the state would differ".to_owned()),
                    "missing" => Verdict::Missing,
                    other => return Err(format!("no verdict: {other}").into()),
                };
                self.tell(Input::Examined { block, verdict })
            }
            Command::Committed(block) => {
                let header = self.header(block, 0);
                let height = u8::try_from(header.height.0)?;
                self.committed(Tip::after(&header, Hash([height; 32])))
            }
            Command::Certified { from, block, signers, forged } => {
                let header = self.header(block, self.proposer(0));
                let certificate = self.certificate(&header, signers, *forged);
                self.tell(Input::Certified { from: *from, header, certificate })
            }
            Command::Unanswered(from) => self.tell(Input::Unanswered { from: *from }),
            Command::Proposal { .. }
            | Command::Prevote { .. }
            | Command::Precommit { .. }
            | Command::Polka { .. }
            | Command::Skip { .. }
            | Command::Status { .. } => self.message(command)?,
        })
    }
}

impl World {
    /// What a peer says.
    fn message(&mut self, command: &Command) -> Result<String, Box<dyn Error>> {
        let height = self.height(None);
        Ok(match command {
            Command::Proposal { from, round, block, valid_round } => {
                let header = self.header(block, *from);
                let proposal = self.proposal(*from, &header, *round, *valid_round);
                self.receive(*from, Message::Proposal(Box::new(proposal)))
            }
            Command::Prevote { round, block, from, height } => {
                self.votes(VoteKind::Prevote, self.height(*height), *round, block, from)
            }
            Command::Precommit { round, block, from, height } => {
                self.votes(VoteKind::Precommit, self.height(*height), *round, block, from)
            }
            Command::Polka { round, block, signers } => {
                let id = self.id(block);
                let sign = |who: &Peer| {
                    (*who, self.vote(*who, VoteKind::Prevote, height, *round, id).signature)
                };
                let signatures = signers.iter().map(sign).collect();
                let block = id.ok_or("a polka is for a block")?;
                let polka = PolkaCertificate { height, round: *round, block, signatures };
                self.receive(signers[0], Message::PolkaCertificate(polka))
            }
            Command::Skip { round, signers } => {
                let sign = |who: &Peer| {
                    let vote = self.vote(*who, VoteKind::Precommit, height, *round, None);
                    let (kind, signature) = (vote.kind, vote.signature);
                    RoundSignature { validator: *who, kind, block: None, signature }
                };
                let signatures = signers.iter().map(sign).collect();
                let kind = RoundCertificateKind::Skip;
                let skip = RoundCertificate { height, round: *round, kind, signatures };
                self.receive(signers[0], Message::RoundCertificate(skip))
            }
            Command::Status { from, height, round, block, proposal, prevotes, precommits } => {
                let block = block.as_deref().and_then(|name| self.id(name));
                let block = block.unwrap_or(self.tip().block);
                let seen = Seen {
                    round: round.unwrap_or(0),
                    proposal: *proposal,
                    prevotes: bits(prevotes)?,
                    precommits: bits(precommits)?,
                };
                let seen = if round.is_some() { vec![seen] } else { vec![] };
                let height = cairn_ledger::ids::Height(*height);
                self.receive(*from, Message::Status(Status { height, block, round: *round, seen }))
            }
            _ => unreachable!("only what peers say comes here"),
        })
    }

    fn timer(&mut self, which: &str, of: Option<&str>) -> Result<Timer, Box<dyn Error>> {
        Ok(match (which, of) {
            ("status", None) => Timer::Status,
            ("blocks", Some(height)) => Timer::Blocks(cairn_ledger::ids::Height(height.parse()?)),
            ("body", Some(block)) => Timer::Body(self.id(block).ok_or("nil has no body")?),
            _ => return Err("status, blocks HEIGHT or body BLOCK".into()),
        })
    }
}

fn step_of(step: &str) -> Result<Step, Box<dyn Error>> {
    Ok(match step {
        "propose" => Step::Propose,
        "prevote" => Step::Prevote,
        "precommit" => Step::Precommit,
        other => return Err(format!("no step: {other}").into()),
    })
}

/// A bit for each in a list like `1,2`.
fn bits(list: &str) -> Result<u128, Box<dyn Error>> {
    let mut bits = 0;
    for index in list.split(',').filter(|index| !index.is_empty()) {
        bits |= 1_u128 << index.parse::<u32>()?;
    }
    Ok(bits)
}

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chain_scripts");
    for entry in fs::read_dir(folder).expect("the scripts folder exists") {
        let path = entry.expect("readable").path();
        goldenscript::run(&mut World::default(), &path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
