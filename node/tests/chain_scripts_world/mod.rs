//! One validator's machine, the keys of all, and the names of blocks.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use cairn_ledger::{
    block::{Header, Tip},
    genesis::{Genesis, Validator},
    ids::{BlockId, Hash, Height, Position},
    signature::SigningKey,
    vote::{Certificate, VoteKind, proposal_sign_bytes, vote_sign_bytes},
};
use cairn_node::{
    chain::{
        machine::{Effect, Input, Machine, Record, Signed, SignedKind, Timeouts, Timer},
        message::{
            self, Evidence, Message, RoundCertificateKind, Seen, SignedProposal, SignedVote,
        },
    },
    mesh::Peer,
};

type Slot = (SignedKind, Height, u32);

/// What a script acts on.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) me: Peer,
    observer: bool,
    genesis: Option<Arc<Genesis>>,
    machine: Option<Machine>,
    /// Where the next life begins.
    tip: Option<Tip>,
    journal: Vec<Record>,
    blocks: BTreeMap<String, Header>,
    /// What was ever signed, and whether it has left.
    signed: BTreeMap<Slot, (Signed, bool)>,
}

fn key(index: Peer) -> SigningKey {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&index.to_be_bytes());
    SigningKey::from_seed(seed)
}

fn genesis(count: u16) -> Arc<Genesis> {
    let validator = |index: u16| Validator {
        name: format!("v{index:03}"),
        consensus_key: key(index).public(),
        member_key: key(index + 1000).public(),
        power: 1,
    };
    let validators = (0..count).map(validator).collect();
    Arc::new(Genesis::new("test".to_owned(), [1; 16], validators).unwrap())
}

/// Telling it.
impl World {
    pub(crate) fn start(&mut self, me: Peer, validators: u16, observer: bool) -> String {
        let genesis = genesis(validators);
        let tip = Tip::genesis(genesis.chain());
        *self = Self { me, observer, ..Self::default() };
        (self.genesis, self.tip) = (Some(genesis), Some(tip));
        self.restart()
    }

    pub(crate) fn restart(&mut self) -> String {
        let signer = (!self.observer).then(|| key(self.me));
        let me = (!self.observer).then_some(self.me);
        let (genesis, tip) = (Arc::clone(self.genesis()), self.tip().clone());
        self.machine = Some(Machine::new(genesis, me, signer, tip, Timeouts::default()));
        self.tell(Input::Start { journal: self.journal.clone() })
    }

    pub(crate) fn tell(&mut self, input: Input) -> String {
        let effects = self.machine.as_mut().expect("`start` comes first").step(input);
        let mut text = String::new();
        for effect in effects {
            writeln!(text, "{}", self.effect(effect)).unwrap();
        }
        text
    }

    pub(crate) fn all(&mut self, inputs: impl Iterator<Item = Input>) -> String {
        inputs.map(|input| self.tell(input)).collect()
    }

    pub(crate) fn ordered(&mut self, has_work: bool) -> String {
        let end = Position(self.tip().order.0 + u64::from(has_work));
        self.tell(Input::Ordered { end, has_work })
    }

    pub(crate) fn committed(&mut self, tip: Tip) -> String {
        self.tip = Some(tip.clone());
        // The shell empties the journal with each block.
        self.journal.clear();
        self.tell(Input::Committed(tip))
    }

    /// As the mesh does it: over the wire, past the edge, to the machine.
    pub(crate) fn receive(&mut self, from: Peer, message: Message) -> String {
        let count = self.genesis().validators().len();
        let message = match Message::decode(&message.encode(), count) {
            Ok(decoded) => decoded,
            Err(why) => return format!("dropped at the edge: {why}\n"),
        };
        match message::verify(self.genesis(), &message, from) {
            Ok(()) => self.tell(Input::Received { from, message }),
            Err(why) => format!("dropped at the edge: {why}\n"),
        }
    }

