//! The same runs with their stores in a real PD and three stores: one seed gives the same run,
//! to the last message, as on memory, whatever befalls the calls.
//!
//! `CAIRN_TIKV_SEEDS=100` tries that many seeds, `CAIRN_SIM_SEED=17` repeats one:
//! `cargo test --features tikv --test sim in_tikv`. Virtual time stands still during a call, so
//! that only the order of calls counts: what the store's own threads do in between depends on
//! the machine, and what comes of it must not. Every other seed has its log there as well.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use cairn_ledger::genesis::Genesis;
use cairn_node::{
    mesh::Peer,
    store::{
        Store, StoreError,
        tikv::{
            TikvStore,
            disturbed::{Disturb, Fate, Step},
        },
    },
};
use cairn_tikv::{Client, Settings, Space, Write};

use crate::{
    asked,
    dice::Dice,
    first_failure,
    log::{Keeper, List},
    plants::Planted,
    servers::Servers,
    slots::Slots,
    volume::{Death, InMemory, Volume},
    world,
};

/// How many seeds there are unless somebody wants more: some ten seconds.
const SEEDS: u64 = 8;
/// How many run at a time: most of their time they wait.
const THREADS: usize = 4;
/// How many of a thousand calls fail that only the store's own threads wait for.
const ROWS_FAIL: u64 = 100;
/// So many times a store is opened before it counts as one that cannot be.
const OPENINGS: usize = 20;

/// PD, three stores, and a place for what validators keep on their own volumes.
struct Cluster {
    client: Client,
    volumes: PathBuf,
    /// How many calls failed on purpose, of each kind.
    failed: [AtomicUsize; 4],
    died: AtomicUsize,
    _servers: Servers,
    _scratch: Scratch,
}

