//! Frames: their heads, and those of them that have a fixed form.

use std::fmt;

/// What a client sends first, before any frame (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Octets of a frame's head.
pub const HEAD_BYTES: usize = 9;

/// Octets a flow-control window has before anything is said of it.
pub const DEFAULT_WINDOW: u32 = 65_535;

/// The largest flow-control window.
pub const WINDOW_MAX: u32 = 0x7fff_ffff;

/// Octets of a frame's payload that everybody takes.
pub const DEFAULT_FRAME_BYTES: u32 = 16_384;

/// The largest payload that a peer may be asked for.
pub const FRAME_BYTES_MAX: u32 = 0xff_ffff;

/// The types of frames (RFC 9113 §6).
pub mod kind {
    /// Octets of a message's body.
    pub const DATA: u8 = 0;
    /// The beginning of a header block.
    pub const HEADERS: u8 = 1;
    /// Priorities, which nobody uses any more.
    pub const PRIORITY: u8 = 2;
    /// The end of a stream before its time.
    pub const RST_STREAM: u8 = 3;
    /// What the sender wants of its peer.
    pub const SETTINGS: u8 = 4;
    /// A request that a server makes for its client.
    pub const PUSH_PROMISE: u8 = 5;
    /// Is anybody there?
    pub const PING: u8 = 6;
    /// The connection takes no more streams.
    pub const GOAWAY: u8 = 7;
    /// More octets may be sent.
    pub const WINDOW_UPDATE: u8 = 8;
    /// A header block goes on.
    pub const CONTINUATION: u8 = 9;
}

/// Flags in a frame's head.
pub mod flag {
    /// DATA, HEADERS: the last of the stream.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: an answer.
    pub const ACK: u8 = 0x1;
    /// HEADERS, CONTINUATION: the last of the block.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS: there is padding.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: a priority stands before the block.
    pub const PRIORITY: u8 = 0x20;
}

/// What SETTINGS may say (RFC 9113 §6.5.2, RFC 8441 §3).
pub mod setting {
    /// Octets of the table that the peer's encoder may use.
    pub const HEADER_TABLE_SIZE: u16 = 1;
    /// Whether a server may push.
    pub const ENABLE_PUSH: u16 = 2;
    /// Streams that the peer may have open.
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    /// Octets a new stream's window has.
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    /// Octets of the largest payload.
    pub const MAX_FRAME_SIZE: u16 = 5;
    /// Whether `CONNECT` may name a protocol.
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// Why a stream or a connection ends (RFC 9113 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// Something is wrong on the sender's side.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// The peer sent more than its window allows.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// The peer sent something for a stream that it had ended.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame has a length that it cannot have.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// Nothing has been done for the stream.
    pub const REFUSED_STREAM: Self = Self(7);
    /// Nobody wants the stream any more.
    pub const CANCEL: Self = Self(8);
    /// A header block cannot be read.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// The peer asks for too much.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);

    /// The name the RFC gives it; empty for a code without one here.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "NO_ERROR",
            1 => "PROTOCOL_ERROR",
            2 => "INTERNAL_ERROR",
            3 => "FLOW_CONTROL_ERROR",
            4 => "SETTINGS_TIMEOUT",
            5 => "STREAM_CLOSED",
            6 => "FRAME_SIZE_ERROR",
            7 => "REFUSED_STREAM",
            8 => "CANCEL",
            9 => "COMPRESSION_ERROR",
            10 => "CONNECT_ERROR",
            11 => "ENHANCE_YOUR_CALM",
            12 => "INADEQUATE_SECURITY",
            13 => "HTTP_1_1_REQUIRED",
            _ => "",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "" => write!(formatter, "error {}", self.0),
            name => formatter.write_str(name),
        }
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Octets of the payload, at most [`FRAME_BYTES_MAX`].
    pub length: usize,
    /// One of [`kind`], or what nobody has heard of.
    pub kind: u8,
    /// Of [`flag`].
    pub flags: u8,
    /// The stream's number; 0 is the connection.
    pub stream: u32,
}

impl FrameHead {
    /// Reads a head from the front of `input`; `None` where it is not all there.
    #[must_use]
    pub fn parse(input: &[u8]) -> Option<Self> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *input.first_chunk::<HEAD_BYTES>()?;
        Some(Self {
            length: usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2),
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & WINDOW_MAX,
        })
    }

    /// Whether all of `flags` are set.
    #[must_use]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Appends the head.
    pub fn write(&self, out: &mut Vec<u8>) {
        let [_, l0, l1, l2] = u32::try_from(self.length).unwrap_or(FRAME_BYTES_MAX).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        out.extend_from_slice(&[l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]);
    }
}