    pub(crate) fn votes(
        &mut self,
        kind: VoteKind,
        height: Height,
        round: u32,
        block: &str,
        from: &[Peer],
    ) -> String {
        let block = self.id(block);
        let mut text = String::new();
        for peer in from {
            let vote = self.vote(*peer, kind, height, round, block);
            text += &self.receive(*peer, Message::Vote(vote));
        }
        text
    }
}

/// Making what it is told.
impl World {
    fn genesis(&self) -> &Arc<Genesis> {
        self.genesis.as_ref().expect("`start` comes first")
    }

    pub(crate) fn tip(&self) -> &Tip {
        self.tip.as_ref().expect("`start` comes first")
    }

    /// That height, else the one after the tip.
    pub(crate) fn height(&self, height: Option<u64>) -> Height {
        height.map_or(self.tip().height.next(), Height)
    }

    pub(crate) fn proposer(&self, round: u32) -> Peer {
        let count = self.genesis().validators().len() as u64;
        Peer::try_from((self.height(None).0 + u64::from(round)) % count).unwrap()
    }

    pub(crate) fn id(&mut self, name: &str) -> Option<BlockId> {
        (name != "nil").then(|| self.header(name, self.proposer(0)).id())
    }

    /// The block of that name; a new one is proposed by `proposer`.
    pub(crate) fn header(&mut self, name: &str, proposer: Peer) -> Header {
        if !self.blocks.contains_key(name) {
            self.make(name, None, Some(proposer), None).unwrap();
        }
        self.blocks[name].clone()
    }

    pub(crate) fn make(
        &mut self,
        name: &str,
        on: Option<&str>,
        proposer: Option<Peer>,
        wrong: Option<&str>,
    ) -> Result<(), String> {
        let tip = match on {
            Some(parent) => {
                let parent = &self.blocks[parent];
                Tip::after(parent, Hash([u8::try_from(parent.height.0).unwrap(); 32]))
            }
            None => self.tip().clone(),
        };
        let mut salt = [0; 32];
        salt[..name.len()].copy_from_slice(name.as_bytes());
        let mut header = Header {
            chain: tip.chain,
            height: tip.height.next(),
            parent: tip.block,
            time_ms: tip.time_ms + 1,
            proposer: proposer.unwrap_or(self.proposer(0)),
            order_from: tip.order,
            order_to: Position(tip.order.0 + 1),
            transactions: 1,
            committed: 1,
            outcomes_root: Hash(salt),
            state_root: tip.state_root,
        };
        match wrong {
            None => (),
            Some("chain") => header.chain.0[0] ^= 1,
            Some("parent") => header.parent.0[0] ^= 1,
            Some("time") => header.time_ms = tip.time_ms,
            Some("order_from") => header.order_from.0 += 1,
            Some("order_to") => header.order_to = header.order_from,
            Some("state_root") => header.state_root.0[0] ^= 1,
            Some(other) => return Err(format!("cannot make the {other} wrong")),
        }
        self.blocks.insert(name.to_owned(), header);
        Ok(())
    }

    pub(crate) fn vote(
        &self,
        validator: Peer,
        kind: VoteKind,
        height: Height,
        round: u32,
        block: Option<BlockId>,
    ) -> SignedVote {
        let bytes = vote_sign_bytes(&self.genesis().chain(), kind, height, round, block);
        let signature = key(validator).sign(&bytes);
        SignedVote { kind, height, round, block, validator, signature }
    }

    pub(crate) fn proposal(
        &self,
        validator: Peer,
        header: &Header,
        round: u32,
        valid_round: Option<u32>,
    ) -> SignedProposal {
        let chain = self.genesis().chain();
        let bytes = proposal_sign_bytes(&chain, header.height, round, valid_round, header.id());
        let signature = key(validator).sign(&bytes);
        SignedProposal { header: header.clone(), round, valid_round, validator, signature }
    }

