//! API keys: a file that says the SHA-256 of each, and what its owner may do.
//!
//! Keys are 32 random bytes, so that a plain hash hides them as well as a slow one would. They
//! are found by that hash: how long looking takes tells nothing about a key, only about the
//! hash of what was asked.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{super::files::Watcher, rates::Rate, rights::Rights};
use crate::clock;

/// What every key begins with, so that one that lies around is recognised.
const PREFIX: &str = "cairn_";

/// Most bytes of a file of keys.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Longest name of a key.
const NAME_BYTES_MAX: usize = 64;

/// Whose key it is and what it is good for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) rights: Rights,
    /// Instead of what all keys have.
    pub(super) requests: Option<Rate>,
    pub(super) transactions: Option<Rate>,
}

type Owners = HashMap<[u8; 32], Arc<Owner>>;

/// The keys that are good now.
pub(super) struct Keys {
    file: PathBuf,
    owners: RwLock<Owners>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys of {}", self.file.display())
    }
}

impl Keys {
    /// Reads the file, and again whenever it changes.
    pub(super) fn open(file: &Path) -> Result<Arc<Self>, String> {
        let watcher = Watcher::of(vec![file.to_owned()]);
        let owners = RwLock::new(read(file)?);
        let keys = Arc::new(Self { file: file.to_owned(), owners });
        watcher.follow(&keys, Self::reload);
        Ok(keys)
    }

    /// A file that makes no sense changes nothing: else a slip of the pen locks everyone out.
    pub(super) fn reload(&self) {
        match read(&self.file) {
            Ok(owners) => {
                tracing::info!(file = %self.file.display(), keys = owners.len(), "the API keys were replaced");
                *self.owners.write() = owners;
            }
            Err(why) => tracing::warn!(why, "the API keys stay as they were"),
        }
    }

    pub(super) fn owner(&self, key: &str) -> Option<Arc<Owner>> {
        self.owners.read().get(&hash(key)).cloned()
    }
}

/// Whether it looks like one of ours.
pub(super) fn is_key(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// A new key, and the line for the file.
pub fn generate(name: &str) -> (String, String) {
    let key = format!("{PREFIX}{}", bs58::encode(clock::random::<32>()).into_string());
    let line = format!("{name} = {{ sha256 = \"{}\" }}", hex::encode(hash(&key)));
    (key, line)
}

/// Whether a key may be called so: letters, digits, `-`, `_` and nothing else, so that it needs
/// no quotes in the file and none in a log.
pub fn is_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fine)
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    sha256: String,
    rights: Option<Vec<String>>,
    requests_per_s: Option<u32>,
    requests_burst: Option<u32>,
    transactions_per_s: Option<u32>,
    transactions_burst: Option<u32>,
}

fn read(file: &Path) -> Result<Owners, String> {
    let fail = |why: String| format!("{}: {why}", file.display());
    let size = std::fs::metadata(file).map_err(|error| fail(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(fail(format!("has {size} bytes, at most {FILE_BYTES_MAX} are read")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
    parse(&text).map_err(fail)
}

fn parse(text: &str) -> Result<Owners, String> {
    let written: BTreeMap<String, WrittenKey> =
        toml::from_str(text).map_err(|error| super::line_of(text, &error))?;
    let mut owners = Owners::new();
    for (name, key) in written {
        if !is_name(&name) {
            return Err(format!("{name:?} is no name; 1 to 64 of A-Z, a-z, 0-9, - and _ are fine"));
        }
        let (hash, owner) = key.checked(name.clone()).map_err(|why| format!("{name}.{why}"))?;
        if let Some(other) = owners.insert(hash, Arc::new(owner)) {
            return Err(format!("{name}.sha256: is that of {} too", other.name));
        }
    }
    Ok(owners)
}

impl WrittenKey {
    fn checked(self, name: String) -> Result<([u8; 32], Owner), String> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&self.sha256, &mut hash)
            .map_err(|_| "sha256: 64 hexadecimal digits would be fine".to_owned())?;
        let rights = match &self.rights {
            None => Rights::ALL,
            Some(names) => Rights::named(names.iter().map(String::as_str))
                .map_err(|other| format!("rights: {other:?} is none; read and write are"))?,
        };
        let requests = Rate::written("requests", self.requests_per_s, self.requests_burst)?;
        let transactions =
            Rate::written("transactions", self.transactions_per_s, self.transactions_burst)?;
        Ok((hash, Owner { name, rights, requests, transactions }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_hash_and_says_what_it_is_good_for() {
        let (alice, line) = generate("alice");
        let (bob, bobs) = generate("bob");
        let bobs = bobs.replace(" }", ", rights = [\"read\"], requests_per_s = 5 }");
        let file = std::env::temp_dir().join(format!("cairn-api-keys-{}", std::process::id()));
        std::fs::write(&file, format!("# ours\n{line}\n{bobs}\n")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let keys = Keys::open(&file).unwrap();
        let owner = keys.owner(&alice).unwrap();
        assert_eq!(
            (owner.name.as_str(), owner.rights, owner.requests),
            ("alice", Rights::ALL, None)
        );
        let owner = keys.owner(&bob).unwrap();
        assert_eq!(owner.rights, Rights { read: true, write: false });
        assert_eq!(owner.requests, Some(Rate { per_second: 5, burst: 5 }));
        assert_eq!(keys.owner(&alice[..alice.len() - 1]), None);

        std::fs::write(&file, "alice = 5").unwrap();
        keys.reload();
        assert!(keys.owner(&alice).is_some(), "a file that makes no sense changes nothing");
        std::fs::write(&file, bobs).unwrap();
        keys.reload();
        assert!(keys.owner(&alice).is_none() && keys.owner(&bob).is_some(), "alice is gone");
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_said_with_its_place() {
        let good = generate("x").1.replace("x = ", "");
        #[rustfmt::skip]
        let table = [
            ("x = 5".to_owned(),                             "line 1",         "no table"),
            ("x = { sha256 = 'ab' }".to_owned(),             "x.sha256",       "too short"),
            (format!("'a b' = {good}"),                      "a b",            "no name"),
            (format!("x = {good}\ny = {good}"),              "y.sha256",       "one key twice"),
            (good.replace(" }", ", admin = true }").replace("{", "x = {"), "admin", "an unknown field"),
            (good.replace(" }", ", rights = ['admin'] }").replace("{", "x = {"), "x.rights", "an unknown right"),
            (good.replace(" }", ", requests_per_s = 0 }").replace("{", "x = {"), "x.requests_per_s", "never"),
            (good.replace(" }", ", requests_burst = 5 }").replace("{", "x = {"), "x.requests_per_s", "a burst of nothing"),
        ];
        for (text, named, why) in table {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(named), "{why}: {error}");
        }
        assert!(parse("").unwrap().is_empty(), "no keys: nobody has one");
    }
}
