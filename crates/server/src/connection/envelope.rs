//! What stands around the octets of an answer: nothing, chunks, or the records of FastCGI.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use daemun_gateway::fastcgi::{self, CONTENT_MAX, Kind};
use daemun_http::{HEAD_END, Headers, chunked, write_header};

use super::client::Client;
use crate::response::{Body, BodyError, BodyStream, Piece};

/// What stands around the octets of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Envelope {
    /// The octets alone.
    Plain,
    /// HTTP's chunks, the head outside of them.
    Chunks,
    /// FastCGI's records for the request with this id, the head within them.
    Records(u16),
}

impl Envelope {
    /// That of the request that `client` waits for.
    pub(super) fn of(client: &Client, is_chunked: bool) -> Self {
        match &client.records {
            Some(records) => Self::Records(records.borrow().request_id().unwrap_or(0)),
            None if is_chunked => Self::Chunks,
            None => Self::Plain,
        }
    }

    /// Whether every octet stands in a record, so that no body goes out as it is.
    pub(super) fn is_of_records(self) -> bool {
        matches!(self, Self::Records(_))
    }

    /// Puts the head in `out` into records, behind what the other side has to be told first; `is_all` ends the answer there.
    pub(super) fn wrap_head(self, client: &Client, is_all: bool, out: &mut Vec<u8>) {
        let (Self::Records(id), Some(records)) = (self, &client.records) else { return };
        let head = std::mem::replace(out, records.borrow_mut().take_replies());
        fastcgi::write_stream(Kind::STDOUT, id, &head, out);
        if is_all {
            self.end(&Headers::new(), out);
        }
    }

    /// Most octets that one part may have.
    pub(super) fn part_max(self) -> u64 {
        match self {
            Self::Plain | Self::Chunks => u64::MAX,
            Self::Records(_) => CONTENT_MAX as u64,
        }
    }

    /// Appends what stands before a part of `count` octets.
    pub(super) fn begin(self, count: usize, out: &mut Vec<u8>) {
        match self {
            Self::Plain => {}
            Self::Chunks => chunked::write_chunk_header(count, out),
            Self::Records(id) => fastcgi::write_head(Kind::STDOUT, id, count, out),
        }
    }

    /// What stands behind each part.
    pub(super) fn behind(self) -> &'static [u8] {
        match self {
            Self::Plain | Self::Records(_) => b"",
            Self::Chunks => b"\r\n",
        }
    }

    /// Appends what stands behind the last part; HTTP alone has fields there.
    pub(super) fn end(self, trailers: &Headers, out: &mut Vec<u8>) {
        match self {
            Self::Plain => {}
            Self::Chunks => {
                out.extend_from_slice(b"0\r\n");
                for field in trailers.iter() {
                    write_header(out, field.name, field.value);
                }
                out.extend_from_slice(HEAD_END);
            }
            Self::Records(id) => fastcgi::write_end(id, out),
        }
    }
}

/// Pieces that are all here, as a stream.
pub(super) struct Given(VecDeque<Piece>);

impl Given {
    /// The same body, to be sent piece by piece.
    pub(super) fn stream_of(body: Body) -> Body {
        let pieces = match body {
            Body::Stream(stream) => return Body::Stream(stream),
            Body::Empty | Body::Tunnel(_) => VecDeque::new(),
            Body::Bytes(bytes) => VecDeque::from([Piece::Bytes(bytes)]),
            Body::File(part) => VecDeque::from([Piece::File(part)]),
            Body::Pieces(pieces) => pieces.into(),
        };
        Body::Stream(Box::new(Self(pieces)))
    }
}

impl BodyStream for Given {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn length(&self) -> Option<u64> {
        Some(self.0.iter().map(Piece::length).sum())
    }
}
