//! Clients that keep a connection busy with what is no request.

use std::fmt;

use crate::clock;
use crate::limits::{
    HTTP2_CANCELLED_MAX, HTTP2_CONTROL_FRAMES_MAX, HTTP2_EMPTY_CONTINUATIONS_MAX, HTTP2_OVERHEAD_BYTES,
};

/// What has come that nobody wants much of.
#[derive(Default)]
pub(super) struct FloodGuard {
    /// Frames that are no part of a request, within the present second.
    control: u32,
    second: u64,
    /// Streams that their client gave up before they were answered, less those that were answered.
    cancelled: u32,
    /// CONTINUATION frames of the present block that brought nothing.
    empty: u32,
    /// Octets, and those of them that were a request's.
    total: u64,
    payload: u64,
}

/// What there was too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    Control,
    Cancelled,
    Continuations,
    Overhead,
}

impl fmt::Display for Flood {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Control => "http2 flood detected: too many frames that are no request",
            Self::Cancelled => "http2 flood detected: too many streams given up by the client",
            Self::Continuations => "http2 flood detected: too many empty CONTINUATION frames",
            Self::Overhead => "http2 flood detected",
        })
    }
}

impl FloodGuard {
    /// A frame that is no part of a request.
    pub(super) fn control(&mut self) -> Result<(), Flood> {
        let second = clock::monotonic_ms() / 1_000;
        if std::mem::replace(&mut self.second, second) != second {
            self.control = 0;
        }
        self.control += 1;
        if self.control > HTTP2_CONTROL_FRAMES_MAX { Err(Flood::Control) } else { Ok(()) }
    }

    /// A stream was given up by its client; `answered` were not, since the last one.
    pub(super) fn cancelled(&mut self, answered: u32) -> Result<(), Flood> {
        self.cancelled = self.cancelled.saturating_sub(answered) + 1;
        if self.cancelled > HTTP2_CANCELLED_MAX { Err(Flood::Cancelled) } else { Ok(()) }
    }

    /// A header block goes on by so many octets.
    pub(super) fn continuation(&mut self, octets: usize) -> Result<(), Flood> {
        if octets > 0 {
            return Ok(());
        }
        self.empty += 1;
        if self.empty > HTTP2_EMPTY_CONTINUATIONS_MAX { Err(Flood::Continuations) } else { Ok(()) }
    }

    /// A header block has ended.
    pub(super) fn end_block(&mut self) {
        self.empty = 0;
    }

    /// Octets that are a request's.
    pub(super) fn payload(&mut self, octets: usize) {
        self.payload += octets as u64;
    }

    /// Octets of whatever kind; as in nginx, most of them are to be a request's.
    pub(super) fn total(&mut self, octets: usize) -> Result<(), Flood> {
        self.total += octets as u64;
        if self.total / 8 > self.payload + HTTP2_OVERHEAD_BYTES { Err(Flood::Overhead) } else { Ok(()) }
    }
}