/// Takes the padding off a payload of DATA or HEADERS; `None` where there is more of it than payload.
#[must_use]
pub fn without_padding(head: FrameHead, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(flag::PADDED) {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

/// Appends a SETTINGS frame.
pub fn write_settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    FrameHead { length: settings.len() * 6, kind: kind::SETTINGS, flags: 0, stream: 0 }.write(out);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// The settings in a payload of SETTINGS, in order.
pub fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload.chunks_exact(6).filter_map(|octets| {
        let [n0, n1, v0, v1, v2, v3] = *octets.first_chunk::<6>()?;
        Some((u16::from_be_bytes([n0, n1]), u32::from_be_bytes([v0, v1, v2, v3])))
    })
}

/// The number at the front of a payload: of WINDOW_UPDATE, RST_STREAM, or the last stream of GOAWAY.
#[must_use]
pub fn number(payload: &[u8]) -> u32 {
    payload.first_chunk::<4>().map_or(0, |octets| u32::from_be_bytes(*octets))
}

/// Appends the answer to SETTINGS.
pub fn write_settings_ack(out: &mut Vec<u8>) {
    FrameHead { length: 0, kind: kind::SETTINGS, flags: flag::ACK, stream: 0 }.write(out);
}

/// Appends the answer to a PING with these octets.
pub fn write_ping_ack(octets: &[u8], out: &mut Vec<u8>) {
    FrameHead { length: octets.len(), kind: kind::PING, flags: flag::ACK, stream: 0 }.write(out);
    out.extend_from_slice(octets);
}

/// Appends a WINDOW_UPDATE; stream 0 is the connection.
pub fn write_window_update(stream: u32, increment: u32, out: &mut Vec<u8>) {
    FrameHead { length: 4, kind: kind::WINDOW_UPDATE, flags: 0, stream }.write(out);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Appends a RST_STREAM.
pub fn write_rst_stream(stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    FrameHead { length: 4, kind: kind::RST_STREAM, flags: 0, stream }.write(out);
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Appends a GOAWAY: nothing above `last_stream` was looked at.
pub fn write_goaway(last_stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    FrameHead { length: 8, kind: kind::GOAWAY, flags: 0, stream: 0 }.write(out);
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Appends a header block as HEADERS and, where it is longer than `frame_bytes`, CONTINUATION.
pub fn write_block(stream: u32, block: &[u8], is_last: bool, frame_bytes: usize, out: &mut Vec<u8>) {
    let (mut kind, mut flags) = (kind::HEADERS, if is_last { flag::END_STREAM } else { 0 });
    let mut rest = block;
    loop {
        let (part, behind) = rest.split_at(rest.len().min(frame_bytes));
        if behind.is_empty() {
            flags |= flag::END_HEADERS;
        }
        FrameHead { length: part.len(), kind, flags, stream }.write(out);
        out.extend_from_slice(part);
        if behind.is_empty() {
            return;
        }
        (kind, flags, rest) = (kind::CONTINUATION, 0, behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_out_as_they_went_in() {
        let head = FrameHead { length: 0x01_02_03, kind: kind::DATA, flags: flag::PADDED, stream: 0x7fff_fffe };
        let mut out = Vec::new();
        head.write(&mut out);
        assert_eq!(out, [1, 2, 3, 0, 8, 0x7f, 0xff, 0xff, 0xfe]);
        out[5] |= 0x80; // The reserved bit says nothing.
        assert_eq!(FrameHead::parse(&out), Some(head));
        assert_eq!(FrameHead::parse(&out[..8]), None);
    }

    #[test]
    fn padding_is_taken_off_where_it_fits() {
        let head = FrameHead { length: 4, kind: kind::DATA, flags: flag::PADDED, stream: 1 };
        assert_eq!(without_padding(head, &[2, 7, 0, 0]), Some(&[7][..]));
        assert_eq!(without_padding(head, &[3, 0, 0, 0]), Some(&[][..]));
        assert_eq!(without_padding(head, &[4, 0, 0, 0]), None);
        assert_eq!(without_padding(head, &[]), None);
    }

    #[test]
    fn long_blocks_go_on_in_continuations() {
        let mut out = Vec::new();
        write_block(1, &[9; 5], true, 2, &mut out);
        let heads: Vec<_> = [0, 11, 22].iter().filter_map(|at| FrameHead::parse(&out[*at..])).collect();
        assert_eq!(
            heads.iter().map(|head| (head.length, head.kind, head.flags)).collect::<Vec<_>>(),
            [
                (2, kind::HEADERS, flag::END_STREAM),
                (2, kind::CONTINUATION, 0),
                (1, kind::CONTINUATION, flag::END_HEADERS)
            ]
        );
    }
}
