//! Whose keys are whose. Every key of a chain begins with the name that its cluster was given and a slash; under it one record
//! says which chain and which format it is. Another chain's, or a newer program's, keys are never touched.

use std::ops::Range;

use crate::{Client, Inserted, Trouble};

/// The format of everything below a name. Raised when an older program would misread it.
const FORMAT: u8 = 2;

/// Why a name cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The keys are another chain's.
    #[error("the TiKV prefix {0:?} belongs to another chain; another prefix would be fine")]
    Foreign(String),
    /// A newer program wrote them.
    #[error(
        "FORMAT_TOO_NEW: the TiKV prefix {name:?} has format {found}, this program knows {FORMAT}"
    )]
    TooNew {
        /// The prefix.
        name: String,
        /// Its format.
        found: u8,
    },
    /// A program from before the first release wrote them.
    #[error(
        "the TiKV prefix {name:?} has format {found}, this program reads {FORMAT} alone; another prefix would be fine"
    )]
    TooOld {
        /// The prefix.
        name: String,
        /// Its format.
        found: u8,
    },
    /// It is no name.
    #[error("{0:?} is no TiKV prefix: 1 to 63 of a-z, 0-9 and - would be fine")]
    Name(String),
    /// TiKV has trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// The keys below a prefix.
#[derive(Clone, Debug)]
pub struct Space {
    client: Client,
    prefix: Vec<u8>,
}

impl Space {
    /// Takes the keys below a name for a chain, or finds them taken by it.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub async fn claim(client: Client, name: &str, chain: [u8; 32]) -> Result<Self, ClaimError> {
        check_name(name)?;
        let space = Self { client, prefix: format!("{name}/").into_bytes() };
        let mut ours = vec![FORMAT];
        ours.extend(chain);
        match space.client.insert(space.key(b"chain"), ours.clone()).await? {
            Inserted::Yes => Ok(space),
            Inserted::Taken(there) => match there.first() {
                Some(found) if *found > FORMAT => {
                    Err(ClaimError::TooNew { name: name.to_owned(), found: *found })
                }
                Some(found) if *found < FORMAT => {
                    Err(ClaimError::TooOld { name: name.to_owned(), found: *found })
                }
                _ => Err(ClaimError::Foreign(name.to_owned())),
            },
        }
    }

    /// A part of it, with keys of its own.
    #[must_use]
    pub fn below(&self, part: &str) -> Self {
        let mut prefix = self.key(part.as_bytes());
        prefix.push(b'/');
        Self { client: self.client.clone(), prefix }
    }

    /// A key in it.
    pub fn key(&self, rest: &[u8]) -> Vec<u8> {
        [&self.prefix, rest].concat()
    }

    /// What is behind the prefix of a key in it.
    pub fn rest<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(&self.prefix[..])
    }

    /// All keys in it.
    pub fn all(&self) -> Range<Vec<u8>> {
        let mut end = self.prefix.clone();
        // It ends with a slash, and 0 is what follows a slash.
        *end.last_mut().expect("a prefix is not empty") += 1;
        self.prefix.clone()..end
    }

    /// Who reads and writes them.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

fn check_name(name: &str) -> Result<(), ClaimError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=63).contains(&name.len()) && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(ClaimError::Name(name.to_owned()))
    }
}
