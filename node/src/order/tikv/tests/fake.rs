//! A store of keys with all the bad luck that a seed brings.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use cairn_tikv::{Inserted, Pair, Trouble, Write};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Keys, Peer, slot};

/// How bad the luck is, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// A call that never arrives.
    pub(super) lost: u64,
    /// An answer that never comes back.
    pub(super) unanswered: u64,
    /// An insert that was given up on and arrives later.
    pub(super) late: u64,
    /// By how much at most.
    pub(super) late_ms: u64,
    /// The longest that a call takes on its way, in milliseconds.
    pub(super) slow_ms: u64,
}

#[derive(Default)]
struct Links {
    cut: bool,
    hold: bool,
    /// Inserts have their effect, and their answers wait.
    mute: bool,
    held: usize,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Every slot that ever went in, as it was first.
    history: BTreeMap<u64, Vec<u8>>,
    overwritten: usize,
    links: HashMap<Peer, Links>,
    weather: Weather,
    dice: u64,
    lose_next: Option<bool>,
    lost: usize,
    began: Option<Instant>,
    trace: DefaultHasher,
}

impl State {
    /// Takes a call into the transcript. What random bytes it carries changes nothing.
    fn note(&mut self, me: Peer, what: &str, key: &[u8], arrived: bool) {
        let now = Instant::now();
        let since = now.duration_since(*self.began.get_or_insert(now));
        (since, me, what, key, arrived).hash(&mut self.trace);
    }

    fn roll(&mut self, below: u64) -> u64 {
        // splitmix64: the same seed throws the same.
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.dice;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % below.max(1)
    }

    fn happens(&mut self, thousandths: u64) -> bool {
        self.roll(1000) < thousandths
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) -> Inserted {
        match self.rows.get(key) {
            Some(there) if there == value => Inserted::Yes,
            Some(there) => Inserted::Taken(there.clone()),
            None => {
                self.rows.insert(key.to_vec(), value.to_vec());
                if let Some(first) = slot::position(key) {
                    let before = self.history.entry(first).or_insert_with(|| value.to_vec());
                    self.overwritten += usize::from(before != value);
                }
                Inserted::Yes
            }
        }
    }
}

/// What all see.
pub(super) struct Fake(Mutex<State>);

impl Fake {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { dice: seed, ..State::default() })))
    }

    /// One validator's way to it.
    pub(super) fn line(self: &Arc<Self>, me: Peer) -> Box<dyn Keys> {
        Box::new(Way { fake: Arc::clone(self), me })
    }

    pub(super) fn weather(&self, weather: Weather) {
        self.0.lock().weather = weather;
    }

    /// Whether a validator's calls arrive.
    pub(super) fn cut(&self, me: Peer, cut: bool) {
        self.0.lock().links.entry(me).or_default().cut = cut;
    }

    /// A validator's inserts wait before they are sent, as if it slept.
    pub(super) fn hold_inserts(&self, me: Peer, hold: bool) {
        self.0.lock().links.entry(me).or_default().hold = hold;
    }

    /// A validator's inserts have their effect, and it does not hear of it.
    pub(super) fn hold_answers(&self, me: Peer, mute: bool) {
        self.0.lock().links.entry(me).or_default().mute = mute;
    }

    /// Every call so far, as one number.
    pub(super) fn transcript(&self) -> u64 {
        self.0.lock().trace.finish()
    }

    pub(super) fn held(&self, me: Peer) -> usize {
        self.0.lock().links.entry(me).or_default().held
    }

    /// The next insert has no answer, whether it went in or not.
    pub(super) fn lose_next_insert(&self, effect: bool) {
        self.0.lock().lose_next = Some(effect);
    }

    pub(super) fn lost(&self) -> usize {
        self.0.lock().lost
    }

    /// What an administrator could do.
    pub(super) fn meddle(&self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let rows = &mut self.0.lock().rows;
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }

    /// Where the slots are that are there.
    pub(super) fn slots(&self) -> Vec<u64> {
        self.0.lock().rows.keys().filter_map(|key| slot::position(key)).collect()
    }

    /// Every slot that ever was there.
    pub(super) fn history(&self) -> BTreeMap<u64, Vec<u8>> {
        self.0.lock().history.clone()
    }

    /// How many keys held two slots, one after the other.
    pub(super) fn overwritten(&self) -> usize {
        self.0.lock().overwritten
    }
}

struct Way {
    fake: Arc<Fake>,
    me: Peer,
}

fn unreachable<T>(why: &str) -> Result<T, Trouble> {
    Err(Trouble::Unreachable(why.to_owned()))
}