    pub(crate) fn certificate(
        &self,
        header: &Header,
        signers: &[Peer],
        forged: bool,
    ) -> Certificate {
        let (height, block) = (header.height, header.id());
        let sign = |who: &Peer| {
            let vote = self.vote(*who, VoteKind::Precommit, height, 0, Some(block));
            (*who, vote.signature)
        };
        let mut signatures: Vec<_> = signers.iter().map(sign).collect();
        if let (true, Some(last)) = (forged, signatures.last_mut()) {
            last.1[0] ^= 1;
        }
        Certificate { height, round: 0, block, signatures }
    }
}

/// Writing down what it wants done.
impl World {
    fn effect(&mut self, effect: Effect) -> String {
        match effect {
            Effect::Journal(record) => {
                if let Some(signed) = record.signed_by(self.me) {
                    self.sign(signed);
                }
                let text = self.record(&record);
                self.journal.push(record);
                format!("journal {text}")
            }
            Effect::Broadcast(message) => {
                let again = self.leaves(&message);
                format!("tell all: {}{again}", self.said(&message))
            }
            Effect::Send { to, message } => {
                self.leaves(&message);
                format!("tell {to}: {}", self.said(&message))
            }
            Effect::Schedule { timer, after } => {
                format!("in {} ms: {}", after.as_millis(), self.when(timer))
            }
            Effect::Cancel(timer) => format!("cancel {}", self.when(timer)),
            Effect::CancelAll => "cancel every round's timers".to_owned(),
            Effect::Cut { height, round } => format!("cut a block for {height}/{round}"),
            Effect::Examine { header } => format!("examine {}", self.name(header.id())),
            Effect::FetchBody { header, from } => {
                format!("fetch the body of {} from {from}", self.name(header.id()))
            }
            Effect::Commit { header, certificate } => {
                certificate.verify(self.genesis()).expect("what is decided is proved");
                format!("commit {}", self.certified(&header, &certificate))
            }
            Effect::CommitSynced { from, header, certificate } => {
                certificate.verify(self.genesis()).expect("what is decided is proved");
                format!("commit, from {from}, {}", self.certified(&header, &certificate))
            }
            Effect::FetchBlocks { from, height } => format!("fetch block {height} from {from}"),
            Effect::Evidence(Evidence::Votes(two)) => {
                format!("evidence: {} and {}", self.cast(&two.0), self.cast(&two.1))
            }
            Effect::Evidence(Evidence::Proposals(two)) => {
                format!("evidence: {} and {}", self.proposed(&two.0), self.proposed(&two.1))
            }
            Effect::Alarm(why) => format!("alarm: {}", self.named(&why)),
            Effect::Halt(why) => format!("halt: {}", self.named(&why)),
        }
    }

    /// A slot is signed once, whatever happens in between.
    fn sign(&mut self, signed: Signed) {
        assert!(!self.observer, "an observer signed {signed:?}");
        let slot = (signed.kind, signed.height, signed.round);
        let (first, _) = self.signed.entry(slot).or_insert((signed, false));
        assert_eq!(*first, signed, "signed twice");
    }

