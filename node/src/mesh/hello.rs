//! The first words after TLS, in each direction, before any frame:
//! `tag | version u16 | chain id | index u16 | incarnation u64`, big-endian.

use cairn_ledger::{
    encoding::{Reader, Writer},
    ids::ChainId,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Peer;

const TAG: &[u8; 16] = b"cairn/mesh/hello";

/// The protocol that this build speaks.
const VERSION: u16 = 1;

/// Tag and version: what every version has in common.
const OPENING_BYTES: usize = TAG.len() + 2;

/// Chain id, index, incarnation.
const REST_BYTES: usize = 32 + 2 + 8;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) chain: ChainId,
    pub(super) index: Peer,
    /// Random for each start of a process: tells a reconnect from a restart.
    pub(super) incarnation: u64,
}

/// Why a connection ends at the hello.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    #[error("{0}")]
    Broken(#[from] std::io::Error),
    #[error("it does not open with a mesh hello")]
    Tag,
    #[error("it speaks mesh version {0}; this build speaks {VERSION}")]
    Version(u16),
    #[error("it is of chain {theirs}, this validator of {ours}")]
    Chain { theirs: ChainId, ours: ChainId },
    #[error("it says to be validator {said}, its key is that of {known}")]
    Index { said: Peer, known: Peer },
}

impl HelloError {
    /// The stable code, for logs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Broken(_) => "HELLO_BROKEN",
            Self::Tag => "HELLO_TAG",
            Self::Version(_) => "HELLO_VERSION",
            Self::Chain { .. } => "HELLO_CHAIN_ID",
            Self::Index { .. } => "HELLO_INDEX",
        }
    }
}

fn encode(hello: &Hello, version: u16) -> Vec<u8> {
    let mut writer = Writer::tagged(TAG);
    writer.u16(version).raw(hello.chain.as_bytes()).u16(hello.index).u64(hello.incarnation);
    writer.finish()
}

/// Says hello and hears the other's. `known` is whose key the other side proved to hold.
pub(super) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mine: &Hello,
    known: Peer,
) -> Result<Hello, HelloError> {
    stream.write_all(&encode(mine, VERSION)).await?;
    stream.flush().await?;
    let mut opening = [0; OPENING_BYTES];
    stream.read_exact(&mut opening).await?;
    let (tag, version) = opening.split_at(TAG.len());
    if tag != TAG {
        return Err(HelloError::Tag);
    }
    let version = u16::from_be_bytes([version[0], version[1]]);
    if version != VERSION {
        return Err(HelloError::Version(version));
    }
    let mut rest = [0; REST_BYTES];
    stream.read_exact(&mut rest).await?;
    let theirs = decode(&rest);
    if theirs.chain != mine.chain {
        return Err(HelloError::Chain { theirs: theirs.chain, ours: mine.chain });
    }
    if theirs.index != known {
        return Err(HelloError::Index { said: theirs.index, known });
    }
    Ok(theirs)
}

fn decode(rest: &[u8; REST_BYTES]) -> Hello {
    const FIXED: &str = "the buffer has the layout's exact length";
    let mut reader = Reader::new("hello", rest);
    Hello {
        chain: ChainId(reader.array().expect(FIXED)),
        index: reader.u16().expect(FIXED),
        incarnation: reader.u64().expect(FIXED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(chain: u8, index: Peer) -> Hello {
        Hello { chain: ChainId([chain; 32]), index, incarnation: 77 }
    }

    async fn heard(theirs: Vec<u8>) -> Result<Hello, HelloError> {
        let (mut here, mut there) = tokio::io::duplex(1024);
        there.write_all(&theirs).await.unwrap();
        drop(there.shutdown().await);
        exchange(&mut here, &hello(1, 0), 3).await
    }

    #[tokio::test]
    async fn only_the_known_member_of_the_same_chain_and_version_is_heard() {
        assert_eq!(heard(encode(&hello(1, 3), VERSION)).await.unwrap(), hello(1, 3));
        let mut no_tag = encode(&hello(1, 3), VERSION);
        no_tag[0] ^= 1;
        let cut = encode(&hello(1, 3), VERSION)[..40].to_vec();
        #[rustfmt::skip]
        let table = [
            (encode(&hello(2, 3), VERSION),     "HELLO_CHAIN_ID", "another chain"),
            (encode(&hello(1, 2), VERSION),     "HELLO_INDEX",    "another's index"),
            (encode(&hello(1, 3), VERSION + 1), "HELLO_VERSION",  "a later version"),
            (encode(&hello(1, 3), 0),           "HELLO_VERSION",  "an earlier one"),
            (no_tag,                            "HELLO_TAG",      "something else altogether"),
            (cut,                               "HELLO_BROKEN",   "it hangs up"),
        ];
        for (bytes, code, why) in table {
            assert_eq!(heard(bytes).await.unwrap_err().code(), code, "{why}");
        }
    }
}
