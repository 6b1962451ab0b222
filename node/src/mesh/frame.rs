//! A frame on the wire: `length u32 | channel u8 | kind u8 | request id u64 | payload`,
//! big-endian; the length counts everything after itself.

use bytes::{Buf, Bytes, BytesMut};
use cairn_ledger::limits::FRAME_BYTES_MAX;

use super::Channel;

/// Channel, kind and request id.
const HEAD_BYTES: usize = 1 + 1 + 8;

/// Bytes of the length itself.
const LENGTH_BYTES: usize = 4;

/// Largest payload of one frame, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - HEAD_BYTES;

/// A payload up to this size is copied out of the read buffer: a vote that is kept for a
/// while must not keep a whole block's buffer alive.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// How far the read buffer grows ahead of what has arrived. A claimed length allocates
/// nothing by itself.
const READ_AHEAD_BYTES: usize = 256 * 1024;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Nothing but a sign of life.
    Ping = 0,
    /// Wants no answer.
    OneWay = 1,
    /// Wants an answer that carries the same id.
    Request = 2,
    /// The answer.
    Answer = 3,
    /// The answer is no; the payload says why, in words.
    Declined = 4,
}

/// One message between validators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) channel: Channel,
    pub(super) kind: Kind,
    /// Ties an answer to its request; 0 for the other kinds.
    pub(super) id: u64,
    pub(super) payload: Bytes,
}

/// Bytes that are no frame; the connection they came from is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of {0} bytes; {HEAD_BYTES} to {FRAME_BYTES_MAX} are fine")]
    Length(u32),
    #[error("a frame of channel {channel} and kind {kind}, which this version does not know")]
    Kind { channel: u8, kind: u8 },
}

impl Frame {
    pub(super) fn ping() -> Self {
        Self { channel: Channel::Chain, kind: Kind::Ping, id: 0, payload: Bytes::new() }
    }

    /// How many bytes it is on the wire.
    pub(super) fn wire_bytes(&self) -> usize {
        LENGTH_BYTES + HEAD_BYTES + self.payload.len()
    }

    /// What goes before the payload.
    ///
    /// # Panics
    /// When the payload is larger than [`PAYLOAD_BYTES_MAX`], which senders check.
    pub(super) fn head(&self) -> [u8; LENGTH_BYTES + HEAD_BYTES] {
        assert!(self.payload.len() <= PAYLOAD_BYTES_MAX, "the sender checks the payload's size");
        let length = u32::try_from(HEAD_BYTES + self.payload.len()).expect("checked just above");
        let mut head = [0; LENGTH_BYTES + HEAD_BYTES];
        head[..4].copy_from_slice(&length.to_be_bytes());
        head[4] = self.channel as u8;
        head[5] = self.kind as u8;
        head[6..].copy_from_slice(&self.id.to_be_bytes());
        head
    }
}

/// Takes the first frame out of what has arrived; `None` while it is not complete.
///
/// The length is checked before anything is reserved for it, and what is reserved follows
/// what arrives: a liar costs [`READ_AHEAD_BYTES`], not what it claims.
pub(super) fn take(arrived: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(length) = arrived.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length);
    let body = usize::try_from(length).unwrap_or(usize::MAX);
    if !(HEAD_BYTES..=FRAME_BYTES_MAX).contains(&body) {
        return Err(FrameError::Length(length));
    }
    let whole = LENGTH_BYTES + body;
    if arrived.len() < whole {
        arrived.reserve((whole - arrived.len()).min(READ_AHEAD_BYTES));
        return Ok(None);
    }
    let mut frame = arrived.split_to(whole);
    frame.advance(LENGTH_BYTES);
    let (channel, kind, id) = (frame.get_u8(), frame.get_u8(), frame.get_u64());
    let (Some(channel), Some(known)) = (channel_of(channel), kind_of(kind)) else {
        return Err(FrameError::Kind { channel, kind });
    };
    let payload = if frame.len() <= COPIED_BYTES_MAX {
        Bytes::copy_from_slice(&frame)
    } else {
        frame.freeze()
    };
    Ok(Some(Frame { channel, kind: known, id, payload }))
}

fn channel_of(byte: u8) -> Option<Channel> {
    [Channel::Chain, Channel::Order, Channel::Blocks].into_iter().find(|c| *c as u8 == byte)
}

fn kind_of(byte: u8) -> Option<Kind> {
    [Kind::Ping, Kind::OneWay, Kind::Request, Kind::Answer, Kind::Declined]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Frame {
        Frame {
            channel: Channel::Order,
            kind: Kind::Request,
            id: 0x0102_0304_0506_0708,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    fn wire(frame: &Frame) -> BytesMut {
        let mut wire = BytesMut::from(&frame.head()[..]);
        wire.extend_from_slice(&frame.payload);
        wire
    }

    #[test]
    fn the_layout_is_fixed() {
        let layout = hex::encode(wire(&frame(b"hi")));
        assert_eq!(layout, "0000000c020201020304050607086869");
    }

    #[test]
    fn a_frame_comes_out_whole_however_it_arrives() {
        let sent = [frame(b""), frame(b"small"), frame(&vec![7; COPIED_BYTES_MAX + 1])];
        let bytes: Vec<u8> = sent.iter().flat_map(|frame| wire(frame).to_vec()).collect();
        for step in [1, 3, 4096, bytes.len()] {
            let (mut arrived, mut taken) = (BytesMut::new(), Vec::new());
            for piece in bytes.chunks(step) {
                arrived.extend_from_slice(piece);
                while let Some(frame) = take(&mut arrived).unwrap() {
                    taken.push(frame);
                }
            }
            assert_eq!(taken, sent, "in pieces of {step}");
            assert!(arrived.is_empty());
        }
    }

    #[test]
    fn a_length_out_of_range_is_refused_before_anything_is_reserved() {
        let most = u32::try_from(FRAME_BYTES_MAX).unwrap();
        #[rustfmt::skip]
        let table = [
            (0,                true,  "nothing"),
            (9,                true,  "shorter than its own head"),
            (10,               false, "an empty payload"),
            (most,             false, "the longest"),
            (most + 1,         true,  "one more than the longest"),
            (u32::MAX,         true,  "as long as can be said"),
        ];
        for (length, refused, why) in table {
            let mut arrived = BytesMut::from(&length.to_be_bytes()[..]);
            let answer = take(&mut arrived);
            assert_eq!(answer == Err(FrameError::Length(length)), refused, "{why}");
            assert!(arrived.capacity() <= READ_AHEAD_BYTES + 64, "{why}");
        }
    }

    #[test]
    fn an_unknown_channel_or_kind_is_refused() {
        for (channel, kind) in [(0, 1), (4, 1), (255, 1), (1, 5), (1, 255)] {
            let mut arrived = wire(&frame(b"x"));
            arrived[4] = channel;
            arrived[5] = kind;
            assert_eq!(take(&mut arrived), Err(FrameError::Kind { channel, kind }));
        }
    }
}
