//! What an administrator of TiKV may do to a federation: read, overwrite and remove any of its
//! keys, and see what its log and its validators' states hold.

use std::{collections::HashSet, ops::Range};

use cairn_tikv::{Client, Pair, Settings, Write};

use super::{
    federation::{Federation, Node, Scratch, until},
    in_tikv,
    servers::Servers,
};

/// A federation with its log and state on servers of its own, and a hand in them.
pub(crate) struct World {
    // First, so that the validators end before their servers.
    pub(crate) federation: Federation,
    pub(crate) hand: Hand,
    pub(crate) servers: Servers,
    _scratch: Scratch,
}

impl World {
    pub(crate) fn start(test: &str) -> Self {
        Self::start_with(test, &["--base-port", "0"])
    }

    /// With other options of the servers' launcher.
    pub(crate) fn start_with(test: &str, options: &[&str]) -> Self {
        let mut world = Self::found(test, options);
        world.federation.start_all();
        world
    }

    /// Without its validators.
    pub(crate) fn found(test: &str, options: &[&str]) -> Self {
        let scratch = Scratch::new(&format!("{test}-servers"));
        let servers = Servers::start_with(&scratch.0, options);
        let backend = in_tikv(&servers.pd);
        let prefix = backend.section.split('"').nth(3).expect("the prefix comes second");
        let hand = Hand::new(&servers, prefix);
        let federation = Federation::found_in(test, 4, &backend);
        Self { federation, hand, servers, _scratch: scratch }
    }

    /// The folder of a store.
    pub(crate) fn folder(&self, store: &str) -> std::path::PathBuf {
        self._scratch.0.join(store)
    }
}

/// A client that does what no validator would.
pub(crate) struct Hand {
    client: Client,
    prefix: String,
}

/// What a slot of the log says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) first: u64,
    pub(crate) epoch: u64,
    pub(crate) entry: [u8; 16],
    pub(crate) writer: u16,
    pub(crate) batches: u32,
}

impl Hand {
    fn new(servers: &Servers, prefix: &str) -> Self {
        let client = Client::open(Settings::of(vec![servers.pd.clone()])).unwrap();
        Self { client, prefix: prefix.to_owned() }
    }

