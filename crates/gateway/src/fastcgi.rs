//! FastCGI 1.0, both ways: records, name-value pairs, and the two ends of a connection.
//!
//! ```text
//! record:  u8 version (1), u8 kind, u16 request id, u16 content length, u8 padding length, u8 0, content, padding
//! request: BEGIN_REQUEST, PARAMS.. PARAMS(empty), STDIN.. STDIN(empty)
//! answer:  STDOUT.. [STDERR..] STDOUT(empty), END_REQUEST
//! ```
//!
//! All numbers are big-endian. [`ServerSide`] hears requests, [`ClientSide`] hears answers; both are fed whatever has
//! arrived and keep only what they must. One request at a time: whoever sends a second on the same connection is told
//! that it cannot be multiplexed.
//!
//! # Source
//!
//! The FastCGI specification, version 1.0 (29 April 1996), §3 to §6 and §8.

mod client_side;
mod framing;
mod pairs;
mod server_side;

pub use client_side::{AnswerEvent, ClientSide};
pub use framing::{FastCgiError, Framing, Step};
pub use pairs::{PairError, Pairs, PairsWriter};
pub use server_side::{RequestEvent, ServerSide};

/// What a record is about (§8). Kinds beyond these are unknown to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// A request begins: role and flags.
    pub const BEGIN_REQUEST: Self = Self(1);
    /// The web server gives the request up.
    pub const ABORT_REQUEST: Self = Self(2);
    /// The application is done: its status and the protocol's.
    pub const END_REQUEST: Self = Self(3);
    /// Variables of the request, as a stream.
    pub const PARAMS: Self = Self(4);
    /// The request's body, as a stream.
    pub const STDIN: Self = Self(5);
    /// The answer, as a stream: a CGI head and its body.
    pub const STDOUT: Self = Self(6);
    /// Lines for the web server's log, as a stream.
    pub const STDERR: Self = Self(7);
    /// A file for a filter to work on.
    pub const DATA: Self = Self(8);
    /// The web server asks what the application can do.
    pub const GET_VALUES: Self = Self(9);
    /// The answer to that.
    pub const GET_VALUES_RESULT: Self = Self(10);
    /// The answer to a management record that is not known.
    pub const UNKNOWN_TYPE: Self = Self(11);
}

/// The first eight octets of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// What it is about.
    pub kind: Kind,
    /// The request it belongs to; 0 for the connection itself.
    pub id: u16,
    /// Octets of content.
    pub content: u16,
    /// Octets behind the content that mean nothing.
    pub padding: u8,
}

impl RecordHead {
    /// Reads the octets of a head.
    ///
    /// # Errors
    /// [`FastCgiError::Version`] for anything but version 1.
    pub fn read(octets: [u8; HEAD_LEN]) -> Result<Self, FastCgiError> {
        let [version, kind, id_high, id_low, content_high, content_low, padding, _] = octets;
        if version != VERSION {
            return Err(FastCgiError::Version(version));
        }
        let id = u16::from_be_bytes([id_high, id_low]);
        Ok(Self { kind: Kind(kind), id, content: u16::from_be_bytes([content_high, content_low]), padding })
    }

    /// Appends the octets of the head.
    pub fn write(self, out: &mut Vec<u8>) {
        let [id_high, id_low] = self.id.to_be_bytes();
        let [content_high, content_low] = self.content.to_be_bytes();
        out.extend_from_slice(&[VERSION, self.kind.0, id_high, id_low, content_high, content_low, self.padding, 0]);
    }
}

/// Appends the head of a record without padding; `content` octets, at most [`CONTENT_MAX`], must follow.
pub fn write_head(kind: Kind, id: u16, content: usize, out: &mut Vec<u8>) {
    debug_assert!(content <= CONTENT_MAX, "a record holds no more");
    RecordHead { kind, id, content: u16::try_from(content).unwrap_or(u16::MAX), padding: 0 }.write(out);
}

/// Appends `octets` as records of a stream, as many as it takes; the empty record that ends the stream is not among them.
pub fn write_stream(kind: Kind, id: u16, octets: &[u8], out: &mut Vec<u8>) {
    for part in octets.chunks(CONTENT_MAX) {
        write_head(kind, id, part.len(), out);
        out.extend_from_slice(part);
    }
}

/// Appends the record that begins a request to a responder; `keeps` asks that the connection stay open behind it.
pub fn write_begin(id: u16, keeps: bool, out: &mut Vec<u8>) {
    write_head(Kind::BEGIN_REQUEST, id, BODY_LEN, out);
    let [high, low] = RESPONDER.to_be_bytes();
    out.extend_from_slice(&[high, low, u8::from(keeps) * KEEP_CONN, 0, 0, 0, 0, 0]);
}

/// Appends the end of an answer: the empty STDOUT record and END_REQUEST.
pub fn write_end(id: u16, out: &mut Vec<u8>) {
    write_head(Kind::STDOUT, id, 0, out);
    write_end_request(id, ProtocolStatus::RequestComplete, out);
}

fn write_end_request(id: u16, status: ProtocolStatus, out: &mut Vec<u8>) {
    write_head(Kind::END_REQUEST, id, BODY_LEN, out);
    out.extend_from_slice(&[0, 0, 0, 0, status as u8, 0, 0, 0]);
}

/// How the protocol saw a request end (§5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ProtocolStatus {
    /// As it should.
    RequestComplete = 0,
    /// One connection carries one request at a time.
    CantMultiplex = 1,
    /// Too many requests.
    Overloaded = 2,
    /// The role is not known.
    UnknownRole = 3,
}

/// Octets of a record's head.
pub const HEAD_LEN: usize = 8;

/// Most octets of one record's content.
pub const CONTENT_MAX: usize = 65_535;

/// The only version there is.
const VERSION: u8 = 1;

/// Octets of BEGIN_REQUEST's, END_REQUEST's and UNKNOWN_TYPE's content.
const BODY_LEN: usize = 8;

/// The role of whoever answers a request (§6.2).
const RESPONDER: u16 = 1;

/// The flag of BEGIN_REQUEST that asks for the connection to stay open.
const KEEP_CONN: u8 = 1;
