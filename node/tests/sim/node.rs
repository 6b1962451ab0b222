//! One simulated validator: the shell around the real machine, executor and journal.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use cairn_ledger::{
    block::{Block, Body, Header},
    ids::{BlockId, Height},
};
use cairn_node::{
    chain::{
        executor::{Executor, Stored, prepare},
        journal::{self, Journal, OwnSignature, SignKind, SimulatedDisk},
        machine::{Effect, Input, Machine, Record, Timeouts, Timer, Verdict},
        message::{Message, SignedProposal, SignedVote},
    },
    mesh::Peer,
    store::{Store, memory::MemoryStore},
};

use crate::{
    byzantine,
    federation::{Federation, corpus},
    network::{Event, Network},
    plants::Planted,
    watch::{OwnKey, Watch, own_key},
    world::Log,
};

/// What every validator of a run shares.
pub(crate) struct Scene<'a> {
    pub(crate) federation: &'a Federation,
    pub(crate) log: &'a Log,
    pub(crate) network: &'a mut Network,
    pub(crate) watch: &'a mut Watch,
    pub(crate) planted: Planted,
}

/// A validator: its disks, and its process while that runs.
pub(crate) struct Node {
    pub(crate) me: Peer,
    pub(crate) store: Arc<MemoryStore>,
    disk: SimulatedDisk,
    /// How far the log has come here; it is on this validator's disk.
    log_end: u64,
    /// Counts lives: what was meant for an earlier one does not reach this one.
    pub(crate) life: u64,
    process: Option<Process>,
    /// Own signatures that are on the disk.
    synced: HashSet<OwnKey>,
    unsynced: Vec<OwnKey>,
    /// Blocks whose body was examined here, and is here.
    examined: HashSet<BlockId>,
    /// What went in and came out of the machine, when one seed is looked at.
    diary: Option<Vec<String>>,
}

struct Process {
    machine: Machine,
    executor: Executor,
    journal: Journal,
    timers: BTreeMap<Timer, u64>,
    timers_set: u64,
    fetched: Option<Arc<Block>>,
}

impl Node {
    pub(crate) fn new(federation: &Federation, me: Peer) -> Self {
        let disk = SimulatedDisk::default();
        Self::new_journal(federation, me, &disk);
        Self {
            me,
            store: Arc::new(MemoryStore::new(&federation.genesis)),
            disk,
            log_end: 0,
            life: 0,
            process: None,
            synced: HashSet::new(),
            unsynced: Vec::new(),
            examined: HashSet::new(),
            diary: std::env::var("CAIRN_SIM_SEED").is_ok().then(Vec::new),
        }
    }