    /// A key of the log.
    pub(crate) fn log_key(&self, rest: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b"/log/", rest].concat()
    }

    /// The key of the slot that begins at a position.
    pub(crate) fn slot_key(&self, first: u64) -> Vec<u8> {
        self.log_key(&[b"s", &first.to_be_bytes()[..]].concat())
    }

    /// The pairs of a range, the first ones or the last ones.
    pub(crate) fn scan(&self, range: Range<Vec<u8>>, most: u32, backwards: bool) -> Vec<Pair> {
        until("TiKV lets an administrator read", || {
            let range = range.clone();
            let scan =
                move |client: Client| async move { client.scan(range, most, backwards).await };
            self.client.wait(scan).ok()
        })
    }

    /// What a key holds.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let end = [key, &[0]].concat();
        self.scan(key.to_vec()..end, 1, false).pop().map(|(_, value)| value)
    }

    /// Does all of it, some at a time.
    pub(crate) fn write(&self, writes: Vec<Write>) {
        for some in writes.chunks(16) {
            until("TiKV lets an administrator write", || {
                let some = some.to_vec();
                let write = move |client: Client| async move { client.write(some).await };
                self.client.wait(write).ok()
            });
        }
    }

    pub(crate) fn put(&self, key: Vec<u8>, value: impl Into<Vec<u8>>) {
        self.write(vec![Write::Put(key, value.into())]);
    }

    pub(crate) fn remove(&self, key: Vec<u8>) {
        self.write(vec![Write::Delete(key)]);
    }

    /// The last slot of the log.
    pub(crate) fn last_slot(&self) -> Option<Slot> {
        let last = self.scan(self.slot_key(0)..self.slot_key(u64::MAX), 1, true).pop();
        last.map(|(key, value)| slot(&key, &value))
    }

    /// The slot that begins behind a position, once there is one.
    pub(crate) fn slot_after(&self, position: u64) -> Option<Slot> {
        let key = self.slot_key(position + 1);
        self.get(&key).map(|value| slot(&key, &value))
    }

    /// The log has neither holes nor anything twice.
    pub(crate) fn log_is_whole(&self) {
        let pairs = self.scan(self.slot_key(0)..self.slot_key(u64::MAX), 100_000, false);
        let slots: Vec<_> = pairs.iter().map(|(key, value)| slot(key, value)).collect();
        let mut entries = HashSet::new();
        for one in &slots {
            assert!(entries.insert(one.entry), "twice in the log: {one:?}");
        }
        for pair in slots.windows(2) {
            let after = pair[0].first + u64::from(pair[0].batches).max(1);
            assert_eq!(pair[1].first, after, "a hole in the log: {pair:?}");
            assert!(pair[0].epoch <= pair[1].epoch, "a deposed writer wrote: {pair:?}");
        }
        eprintln!(
            "{} slots, {} batches",
            slots.len(),
            slots.iter().map(|it| it.batches).sum::<u32>()
        );
    }

    /// All keys of a validator on its volume, without what stands before the family's letter.
    pub(crate) fn state_prefix(&self, validator: &str) -> Vec<u8> {
        let first = format!("{}/v-{validator}/", self.prefix).into_bytes();
        let mut end = first.clone();
        *end.last_mut().unwrap() += 1;
        let (key, _) = self.scan(first.clone()..end, 1, false).pop().expect("it has a state");
        let volume = key[first.len()..].split(|byte| *byte == b'/').next().unwrap();
        [&first, volume, b"/"].concat()
    }

    /// The keys of one family of a validator's rows, and what they hold.
    pub(crate) fn rows(&self, state: &[u8], letter: u8, most: u32) -> Vec<Pair> {
        let (from, to) = ([state, &[letter]].concat(), [state, &[letter + 1]].concat());
        self.scan(from..to, most, false)
    }

    /// The height of a validator's tip, and that of the last block of which a piece is written.
    pub(crate) fn tip_and_last_block(&self, state: &[u8]) -> (u64, u64) {
        let tip = self.get(&[state, b"0tip"].concat()).expect("it has a tip");
        let (from, to) = ([state, b"b"].concat(), [state, b"c"].concat());
        let last = self.scan(from.clone()..to, 1, true).pop();
        let height = |bytes: &[u8]| u64::from_be_bytes(bytes[..8].try_into().unwrap());
        // Layout, chain; family.
        (height(&tip[1 + 32..]), last.map_or(0, |(key, _)| height(&key[from.len()..])))
    }
}

/// Version, epoch, entry, first position, writer, count: as `order/tikv/slot.rs` says.
fn slot(key: &[u8], value: &[u8]) -> Slot {
    let number = |at: usize| u64::from_be_bytes(value[at..at + 8].try_into().unwrap());
    let found = Slot {
        epoch: number(1),
        entry: value[9..25].try_into().unwrap(),
        first: number(25),
        writer: u16::from_be_bytes(value[33..35].try_into().unwrap()),
        batches: u32::from_be_bytes(value[35..39].try_into().unwrap()),
    };
    assert!(key.ends_with(&found.first.to_be_bytes()), "it lies elsewhere: {found:?}");
    found
}

/// How many transactions wait for a decision at a validator.
pub(crate) fn waiting(node: &Node) -> Option<u64> {
    let (_, metrics) = node.asks(node.admin, "/metrics")?;
    let name = "cairn_pending_transactions ";
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// The store that leads all keys, as PD says: there is one region.
pub(crate) fn leading_store(servers: &Servers) -> String {
    until("a store leads", || {
        let ask = |path: &str| -> Option<serde_json::Value> {
            let url = format!("http://{}/pd/api/v1/{path}", servers.pd);
            let text = ureq::get(&url).call().ok()?.body_mut().read_to_string().ok()?;
            serde_json::from_str(&text).ok()
        };
        let regions = ask("regions")?;
        let first = regions["regions"].as_array()?.iter().find(|it| it["start_key"] == "")?;
        let store = ask(&format!("store/{}", first["leader"]["store_id"].as_u64()?))?;
        let address = store["store"]["address"].as_str()?;
        servers.addresses().into_iter().find(|(_, at)| at == address).map(|(name, _)| name)
    })
}
