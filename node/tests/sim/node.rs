//! One simulated validator: the shell around the real machine, executor and journal.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use cairn_ledger::{
    block::{Block, Body, Header, Tip},
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
    store::{Store, patient::Patient},
};

use crate::{
    byzantine,
    federation::{Federation, corpus},
    network::{Event, Network},
    plants::Planted,
    volume::{Death, Volume, Volumes},
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
    volume: Box<dyn Volume>,
    /// What the volume must have, whatever was cut short: no more, no less.
    stored: Height,
    /// What this validator was seen to store.
    seen: Height,
    was_put_back: bool,
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
    store: Arc<dyn Store>,
    machine: Machine,
    /// From there on it signs, after its volume was put back.
    signs_from: Option<Height>,
    executor: Executor,
    journal: Journal,
    timers: BTreeMap<Timer, u64>,
    timers_set: u64,
    fetched: Option<Arc<Block>>,
}

impl Node {
    pub(crate) fn new(federation: &Federation, me: Peer, volumes: &mut Volumes<'_>) -> Self {
        let disk = SimulatedDisk::default();
        Self::new_journal(federation, me, &disk);
        Self {
            me,
            volume: volumes(&federation.genesis, me),
            stored: Height(0),
            seen: Height(0),
            was_put_back: false,
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
        self.stored
    }

    /// A block, for a peer.
    pub(crate) fn block_at(&self, height: Height) -> Option<Arc<Block>> {
        self.process.as_ref()?.store.block(height).unwrap()
    }

    /// Somebody puts the store back to its beginning. What was signed is on another disk.
    pub(crate) fn put_back(&mut self) {
        assert!(!self.is_up());
        self.volume.put_back();
        (self.stored, self.seen, self.was_put_back) = (Height(0), Height(0), true);
    }

    /// The end of the run: what was decided is read once more, and the volume looked at.
    pub(crate) fn examine(&mut self, watch: &Watch) {
        self.volume.trouble(0);
        let process = self.process.take().expect("it is up");
        watch.compares(self.me, &*process.store);
        process.store.stop();
        drop(process);
        watch.compares(self.me, &*self.volume.open());
        self.volume.examine();
    }

    /// Pulls the plug.
    pub(crate) fn crash(&mut self, scene: &mut Scene<'_>) {
        self.process = None;
        scene.log.keeper.crashes(self.me);
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
        self.roll_trouble(scene);
        let store = Arc::new(Patient::new(self.volume.open())) as Arc<dyn Store>;
        let tip = self.found(&*store, scene);
        scene.log.keeper.starts(self.me, tip.order.0);
        let disk = Box::new(self.disk.clone());
        let (mut journal, recovered) =
            Journal::open_on(disk, genesis.chain(), key.public(), tip.height).unwrap();
        journal.reset(tip.height.next()).unwrap();
        let from = recovered.may_sign_from;
        let signs_from = (from > tip.height.next()).then_some(from);
        assert!(signs_from.is_none() || self.was_put_back, "{:?}", recovered.warnings);
        let mut executor = Executor::new(Arc::clone(&store), genesis, self.me);
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
        let mut machine = self.machine(tip, signs_from.is_none(), scene);
        scene.planted.plant(&mut machine, &mut executor);
        self.process = Some(Process {
            store,
            machine,
            signs_from,
            executor,
            journal,
            timers: BTreeMap::new(),
            timers_set: 0,
            fetched: None,
        });
        self.step(Input::Start { journal: records }, scene);
        for peer in self.peers(scene) {
            self.step(Input::PeerConnected(peer), scene);
        }
        self.tell_order(scene);
    }

    fn machine(&self, tip: Tip, signs: bool, scene: &Scene<'_>) -> Machine {
        let key = &scene.federation.keys[usize::from(self.me)];
        let signer = signs.then(|| cairn_ledger::signature::SigningKey::from_seed(key.seed()));
        let genesis = Arc::clone(&scene.federation.genesis);
        Machine::new(genesis, Some(self.me), signer, tip, Timeouts::default())
    }

    fn peers(&self, scene: &Scene<'_>) -> impl Iterator<Item = Peer> + use<> {
        let me = self.me;
        (0..scene.network.faults.validators.into()).filter(move |peer| *peer != me)
    }

    /// What a new process finds: every block whose commit was done, and no other.
    fn found(&mut self, store: &dyn Store, scene: &mut Scene<'_>) -> Tip {
        let tip = store.tip().0;
        assert_eq!(tip.height, self.stored, "validator {} finds another tip", self.me);
        if self.seen < tip.height {
            let block = store.block(tip.height).unwrap().expect("the tip's block is there");
            scene.watch.stores(self.me, &scene.federation.genesis, &block, &tip);
            self.seen = tip.height;
        }
        tip
    }

    fn roll_trouble(&mut self, scene: &mut Scene<'_>) {
        let network = &mut *scene.network;
        let luck = network.dice.next();
        let happens = network.dice.permille(network.faults.store_trouble);
        self.volume.trouble(if happens { luck } else { 0 });
    }

    /// A commit which this process does not survive, if the dice say so.
    fn dies_in(&mut self, commit: impl FnOnce(&mut Process), scene: &mut Scene<'_>) -> bool {
        let network = &mut *scene.network;
        let death = network.dice.pick(&Death::ALL);
        if !network.dice.permille(network.faults.dies_in_commit) {
            self.roll_trouble(scene);
            return false;
        }
        network.note(&(self.me, death));
        let process = self.process.as_mut().unwrap();
        let mut commit = Some(commit);
        self.volume.die(death, &mut || commit.take().expect("it dies once")(process));
        if death.is_stored() {
            self.stored = self.stored.next();
        }
        self.crash_and_come_back(scene);
        true
    }

    /// Pulls the plug, for a while.
    pub(crate) fn crash_and_come_back(&mut self, scene: &mut Scene<'_>) {
        self.crash(scene);
        let again = 100 + scene.network.dice.below(3000);
        scene.network.at(again, Event::Restart(self.me));
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
                    self.crash_and_come_back(scene);
                    return;
                }
                self.run(effect, &mut inputs, scene);
                if !self.is_up() {
                    return;
                }
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
                // What a validator signed before it was put back comes back from its peers.
                let signs = self.process.as_ref().unwrap().signs_from.is_none();
                let signed = record.signed_by(by).filter(|_| signs).map(Into::into);
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
                let commit = |process: &mut Process| {
                    process.executor.commit(&header, certificate.clone()).unwrap()
                };
                if self.dies_in(|process| drop(commit(process)), scene) {
                    return;
                }
                let stored = commit(self.process.as_mut().unwrap());
                self.committed(stored, inputs, scene);
            }
            Effect::CommitSynced { header, certificate, .. } => {
                let process = self.process.as_mut().unwrap();
                let block = process.fetched.take().expect("the block of the Certified is kept");
                assert_eq!((&block.header, &block.certificate), (&header, &certificate));
                let commit =
                    |process: &mut Process| process.executor.commit_synced(&block).unwrap();
                if self.dies_in(|process| drop(commit(process)), scene) {
                    return;
                }
                let stored = commit(self.process.as_mut().unwrap());
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
        (self.stored, self.seen) = (tip.height, tip.height);
        let process = self.process.as_mut().unwrap();
        process.journal.reset(tip.height.next()).unwrap();
        self.unsynced.clear();
        // What was synced from peers may have overtaken the log here.
        let entries = self.entries(scene, tip.order.0);
        let process = self.process.as_mut().unwrap();
        process.executor.take(entries);
        let (end, has_work) = (process.executor.end(), process.executor.has_work());
        inputs.push_back(Input::Committed(tip.clone()));
        if process.signs_from.take_if(|from| *from <= tip.height.next()).is_some() {
            // It has left the heights at which it may have signed what it does not know of.
            let machine = self.machine(tip, true, scene);
            let peers = self.peers(scene).map(Input::PeerConnected);
            self.process.as_mut().unwrap().machine = machine;
            inputs.clear();
            inputs.push_back(Input::Start { journal: Vec::new() });
            inputs.extend(peers);
        }
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