    fn new_journal(federation: &Federation, me: Peer, disk: &SimulatedDisk) {
        let key = federation.keys[usize::from(me)].public();
        Journal::create_on(Box::new(disk.clone()), federation.genesis.chain(), key).unwrap();
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn height(&self) -> Height {
        self.store.tip().0.height
    }

    /// Pulls the plug.
    pub(crate) fn crash(&mut self, scene: &mut Scene<'_>) {
        self.process = None;
        self.life += 1;
        self.unsynced.clear();
        let dice = &mut scene.network.dice;
        let kept = dice.pick(&[0, 500, 1000]);
        self.disk.crash(|| dice.permille(kept));
    }

    /// Starts the process on what its disks hold.
    pub(crate) fn start(&mut self, scene: &mut Scene<'_>) {
        let genesis = &scene.federation.genesis;
        let key = &scene.federation.keys[usize::from(self.me)];
        if scene.planted.is_state_file_reset() {
            self.disk = SimulatedDisk::default();
            Self::new_journal(scene.federation, self.me, &self.disk);
        }
        let tip = self.store.tip().0;
        let disk = Box::new(self.disk.clone());
        let (mut journal, recovered) =
            Journal::open_on(disk, genesis.chain(), key.public(), tip.height).unwrap();
        journal.reset(tip.height.next()).unwrap();
        assert_eq!(recovered.may_sign_from, tip.height.next(), "{:?}", recovered.warnings);
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let mut executor = Executor::new(store, genesis, self.me);
        executor.take(self.entries(scene, tip.order.0));
        let mut records = Vec::new();
        for record in recovered.records {
            match record {
                journal::Record::Input(bytes) => {
                    let record = Record::decode(&bytes, genesis.validators().len()).unwrap();
                    if let Some(signed) = record.signed_by(self.me) {
                        self.synced.insert(own_key(&signed.into()));
                    }
                    records.push(record);
                }
                journal::Record::Body { block, transactions } => {
                    executor.offer_body(block, transactions);
                }
            }
        }
        let signer = cairn_ledger::signature::SigningKey::from_seed(key.seed());
        let mut machine = Machine::new(
            Arc::clone(genesis),
            Some(self.me),
            Some(signer),
            tip,
            Timeouts::default(),
        );
        scene.planted.plant(&mut machine, &mut executor);
        let (timers, timers_set, fetched) = (BTreeMap::new(), 0, None);
        self.process = Some(Process { machine, executor, journal, timers, timers_set, fetched });
        self.step(Input::Start { journal: records }, scene);
        let me = self.me;
        for peer in (0..scene.network.faults.validators.into()).filter(|peer| *peer != me) {
            self.step(Input::PeerConnected(peer), scene);
        }
        self.tell_order(scene);
    }

    fn entries(&self, scene: &Scene<'_>, after: u64) -> Vec<cairn_node::chain::executor::Prepared> {
        let entries = scene.log.read(self.me, after, self.log_end);
        prepare(&entries, |bytes| corpus().admitted.get(bytes).cloned())
    }

    /// The log has come further.
    pub(crate) fn log(&mut self, end: u64, scene: &mut Scene<'_>) {
        let before = self.log_end;
        self.log_end = before.max(end);
        if let Some(process) = &self.process {
            let after = process.executor.end().0;
            let entries = self.entries(scene, after);
            self.process.as_mut().unwrap().executor.take(entries);
            self.tell_order(scene);
        }
    }

    fn tell_order(&mut self, scene: &mut Scene<'_>) {
        if let Some(process) = &self.process {
            let (end, has_work) = (process.executor.end(), process.executor.has_work());
            self.step(Input::Ordered { end, has_work }, scene);
        }
    }

    pub(crate) fn timer(&mut self, timer: Timer, set: u64, scene: &mut Scene<'_>) {
        let Some(process) = &mut self.process else { return };
        if process.timers.get(&timer) == Some(&set) {
            process.timers.remove(&timer);
            self.step(Input::TimerFired(timer), scene);
        }
    }

    /// A body came from a peer.
    pub(crate) fn body(&mut self, header: Header, body: Option<Body>, scene: &mut Scene<'_>) {
        let Some(process) = &mut self.process else { return };
        let Some(body) = body else { return };
        let block = header.id();
        process.executor.offer_body(block, body.clone());
        let verdict = process.executor.examine(&header, scene.network.now_ms).unwrap();
        if verdict == Verdict::Valid {
            process.journal.append_body(block, &body);
            self.sync();
            self.examined.insert(block);
        }
        self.step(Input::Examined { block, verdict }, scene);
    }

    /// A certified block came from a peer, or that it has none.
    pub(crate) fn block(&mut self, from: Peer, block: Option<Arc<Block>>, scene: &mut Scene<'_>) {
        let Some(process) = &mut self.process else { return };
        let input = match block {
            None => Input::Unanswered { from },
            Some(block) => {
                let (header, certificate) = (block.header.clone(), block.certificate.clone());
                process.fetched = Some(block);
                Input::Certified { from, header, certificate }
            }
        };
        self.step(input, scene);
    }

    /// What a peer asked for.
    pub(crate) fn body_of(&self, block: &BlockId) -> Option<Body> {
        self.process.as_ref()?.executor.body_of(block).unwrap()
    }

    pub(crate) fn step(&mut self, input: Input, scene: &mut Scene<'_>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(process) = &mut self.process else { return };
            if let Some(diary) = &mut self.diary {
                diary.push(format!("life {} in  {input:?}", self.life));
            }
            for effect in process.machine.step(input) {
                if let Some(diary) = &mut self.diary {
                    diary.push(format!("life {} out {effect:?}", self.life));
                }
                if scene.network.dice.permille(scene.network.faults.crash_inside) {
                    self.crash(scene);
                    let again = 100 + scene.network.dice.below(3000);
                    scene.network.at(again, Event::Restart(self.me));
                    return;
                }
                self.run(effect, &mut inputs, scene);
            }
        }
    }

    fn sync(&mut self) {
        self.process.as_mut().unwrap().journal.sync().unwrap();
        self.synced.extend(self.unsynced.drain(..));
    }

