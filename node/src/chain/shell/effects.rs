//! The chain's thread at work: one event, its inputs, their effects, in order.

use std::io::Write;

use cairn_ledger::vote::VoteKind;

use super::*;
use crate::{
    chain::{
        executor::{CommitError, Stored},
        journal::OwnSignature,
        message::{Evidence, SignedVote},
    },
    clock,
    metrics::value_of,
};

/// Most proposals of one height whose first sight is remembered.
const PROPOSED_MAX: usize = 64;

impl Chain {
    /// Runs until told to stop, or until this node must not go on.
    pub(super) fn run(mut self, events: &Receiver<Event>) -> Result<(), Fatal> {
        let journal = std::mem::take(&mut self.replay);
        self.tell(Input::Start { journal });
        loop {
            self.drain()?;
            let event = match self.next_deadline() {
                Some(wait) => events.recv_timeout(wait),
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return self.sync(),
                Ok(event) => {
                    self.take(event)?;
                    self.drain()?;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.fire_timers()?;
            self.give_up_on_the_log()?;
            self.drain()?;
            self.report();
        }
    }

    fn take(&mut self, event: Event) -> Result<(), Fatal> {
        match event {
            Event::Message { from, message } => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                if let Message::Status(status) = &message {
                    self.best_peer = self.best_peer.max(status.height);
                }
                self.tell(Input::Received { from, message });
                Ok(())
            }
            Event::Peer(event) => {
                self.peer_changed(event);
                Ok(())
            }
            Event::Prepared(prepared) => self.log_grew(prepared),
            Event::Body { header, body } => {
                if let Some(body) = body {
                    self.fetched.insert(header.id());
                    self.executor.offer_body(header.id(), body);
                }
                self.examine(header, true)
            }
            Event::Blocks { from, height, blocks } => self.blocks_came(from, height, blocks),
            Event::Stop => Ok(()),
        }
    }

    /// What the machine hears next, once the effects at hand are done.
    fn tell(&mut self, input: Input) {
        self.inputs.push_back(input);
    }

    /// One input after the other, and all effects of one before the next.
    fn drain(&mut self) -> Result<(), Fatal> {
        while let Some(input) = self.inputs.pop_front() {
            let effects = self.machine.step(input);
            self.perform(effects)?;
        }
        Ok(())
    }

    fn perform(&mut self, effects: Vec<Effect>) -> Result<(), Fatal> {
        for effect in effects {
            match effect {
                Effect::Journal(record) => self.write_down(&record)?,
                Effect::Broadcast(message) => {
                    self.sync()?;
                    self.mesh.broadcast(Channel::Chain, message.encode().into());
                    self.has_left(&message);
                }
                Effect::Send { to, message } => {
                    self.sync()?;
                    self.mesh.send(to, Channel::Chain, message.encode().into());
                }
                Effect::Schedule { timer, after } => self.schedule(timer, after),
                Effect::Cancel(timer) => self.cancel(&timer),
                Effect::CancelAll => self.cancel_rounds(),
                Effect::Cut { height, round } => self.cut(height, round)?,
                Effect::Examine { header } => self.examine(header, false)?,
                Effect::FetchBody { header, from } => {
                    let (mesh, inbox) = (self.mesh.clone(), self.inbox.clone());
                    self.runtime.spawn(peers::fetch_body(mesh, inbox, header, from));
                }
                Effect::FetchBlocks { from, height } => self.fetch_blocks(from, height),
                Effect::Commit { header, certificate } => {
                    self.decided = Some((header, certificate));
                    self.seen.decided = Some(Stopwatch::start());
                    self.commit()?;
                }
                Effect::CommitSynced { from: _, header, certificate: _ } => {
                    self.seen.decided = Some(Stopwatch::start());
                    self.commit_synced(header.id())?;
                }
                Effect::Evidence(evidence) => self.keep(&evidence),
                Effect::Alarm(alarm) => tracing::error!(alarm, "what must not be was seen"),
                Effect::Halt(text) => return Err(Fatal::Safety(text)),
            }
        }
        Ok(())
    }

    /// Remembers when the votes of the height left that this node wanted to leave.
    fn has_left(&mut self, message: &Message) {
        if let Message::Vote(SignedVote { kind, block: Some(_), .. }) = message {
            let left = match kind {
                VoteKind::Prevote => &mut self.seen.prevoted,
                VoteKind::Precommit => &mut self.seen.precommitted,
            };
            *left = Some(Stopwatch::start());
        }
    }

    /// An own signature is checked against all that was signed before, then written down.
    fn write_down(&mut self, record: &Record) -> Result<(), Fatal> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        // While this node does not sign, what it signed before comes back from its peers: that is
        // no signature of now.
        let own = record.signed_by(self.me).filter(|_| self.signing);
        let signature = own.map(OwnSignature::from);
        // The machine is past the point of not having signed: what the journal refuses must
        // not leave, and a machine that counts on it must not go on.
        let written = journal.append(&record.encode(), signature);
        if written.is_err() {
            self.metrics.double_sign_refusals.inc();
        }
        Ok(written?)
    }