/// A directory that goes after all who use it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Cluster {
    fn start() -> Self {
        let path = std::env::temp_dir().join(format!("cairn-sim-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let (volumes, scratch) = (path.join("volumes"), Scratch(path));
        let servers = Servers::start(&scratch.0.join("servers"));
        let client = Client::open(Settings::of(vec![servers.pd.clone()])).unwrap();
        let (failed, died) = Default::default();
        Self { client, volumes, failed, died, _servers: servers, _scratch: scratch }
    }

    /// Runs a seed on memory and here.
    fn compare(self: &Arc<Self>, seed: u64) {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("seed-{seed}-{run}");
        let mut volume = |genesis: &Arc<Genesis>, me: Peer| -> Box<dyn Volume> {
            let chain = genesis.chain().0;
            let client = self.client.clone();
            let name = name.clone();
            let directory = self.volumes.join(&name).join(me.to_string());
            let claim = |client| async move { Space::claim(client, &name, chain).await };
            let space = client.wait(claim).expect("the prefix is free");
            let luck = Arc::new(Luck::new(seed, me, Arc::clone(self)));
            Box::new(InTikv { space, directory, genesis: Arc::clone(genesis), me, luck })
        };
        if seed.is_multiple_of(2) {
            let log = Rc::new(List::default());
            let here = world::run_on(seed, Planted::Nothing, &mut volume, log);
            assert_eq!(here, world::run(seed, Planted::Nothing), "in TiKV, and on memory");
            return;
        }
        // The log is there too, and the run on memory reads what was written.
        let slots = Rc::new(self.slots(seed, run));
        let log = Rc::clone(&slots) as Rc<dyn Keeper>;
        let here = world::run_on(seed, Planted::Nothing, &mut volume, log);
        let log = Rc::new(slots.recorded());
        let again = world::run_on(seed, Planted::Nothing, &mut InMemory::volume, log);
        assert_eq!(here, again, "with its log in TiKV, and the same log on memory");
    }

    fn slots(&self, seed: u64, run: usize) -> Slots {
        let (chain, validators) = world::chain_of_seed(seed);
        let name = format!("log-{seed}-{run}");
        let claim = |client| async move { Space::claim(client, &name, chain.0).await };
        let space = self.client.wait(claim).expect("the prefix is free");
        Slots::new(space.below("log"), chain, validators.into())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.client.close();
    }
}

#[test]
fn one_seed_is_the_same_run_in_tikv_and_on_memory() {
    let cluster = Arc::new(Cluster::start());
    if let Some(seed) = asked("CAIRN_SIM_SEED") {
        return cluster.compare(seed);
    }
    let seeds = asked("CAIRN_TIKV_SEEDS").unwrap_or(SEEDS);
    if let Some((seed, why)) = first_failure(THREADS, 0..seeds, &|seed| cluster.compare(seed)) {
        panic!(
            "seed {seed}: {why}\nrepeat it: CAIRN_SIM_SEED={seed} cargo test --features tikv \
             --test sim in_tikv"
        );
    }
    let failed = cluster.failed.each_ref().map(|failed| failed.load(Ordering::Relaxed));
    let died = cluster.died.load(Ordering::Relaxed);
    println!("{seeds} seeds: failed {failed:?} of [reads, blocks, tips, rows], {died} deaths");
    let enough = failed.iter().all(|failed| *failed > 0) && died > 0;
    assert!(enough || seeds < SEEDS, "hardly anything went wrong");
}

/// How a process ends that dies in a call: it unwinds, and prints nothing.
struct Died;

/// What befalls the calls of one validator's store.
struct Luck {
    cluster: Arc<Cluster>,
    state: Mutex<State>,
}

struct State {
    /// What befalls the next calls of a kind.
    planned: Vec<(Step, Fate)>,
    /// The planned call is the process's last.
    dying: bool,
    dead: bool,
    /// Of the store's own threads.
    dice: Dice,
    late: Vec<Box<dyn FnOnce() + Send>>,
    quiet: bool,
}

impl Luck {
    fn new(seed: u64, me: Peer, cluster: Arc<Cluster>) -> Self {
        let dice = Dice::new(seed * 1000 + u64::from(me));
        let (planned, late) = (Vec::new(), Vec::new());
        let state = State { planned, dying: false, dead: false, dice, late, quiet: false };
        Self { cluster, state: Mutex::new(state) }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new life; what an earlier one sent and nobody saw arrive arrives now.
    fn begins(&self) -> Vec<Box<dyn FnOnce() + Send>> {
        self.change(|state| {
            (state.dying, state.dead) = (false, false);
            std::mem::take(&mut state.late)
        })
    }
}

impl State {
    fn fate(&mut self, step: Step) -> Fate {
        if let Some(at) = self.planned.iter().position(|(planned, _)| *planned == step) {
            self.dead = self.dying;
            return self.planned.remove(at).1;
        }
        // A dead process goes on for a moment with what does not matter any more.
        if step == Step::Rows && !self.quiet && self.dice.permille(ROWS_FAIL) {
            return self.dice.pick(&[Fate::Lost, Fate::Half, Fate::Unanswered, Fate::Late]);
        }
        Fate::Well
    }
}

impl Disturb for Luck {
    fn fate(&self, step: Step) -> Fate {
        let is_over = self.change(|state| state.dead);
        if is_over && matches!(step, Step::Block | Step::Tip) {
            std::panic::resume_unwind(Box::new(Died));
        }
        let fate = self.change(|state| state.fate(step));
        if fate != Fate::Well {
            self.cluster.failed[step as usize].fetch_add(1, Ordering::Relaxed);
        }
        fate
    }

    fn keep(&self, late: Box<dyn FnOnce() + Send>) {
        self.change(|state| state.late.push(late));
    }
}

/// A validator's keys, and its directory.
struct InTikv {
    space: Space,
    directory: PathBuf,
    genesis: Arc<Genesis>,
    me: Peer,
    luck: Arc<Luck>,
}

impl InTikv {
    fn name(&self) -> String {
        format!("validator-{}", self.me)
    }

    fn open_once(&self) -> Result<TikvStore, StoreError> {
        let (space, genesis) = (self.space.clone(), Arc::clone(&self.genesis));
        let luck = Arc::clone(&self.luck) as Arc<dyn Disturb>;
        TikvStore::open_disturbed(space, &self.directory, genesis, &self.name(), luck)
    }
}

impl Volume for InTikv {
    fn open(&mut self) -> Arc<dyn Store> {
        let late = self.luck.begins();
        for _ in 0..OPENINGS {
            match self.open_once() {
                Ok(store) => {
                    late.into_iter().for_each(|write| write());
                    return Arc::new(store);
                }
                Err(StoreError::Unreachable(_)) => {}
                Err(error) => panic!("validator {} does not open: {error}", self.me),
            }
        }
        panic!("validator {} opened {OPENINGS} times in vain", self.me);
    }

    fn trouble(&mut self, luck: u64) {
        let mut dice = Dice::new(luck);
        let troubles = if luck == 0 { 0 } else { 1 + dice.below(3) };
        let fates = [Fate::Lost, Fate::Half, Fate::Unanswered];
        let steps = [Step::Read, Step::Block, Step::Tip];
        let planned = (0..troubles).map(|_| (dice.pick(&steps), dice.pick(&fates))).collect();
        self.luck.change(|state| (state.planned, state.quiet) = (planned, false));
    }

    fn die(&mut self, death: Death, commit: &mut dyn FnMut()) {
        let last = match death {
            Death::Before => (Step::Block, Fate::Lost),
            Death::Within => (Step::Block, Fate::Half),
            Death::Unsealed => (Step::Block, Fate::Unanswered),
            Death::Sealing => (Step::Tip, Fate::Late),
            Death::Sealed => (Step::Tip, Fate::Unanswered),
        };
        self.luck.change(|state| (state.planned, state.dying) = (vec![last], true));
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(commit));
        let Err(end) = end else { panic!("validator {} outlived {death:?}", self.me) };
        if !end.is::<Died>() {
            std::panic::resume_unwind(end);
        }
        self.luck.cluster.died.fetch_add(1, Ordering::Relaxed);
    }

    fn put_back(&mut self) {
        let all = self.space.below(&format!("v-{}", self.name())).all();
        let emptied = self.space.client().wait(move |client| async move {
            loop {
                let keys = client.scan_keys(all.clone(), 1000).await?;
                if keys.is_empty() {
                    return Ok::<_, cairn_tikv::Trouble>(());
                }
                client.write(keys.into_iter().map(Write::Delete).collect()).await?;
            }
        });
        emptied.expect("the servers are there");
    }

    fn examine(&mut self) {
        self.luck.change(|state| (state.planned, state.quiet) = (Vec::new(), true));
        let late = self.luck.begins();
        late.into_iter().for_each(|write| write());
        let store = self.open_once().expect("the servers are there");
        let findings = store.scrub().expect("the servers are there");
        assert!(findings.is_clean(), "validator {}: {findings:?}", self.me);
        drop(store);
        assert!(!noted(&self.directory), "validator {} suspects its rows", self.me);
    }
}

/// Whether a row was not what was written: the store leaves a note.
fn noted(directory: &Path) -> bool {
    directory.join("tikv.damaged").exists()
}