    fn run(&mut self, effect: Effect, inputs: &mut VecDeque<Input>, scene: &mut Scene<'_>) {
        let now_ms = scene.network.now_ms;
        let life = self.life;
        let by = self.me;
        match effect {
            // A liar hears its own lies from others, and no guard would let it go on.
            Effect::Journal(record) if scene.watch.byzantine == Some(by) => {
                self.append(&record, None);
            }
            Effect::Journal(record) => {
                let signed = record.signed_by(by).map(Into::into);
                self.append(&record, signed);
            }
            Effect::Broadcast(message) => {
                let peers = 0..scene.network.faults.validators.into();
                for to in peers.filter(|to| *to != by) {
                    self.send(to, message.clone(), scene);
                }
            }
            Effect::Send { to, message } => self.send(to, message, scene),
            Effect::Examine { header } => {
                let block = header.id();
                let process = self.process.as_mut().unwrap();
                let verdict = process.executor.examine(&header, now_ms).unwrap();
                if verdict == Verdict::Valid {
                    self.examined.insert(block);
                }
                inputs.push_back(Input::Examined { block, verdict });
            }
            Effect::Cut { height, round } => {
                let header = self.process.as_mut().unwrap().executor.cut(now_ms).unwrap();
                self.examined.extend(header.as_ref().map(Header::id));
                inputs.push_back(Input::Cut { height, round, header });
            }
            Effect::FetchBody { header, from } => {
                scene.network.send(by, from, Event::BodyWanted { of: from, by, life, header });
            }
            Effect::FetchBlocks { from, height } => {
                scene.network.send(by, from, Event::BlockWanted { of: from, by, life, height });
            }
            Effect::Commit { header, certificate } => {
                let process = self.process.as_mut().unwrap();
                let stored = process.executor.commit(&header, certificate).unwrap();
                self.committed(stored, inputs, scene);
            }
            Effect::CommitSynced { header, certificate, .. } => {
                let process = self.process.as_mut().unwrap();
                let block = process.fetched.take().expect("the block of the Certified is kept");
                assert_eq!((&block.header, &block.certificate), (&header, &certificate));
                let stored = process.executor.commit_synced(&block).unwrap();
                self.committed(stored, inputs, scene);
            }
            Effect::Evidence(evidence) => scene.watch.accuses(&evidence),
            Effect::Halt(why) => panic!("validator {by} halts: {why}"),
            Effect::Alarm(why) => scene.network.note(&why),
            Effect::Schedule { .. } | Effect::Cancel(_) | Effect::CancelAll => {
                self.timing(effect, scene);
            }
        }
    }

    fn timing(&mut self, effect: Effect, scene: &mut Scene<'_>) {
        let process = self.process.as_mut().unwrap();
        match effect {
            Effect::Schedule { timer, after } => {
                process.timers_set += 1;
                let set = process.timers_set;
                process.timers.insert(timer, set);
                let after = u64::try_from(after.as_millis()).unwrap();
                let (node, life) = (self.me, self.life);
                scene.network.at(after, Event::Timer { node, life, timer, set });
            }
            Effect::Cancel(timer) => {
                process.timers.remove(&timer);
            }
            Effect::CancelAll => {
                process.timers.retain(|timer, _| !matches!(timer, Timer::Round { .. }));
            }
            _ => unreachable!("only timers come here"),
        }
    }

    fn append(&mut self, record: &Record, signed: Option<OwnSignature>) {
        let journal = &mut self.process.as_mut().unwrap().journal;
        if let Err(refused) = journal.append(&record.encode(), signed) {
            let diary = self.diary.iter().flatten().map(|line| format!("\n{line}"));
            panic!(
                "validator {} life {}: {refused}{}",
                self.me,
                self.life,
                diary.collect::<String>()
            );
        }
        self.unsynced.extend(signed.as_ref().map(own_key));
    }

    fn committed(
        &mut self,
        Stored { block, tip, ids: _ }: Stored,
        inputs: &mut VecDeque<Input>,
        scene: &mut Scene<'_>,
    ) {
        scene.network.note(&(self.me, tip.height, tip.block));
        scene.watch.stores(self.me, &scene.federation.genesis, &block, &tip);
        let process = self.process.as_mut().unwrap();
        process.journal.reset(tip.height.next()).unwrap();
        self.unsynced.clear();
        // What was synced from peers may have overtaken the log here.
        let entries = self.entries(scene, tip.order.0);
        let process = self.process.as_mut().unwrap();
        process.executor.take(entries);
        let (end, has_work) = (process.executor.end(), process.executor.has_work());
        inputs.push_back(Input::Committed(tip));
        inputs.push_back(Input::Ordered { end, has_work });
    }

    fn send(&mut self, to: Peer, message: Message, scene: &mut Scene<'_>) {
        if !scene.planted.sends_before_fsync() {
            self.sync();
        }
        let from = self.me;
        if scene.watch.byzantine == Some(from) {
            let key = &scene.federation.keys[usize::from(from)];
            for message in byzantine::twist(message, from, key, scene.network) {
                scene.network.send(from, to, Event::Message { to, from, message });
            }
            return;
        }
        if let Some(signed) = signed_by(&message, from) {
            scene.watch.sends(from, &signed, &self.synced);
            if let (SignKind::Prevote, Some(block)) = (signed.kind, signed.value) {
                assert!(self.examined.contains(&block), "validator {from} voted before the body");
            }
        }
        scene.network.send(from, to, Event::Message { to, from, message });
    }
}

fn signed_by(message: &Message, me: Peer) -> Option<OwnSignature> {
    let record = match message {
        Message::Vote(vote) => Record::Vote(SignedVote::clone(vote)),
        Message::Proposal(proposal) => Record::Proposal(Box::new(SignedProposal::clone(proposal))),
        Message::PolkaCertificate(_) | Message::RoundCertificate(_) | Message::Status(_) => {
            return None;
        }
    };
    record.signed_by(me).map(Into::into)
}