    fn sync(&mut self) -> Result<(), Fatal> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let watch = Stopwatch::start();
        if journal.has_unsynced() {
            journal.sync()?;
            self.metrics.fsync.with_label_values(&["journal"]).observe(watch.seconds());
        }
        Ok(())
    }

    fn cut(&mut self, height: Height, round: u32) -> Result<(), Fatal> {
        let header = self.executor.cut(clock::unix_ms())?;
        if let Some(header) = &header {
            self.saw(header.id());
            self.examined(header)?;
        }
        self.tell(Input::Cut { height, round, header });
        Ok(())
    }

    /// A proposal is there. Of a height whose rounds never end, the first few will do.
    fn saw(&mut self, block: BlockId) {
        if self.proposed.len() < PROPOSED_MAX {
            self.proposed.entry(block).or_insert_with(Stopwatch::start);
        }
    }

    /// A block was executed here and may be voted for: peers may ask for its body, and what
    /// this node's own log does not keep safe is written into the journal first.
    fn examined(&mut self, header: &Header) -> Result<(), Fatal> {
        let id = header.id();
        let Some(body) = self.executor.body_of(&id)? else { return Ok(()) };
        if (self.fetched.remove(&id) || !self.order.is_durable_here())
            && let Some(journal) = &mut self.journal
        {
            journal.append_body(id, &body);
        }
        self.bodies.put(id, body);
        Ok(())
    }

    /// Stores what was decided, once its body is here. It was, when this node voted; after a
    /// restart the log may take a moment to show it again, and peers may be faster.
    fn commit(&mut self) -> Result<(), Fatal> {
        let Some((header, certificate)) = self.decided.take() else { return Ok(()) };
        let watch = Stopwatch::start();
        match self.executor.commit(&header, certificate.clone()) {
            Ok(stored) => {
                self.metrics.fsync.with_label_values(&["blocks"]).observe(watch.seconds());
                self.metrics.certificates.inc();
                if let Some(seen) = self.proposed.get(&header.id()) {
                    self.metrics.decision.observe(seen.seconds());
                }
                self.stored(&stored)
            }
            Err(CommitError::BodyMissing(_)) => {
                self.look_for(&header);
                self.decided = Some((header, certificate));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the next peer for a decided block whose body is not here.
    fn look_for(&mut self, header: &Header) {
        self.retry_at = Some(self.watch.elapsed() + RETRY_AFTER);
        self.retries += 1;
        let from = self.connected.iter().nth(self.retries % self.connected.len().max(1));
        if let Some(from) = from.copied() {
            self.ask_for_blocks(from, header.height);
        }
    }

    /// Looks at a proposed body. While the log may still bring it, nothing is answered.
    fn examine(&mut self, header: Header, asked_a_peer: bool) -> Result<(), Fatal> {
        let id = header.id();
        self.saw(id);
        let verdict = self.executor.examine(&header, clock::unix_ms())?;
        if verdict == Verdict::Missing && !asked_a_peer {
            let patience = self.watch.elapsed() + LOG_GRACE;
            if !self.expected.iter().any(|(expected, _)| expected.id() == id) {
                self.expected.push((header, patience));
            }
            return Ok(());
        }
        match &verdict {
            Verdict::Valid => {
                self.metrics.proposals.with_label_values(&["valid"]).inc();
                self.examined(&header)?;
            }
            Verdict::Invalid(why) => {
                self.metrics.proposals.with_label_values(&["invalid"]).inc();
                let (height, proposer) = (header.height.0, self.name(header.proposer));
                tracing::warn!(block = %id, height, proposer, why, "a proposal was not voted for");
            }
            Verdict::Missing => self.metrics.proposals.with_label_values(&["missing"]).inc(),
        }
        self.tell(Input::Examined { block: id, verdict });
        Ok(())
    }

    fn log_grew(&mut self, prepared: Vec<Prepared>) -> Result<(), Fatal> {
        self.executor.take(prepared);
        // The proposals that were waiting for the log come first: they are older.
        for (header, patience) in std::mem::take(&mut self.expected) {
            if self.executor.end() >= header.order_to {
                self.examine(header, true)?;
            } else {
                self.expected.push((header, patience));
            }
        }
        self.tell_of_work();
        self.commit()
    }

    fn tell_of_work(&mut self) {
        let (end, has_work) = (self.executor.end(), self.executor.has_work());
        self.tell(Input::Ordered { end, has_work });
    }

    /// Proposals whose body the log did not bring in time: the machine asks a peer.
    fn give_up_on_the_log(&mut self) -> Result<(), Fatal> {
        let now = self.watch.elapsed();
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            self.commit()?;
        }
        while let Some(at) = self.expected.iter().position(|(_, patience)| *patience <= now) {
            let (header, _) = self.expected.swap_remove(at);
            self.examine(header, true)?;
        }
        Ok(())
    }

    /// A block is durable: forget what led to it, tell everyone who waits.
    fn stored(&mut self, stored: &Stored) -> Result<(), Fatal> {
        let tip = stored.tip.clone();
        self.decided = None;
        let height = tip.height;
        if let Some(journal) = &mut self.journal {
            journal.reset(height.next())?;
        }
        self.expected.retain(|(header, _)| header.height > height);
        self.bodies.clear();
        self.fetched.clear();
        let proposed = self.proposed.remove(&tip.block);
        self.proposed.clear();
        self.ahead.store(self.executor.bytes(), Ordering::Relaxed);
        self.tip.send_replace(tip.clone());
        let seen = Seen { proposed, ..std::mem::take(&mut self.seen) };
        self.intake.decided(&stored.block, &stored.ids, &seen);
        self.count(&stored.block);
        let (order, position) = (self.order.clone(), tip.order);
        self.runtime.spawn(async move { order.release(position).await });
        self.tell(Input::Committed(tip.clone()));
        self.may_sign_now(tip);
        self.tell_of_work();
        Ok(())
    }

    /// A node whose signing state was damaged signs again once the chain has left the heights
    /// at which it may have signed something that it does not remember.
    fn may_sign_now(&mut self, tip: Tip) {
        let next = tip.height.next();
        if self.signer.as_ref().is_some_and(|(_, from)| *from <= next)
            && let Some((signer, _)) = self.signer.take()
        {
            self.signing = true;
            self.machine = new_machine(&self.genesis, self.me, Some(signer), tip);
            self.inputs.clear();
            self.tell(Input::Start { journal: Vec::new() });
            let connected = self.connected.iter().map(|peer| Input::PeerConnected(*peer));
            self.inputs.extend(connected);
            tracing::info!(height = next.0, "signing again");
        }
    }

    fn count(&mut self, block: &Block) {
        let metrics = &self.metrics;
        let header = &block.header;
        if let Some(last) = self.last_block.replace(Stopwatch::start()) {
            metrics.block_interval.observe(last.seconds());
        }
        metrics.height.set(value_of(header.height.0));
        metrics.rounds.observe(f64::from(block.certificate.round) + 1.0);
        metrics.block_transactions.observe(f64::from(header.transactions));
        metrics.committed.inc_by(u64::from(header.committed));
        for outcome in &block.outcomes {
            if let cairn_ledger::execution::Outcome::Refused(recorded) = outcome {
                metrics.refused.with_label_values(&[recorded.code()]).inc();
            }
        }
        for (index, validator) in (0u16..).zip(self.genesis.validators()) {
            if block.certificate.signatures.iter().all(|(signer, _)| *signer != index) {
                metrics.votes_missing.with_label_values(&[&validator.name]).inc();
            }
        }
        tracing::debug!(
            height = header.height.0,
            round = block.certificate.round,
            transactions = header.transactions,
            committed = header.committed,
            "a block is stored"
        );
    }

    fn peer_changed(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Connected(peer) => {
                self.connected.insert(peer);
                self.tell(Input::PeerConnected(peer));
            }
            PeerEvent::Disconnected(peer) => {
                self.connected.remove(&peer);
                self.tell(Input::PeerDisconnected(peer));
            }
        }
        self.metrics.peers_connected.set(value_of(self.connected.len()));
    }

    fn fetch_blocks(&mut self, from: Peer, height: Height) {
        // What the last answer brought too many of is the answer to the next question.
        if self.offer_synced(height) {
            return;
        }
        self.ask_for_blocks(from, height);
    }

    fn ask_for_blocks(&self, from: Peer, height: Height) {
        let (mesh, inbox, genesis) = (self.mesh.clone(), self.inbox.clone(), self.genesis.clone());
        self.runtime.spawn(peers::fetch_blocks(mesh, inbox, genesis, height, from));
    }

    fn blocks_came(&mut self, from: Peer, height: Height, blocks: Vec<Block>) -> Result<(), Fatal> {
        // The machine has decided already and only lacks the body: nothing to ask it.
        if let Some((header, _)) = &self.decided {
            let id = header.id();
            let Some(block) = blocks.iter().find(|block| block.header.id() == id) else {
                return Ok(());
            };
            if block.certificate.verify(&self.genesis).is_err() {
                return Ok(());
            }
            let stored = self.executor.commit_synced(block)?;
            return self.stored(&stored);
        }
        self.synced = blocks.into_iter().map(|block| (from, block)).collect();
        if !self.offer_synced(height) {
            self.tell(Input::Unanswered { from });
        }
        Ok(())
    }

    /// Gives the machine the block of a height, if a peer's answer holds it.
    fn offer_synced(&mut self, height: Height) -> bool {
        while let Some((from, block)) = self.synced.pop_front() {
            if block.header.height == height {
                let (header, certificate) = (block.header.clone(), block.certificate.clone());
                self.offered = Some((header.id(), block));
                self.tell(Input::Certified { from, header, certificate });
                return true;
            }
            if block.header.height > height {
                break;
            }
        }
        self.synced.clear();
        false
    }

    fn commit_synced(&mut self, id: BlockId) -> Result<(), Fatal> {
        let Some((_, block)) = self.offered.take().filter(|(offered, _)| *offered == id) else {
            return Err(Fatal::Bug(
                "a block was decided that nobody offered, which is a bug".to_owned(),
            ));
        };
        let stored = self.executor.commit_synced(&block)?;
        self.metrics.sync_blocks.inc();
        self.stored(&stored)
    }

    fn name(&self, validator: Peer) -> &str {
        let known = self.genesis.validators().get(usize::from(validator));
        known.map_or("nobody", |validator| &validator.name)
    }

    fn keep(&self, evidence: &Evidence) {
        let (kind, validator, height) = match evidence {
            Evidence::Votes(two) => ("votes", two.0.validator, two.0.height),
            Evidence::Proposals(two) => ("proposals", two.0.validator, two.0.header.height),
        };
        let validator = self.name(validator);
        tracing::error!(
            alarm = kind,
            validator,
            height = height.0,
            "a validator signed two things"
        );
        self.metrics.evidence.with_label_values(&[kind]).inc();
        let line = line_of(evidence);
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.evidence);
        if let Err(error) = file.and_then(|mut file| writeln!(file, "{line}")) {
            tracing::error!(%error, "the evidence could not be kept");
        }
    }

    fn schedule(&mut self, timer: Timer, after: Duration) {
        self.cancel(&timer);
        self.timers_made += 1;
        let place = (self.watch.elapsed() + after, self.timers_made);
        self.timers.insert(place, timer);
        self.timer_places.insert(timer, place);
    }

    fn cancel(&mut self, timer: &Timer) {
        if let Some(place) = self.timer_places.remove(timer) {
            self.timers.remove(&place);
        }
    }

    fn cancel_rounds(&mut self) {
        let rounds = self.timer_places.extract_if(|timer, _| matches!(timer, Timer::Round { .. }));
        for (_, place) in rounds {
            self.timers.remove(&place);
        }
    }

    fn fire_timers(&mut self) -> Result<(), Fatal> {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > self.watch.elapsed() {
                break;
            }
            let timer = entry.remove();
            self.timer_places.remove(&timer);
            self.tell(Input::TimerFired(timer));
            self.drain()?;
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Duration> {
        let timer = self.timers.first_key_value().map(|((at, _), _)| *at);
        let log = self.expected.iter().map(|(_, patience)| *patience).min();
        let at = [timer, log, self.retry_at].into_iter().flatten().min()?;
        Some(at.saturating_sub(self.watch.elapsed()))
    }

    fn report(&self) {
        let round = self.machine.round();
        self.metrics.round.set(round.map_or(0, i64::from));
        self.metrics.best_peer_height.set(value_of(self.best_peer.0));
        let status = ChainStatus {
            tip: self.machine.tip().clone(),
            round,
            best_peer: self.best_peer,
            signing: self.signing,
        };
        self.status.send_if_modified(|now| {
            let changed = *now != status;
            *now = status;
            changed
        });
    }
}

pub(super) fn new_machine(
    genesis: &Arc<Genesis>,
    me: Peer,
    signer: Option<SigningKey>,
    tip: Tip,
) -> Machine {
    Machine::new(genesis.clone(), Some(me), signer, tip, Timeouts::default())
}

/// One line of the evidence file: what was signed twice, both as they travelled.
fn line_of(evidence: &Evidence) -> String {
    let (kind, first, second) = match evidence {
        Evidence::Votes(two) => {
            ("votes", Message::Vote(two.0.clone()), Message::Vote(two.1.clone()))
        }
        Evidence::Proposals(two) => (
            "proposals",
            Message::Proposal(Box::new(two.0.clone())),
            Message::Proposal(Box::new(two.1.clone())),
        ),
    };
    let (first, second) = (hex::encode(first.encode()), hex::encode(second.encode()));
    format!(r#"{{"kind":"{kind}","first":"{first}","second":"{second}"}}"#)
}