impl Way {
    /// There, the effect, and back.
    async fn call<T>(
        &self,
        what: &str,
        key: &[u8],
        effect: impl FnOnce(&mut State) -> T + Send,
    ) -> Result<T, Trouble> {
        let (there, back) = {
            let mut state = self.fake.0.lock();
            let slow = state.weather.slow_ms;
            (state.roll(slow + 1), state.roll(slow + 1))
        };
        tokio::time::sleep(Duration::from_millis(there)).await;
        let result = {
            let mut state = self.fake.0.lock();
            let (lost, unanswered) = (state.weather.lost, state.weather.unanswered);
            let cut = state.links.entry(self.me).or_default().cut;
            let lost = !cut && state.happens(lost);
            state.note(self.me, what, key, !cut && !lost);
            if cut {
                return unreachable("cut off");
            }
            if lost {
                return unreachable("lost");
            }
            let result = effect(&mut state);
            if state.happens(unanswered) {
                return unreachable("unanswered");
            }
            result
        };
        tokio::time::sleep(Duration::from_millis(back)).await;
        if self.fake.0.lock().links.entry(self.me).or_default().cut {
            return unreachable("cut off");
        }
        Ok(result)
    }

    /// Whether an answer has to wait.
    fn is_mute(&self) -> bool {
        let mut state = self.fake.0.lock();
        let links = state.links.entry(self.me).or_default();
        links.held += usize::from(links.mute);
        links.mute
    }

    fn is_held(&self) -> bool {
        let mut state = self.fake.0.lock();
        let links = state.links.entry(self.me).or_default();
        links.held += usize::from(links.hold);
        links.hold
    }
}

#[async_trait::async_trait]
impl Keys for Way {
    async fn get(&self, keys: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Vec<u8>>, Trouble> {
        let first = keys.first().cloned().unwrap_or_default();
        self.call("get", &first, |state| {
            let pair = |key: Vec<u8>| state.rows.get(&key).cloned().map(|value| (key, value));
            keys.into_iter().filter_map(pair).collect()
        })
        .await
    }

    async fn scan(&self, from: Vec<u8>, to: Vec<u8>, most: u32) -> Result<Vec<Pair>, Trouble> {
        self.call("scan", &from.clone(), |state| {
            let range = if from < to { state.rows.range(from..to) } else { Default::default() };
            range.take(most as usize).map(|(key, value)| (key.clone(), value.clone())).collect()
        })
        .await
    }

    async fn last(&self, from: Vec<u8>, to: Vec<u8>) -> Result<Option<Pair>, Trouble> {
        self.call("last", &from.clone(), |state| {
            let mut range = if from < to { state.rows.range(from..to) } else { Default::default() };
            range.next_back().map(|(key, value)| (key.clone(), value.clone()))
        })
        .await
    }

    async fn names(&self, from: Vec<u8>, to: Vec<u8>, most: u32) -> Result<Vec<Vec<u8>>, Trouble> {
        let pairs = self.scan(from, to, most).await?;
        Ok(pairs.into_iter().map(|(key, _)| key).collect())
    }

    async fn insert(&self, key: Vec<u8>, value: Vec<u8>) -> Result<Inserted, Trouble> {
        while self.is_held() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let lose = {
            let mut state = self.fake.0.lock();
            let lose = state.lose_next.take();
            if let Some(effect) = lose {
                state.lost += 1;
                if effect {
                    state.insert(&key, &value);
                }
            }
            lose
        };
        if lose.is_some() {
            return unreachable("lost on purpose");
        }
        let late = {
            let mut state = self.fake.0.lock();
            let late = state.weather.late;
            let most = state.weather.late_ms;
            state.happens(late).then(|| state.roll(most))
        };
        if let Some(late) = late {
            let (fake, key, value) = (Arc::clone(&self.fake), key.clone(), value.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(late)).await;
                fake.0.lock().insert(&key, &value);
            });
            return unreachable("late");
        }
        let answer = self.call("insert", &key, |state| state.insert(&key, &value)).await;
        while self.is_mute() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        answer
    }

    async fn replace(
        &self,
        key: Vec<u8>,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<Result<(), Option<Vec<u8>>>, Trouble> {
        self.call("replace", &key.clone(), |state| {
            let there = state.rows.get(&key).cloned();
            if there == expected || there.as_ref() == Some(&value) {
                state.rows.insert(key, value);
                Ok(())
            } else {
                Err(there)
            }
        })
        .await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), Trouble> {
        self.call("write", &[], |state| {
            for write in writes {
                match write {
                    Write::Put(key, value) => drop(state.rows.insert(key, value)),
                    Write::Delete(key) => drop(state.rows.remove(&key)),
                }
            }
        })
        .await
    }
}
