//! What differs between the protocols that a request is passed on by: the octets in both directions, and nothing else.
//!
//! ```text
//!   exchange::run -> Transport::write_request, Framing for the body ->  server
//!                    AnswerCodec::read_head, AnswerCodec::read_body <-
//! ```

pub mod fastcgi;
pub mod http;
pub mod memcached;
pub mod scgi;
pub mod tunnel;
pub mod uwsgi;

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use daemun_http::{AnswerError, AnswerLimits, Headers, ResponseHead};
use daemun_server::log::Level;
use daemun_server::{Outcome, Request};

use crate::limits::COPIED_BYTES;

/// A protocol towards a server, with the settings of one location.
pub trait Transport {
    /// The protocol's name: before `://` in log lines, where there is one, and among the marks of connections that are kept.
    fn scheme(&self) -> &'static str;

    /// The name that the server goes by, where the connection to it is encrypted.
    fn encrypted_to(&self) -> Option<&str> {
        None
    }

    /// Whether a body of unknown length may be passed on as it comes. One that may not is read whole first.
    fn takes_unknown_length(&self) -> bool {
        false
    }

    /// Appends the request to `out`, all of it but the body; it may have to be sent to several servers.
    ///
    /// # Errors
    /// What the request ends with; the reason is in the log.
    fn write_request(&self, request: &mut Request, body: BodyAhead, out: &mut Vec<u8>) -> Result<Written, Outcome>;

    /// A reader for the answer of one server.
    fn codec(&self, request: &Request) -> Box<dyn AnswerCodec>;

    /// Changes an answer's fields on their way to the client (`Location`, `Set-Cookie`).
    fn rewrite_head(&self, _request: &Request, _head: &mut ResponseHead) {}
}

/// What is known of the request's body before it is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyAhead {
    /// So many octets, 0 where there is none.
    Length(u64),
    /// The client sends chunks, and they are passed on as they come.
    Unknown,
}

/// What [`Transport::write_request`] has written.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Whether the request's body follows.
    pub passes_body: bool,
    /// How the body is marked; `None` goes as it is.
    pub framing: Option<&'static Framing>,
    /// Whether only the head of the answer comes: a `HEAD` was written.
    pub is_head: bool,
    /// Where in what was written the path stands that log lines show.
    pub path: Range<usize>,
}

/// How a protocol cuts and marks the body of a request.
#[derive(Debug)]
pub struct Framing {
    /// Appends what stands before a block of so many octets, [`crate::limits::BLOCK_BYTES`] at most.
    pub begin: fn(usize, &mut Vec<u8>),
    /// Appends what stands behind it.
    pub end: fn(usize, &mut Vec<u8>),
    /// What stands behind the last block.
    pub last: &'static [u8],
}

/// Reads one answer. It is given the octets as they come and takes from the front what it has read.
pub trait AnswerCodec {
    /// Whether the server says nothing before the body: the answer is 200 as soon as there is a connection, which becomes a tunnel.
    fn is_tunnel(&self) -> bool {
        false
    }

    /// Reads on at the head, into `head`, which was empty at the first call.
    ///
    /// # Errors
    /// [`HeadFault`].
    fn read_head(
        &mut self,
        input: &mut BytesMut,
        limits: &AnswerLimits,
        head: &mut ResponseHead,
    ) -> Result<HeadStep, HeadFault>;

    /// The head is complete and is the answer's: how long the body is. `to_head` says that the request was `HEAD`.
    fn begin_body(&mut self, head: &ResponseHead, to_head: bool) -> BodyExtent;

    /// Takes the next of the body.
    ///
    /// # Errors
    /// What is wrong with it, for the log.
    fn read_body(&mut self, input: &mut BytesMut) -> Result<BodyStep, &'static str>;

    /// Whether the body is whole when the connection ends here.
    fn may_end_here(&self) -> bool;

    /// The fields behind the body.
    fn take_trailers(&mut self) -> Option<Headers> {
        None
    }

    /// What the server wrote for the log meanwhile.
    fn take_message(&mut self) -> Option<(Level, String)> {
        None
    }
}

/// What [`AnswerCodec::read_head`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadStep {
    /// More is to come.
    NeedMore,
    /// An interim answer (1xx) is read; another head follows, for which `head` must be empty again.
    Interim,
    /// The answer's head is read; what is left of the input is the body's.
    Complete,
}

/// Why a head is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// It is not as HTTP or CGI have it.
    #[error(transparent)]
    Invalid(#[from] AnswerError),
    /// It is not as the protocol has it.
    #[error("{0}")]
    Protocol(String),
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyExtent {
    /// There is none.
    None,
    /// So many octets.
    Length(u64),
    /// Its end tells.
    Unknown,
}

/// What [`AnswerCodec::read_body`] has come to.
#[derive(Debug)]
pub enum BodyStep {
    /// More is to come.
    NeedMore,
    /// The next octets, never none.
    Data(Bytes),
    /// The body is over.
    End {
        /// Whether the connection may serve another request.
        is_kept: bool,
        /// What is wrong with what follows, for the log.
        surplus: Option<&'static str>,
    },
}

/// Takes `count` octets from the front: few are copied, so that the buffer serves the next read too.
pub fn take(input: &mut BytesMut, count: usize) -> Bytes {
    if count > COPIED_BYTES {
        return input.split_to(count).freeze();
    }
    let octets = Bytes::copy_from_slice(input.get(..count).unwrap_or_default());
    input.advance(octets.len());
    octets
}