    /// What leaves is on record; said again, it is the same bytes.
    fn leaves(&mut self, message: &Message) -> &'static str {
        let record = match message {
            Message::Vote(vote) => Record::Vote(vote.clone()),
            Message::Proposal(proposal) => Record::Proposal(proposal.clone()),
            _ => return "",
        };
        let Some(signed) = record.signed_by(self.me) else { return "" };
        assert!(self.journal.contains(&record), "{message:?} leaves before it is on record");
        let slot = (signed.kind, signed.height, signed.round);
        let (first, left) = self.signed.get_mut(&slot).expect("what is on record was signed");
        assert_eq!(*first, signed, "said again with other bytes");
        if std::mem::replace(left, true) { " (again, the same bytes)" } else { "" }
    }

    fn name(&self, block: BlockId) -> String {
        let name = self.blocks.iter().find(|(_, header)| header.id() == block);
        match name {
            Some((name, _)) => name.clone(),
            None if block.0 == self.genesis().chain().0 => "genesis".to_owned(),
            None => block.to_string(),
        }
    }

    /// A text with its block ids written as names.
    fn named(&self, text: &str) -> String {
        let blocks = self.blocks.iter();
        let text = blocks.fold(text.to_owned(), |text, (name, header)| {
            text.replace(&header.id().to_string(), name)
        });
        text.replace(&self.genesis().chain().to_string(), "genesis")
    }

    fn choice(&self, block: Option<BlockId>) -> String {
        block.map_or("nil".to_owned(), |block| self.name(block))
    }

    fn cast(&self, vote: &SignedVote) -> String {
        let SignedVote { kind, height, round, block, validator, .. } = vote;
        let kind = format!("{kind:?}").to_lowercase();
        format!("{kind} {height}/{round} {} by {validator}", self.choice(*block))
    }

    fn proposed(&self, proposal: &SignedProposal) -> String {
        let SignedProposal { header, round, valid_round, validator, .. } = proposal;
        let lock = valid_round.map_or(String::new(), |round| format!(" with polka of {round}"));
        let name = self.name(header.id());
        format!("proposal {}/{round} {name}{lock} by {validator}", header.height)
    }

    fn record(&self, record: &Record) -> String {
        match record {
            Record::Vote(vote) => self.cast(vote),
            Record::Proposal(proposal) => self.proposed(proposal),
            Record::ProposedValue { header, valid, .. } => {
                let verdict = if *valid { "valid" } else { "invalid" };
                format!("{} is {verdict}", self.name(header.id()))
            }
            Record::TimeoutElapsed { height, round, step } => {
                format!("{} timeout of {height}/{round}", format!("{step:?}").to_lowercase())
            }
            Record::PolkaCertificate(polka) => self.said(&Message::PolkaCertificate(polka.clone())),
        }
    }

    fn said(&self, message: &Message) -> String {
        match message {
            Message::Vote(vote) => self.cast(vote),
            Message::Proposal(proposal) => self.proposed(proposal),
            Message::PolkaCertificate(polka) => {
                let who: Vec<_> = polka.signatures.iter().map(|(who, _)| *who).collect();
                format!(
                    "polka {}/{} {} by {who:?}",
                    polka.height,
                    polka.round,
                    self.name(polka.block)
                )
            }
            Message::RoundCertificate(entry) => {
                let who: Vec<_> = entry.signatures.iter().map(|one| one.validator).collect();
                let kind = match entry.kind {
                    RoundCertificateKind::Precommit => "end",
                    RoundCertificateKind::Skip => "skip",
                };
                format!("{kind} of round {}/{} by {who:?}", entry.height, entry.round)
            }
            Message::Status(status) => {
                let round =
                    status.round.map_or("idle".to_owned(), |round| format!("round {round}"));
                let name = self.name(status.block);
                let seen: String = status.seen.iter().map(seen).collect();
                format!("status: decided {} {name}, {round}{seen}", status.height)
            }
        }
    }

    fn when(&self, timer: Timer) -> String {
        match timer {
            Timer::Round { height, round, step } => {
                format!("{} timeout of {height}/{round}", format!("{step:?}").to_lowercase())
            }
            Timer::Status => "status".to_owned(),
            Timer::Body(block) => format!("give up on the body of {}", self.name(block)),
            Timer::Blocks(height) => format!("give up on block {height}"),
        }
    }

    fn certified(&self, header: &Header, certificate: &Certificate) -> String {
        let who: Vec<_> = certificate.signatures.iter().map(|(who, _)| *who).collect();
        let Certificate { height, round, .. } = certificate;
        format!("{} with precommits {height}/{round} by {who:?}", self.name(header.id()))
    }
}

fn seen(seen: &Seen) -> String {
    let list = |bits: u128| -> Vec<u32> { (0..128).filter(|bit| bits >> bit & 1 == 1).collect() };
    let proposal = if seen.proposal { "a proposal, " } else { "" };
    let (prevotes, precommits) = (list(seen.prevotes), list(seen.precommits));
    format!(
        "; of round {} has {proposal}prevotes {prevotes:?}, precommits {precommits:?}",
        seen.round
    )
}
