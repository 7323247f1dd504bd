//! The edge's side of a hop, once per event-loop thread: requests go in, completions come out.

use std::io;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::error::{SubmitError, Violation};
use crate::pool::Pool;

/// A submitted request: the name of a slot of this edge thread.
///
/// Valid from [`EdgeThread::submit`] until [`EdgeThread::release`] or [`EdgeThread::abort`]; a later request
/// may get the same ticket. Calls with a ticket that is not valid do nothing and find nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub(crate) u32);

impl Ticket {
    /// An index below [`crate::Layout::slots_per_thread`], for a table of the requests under way.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a request's body reaches the worker.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// There is none.
    None,
    /// All of it, beside the record; see [`EdgeThread::inline_body_max`].
    Inline(&'a [u8]),
    /// Later, as a descriptor, if the worker asks by [`Completion::NeedBody`].
    Deferred {
        /// Its bytes, if known.
        length: Option<u64>,
    },
}

/// The answer to [`Completion::NeedBody`].
#[derive(Debug)]
pub enum BodyGrant<'a> {
    /// A file that holds the whole body from its offset 0 on; the worker reads by position.
    File {
        /// The file.
        file: BorrowedFd<'a>,
        /// Bytes of the body.
        length: u64,
    },
    /// The read end of a pipe or stream socket; the body ends with it. Close your copy after the call.
    Pipe {
        /// The read end.
        pipe: BorrowedFd<'a>,
        /// Bytes to come, if known. Fewer mean that the client broke off.
        length: Option<u64>,
    },
    /// There will be no body: the client is gone.
    Refused,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The whole response is there.
    Complete,
    /// The application failed: no head was written, or the body is short.
    Failed,
}

/// What a worker, or the death of one, reports.
#[derive(Debug)]
pub enum Completion {
    /// The worker waits for a deferred body: answer by [`EdgeThread::grant_body`].
    NeedBody {
        /// The request.
        ticket: Ticket,
    },
    /// The response head can be read; body bytes may be there and more will follow.
    Head {
        /// The request.
        ticket: Ticket,
    },
    /// More body bytes than before can be read.
    Data {
        /// The request.
        ticket: Ticket,
    },
    /// After the body bytes written so far, a part of a file is the rest of the body. Comes after `Head`.
    File {
        /// The request.
        ticket: Ticket,
        /// The file the worker passed.
        file: OwnedFd,
        /// First byte of the part.
        offset: u64,
        /// Bytes of the part.
        length: u64,
    },
    /// The worker has finished. Without an earlier `Head`, head and whole body are in the slot now.
    ///
    /// What has not been read of the body stays readable until [`EdgeThread::release`].
    End {
        /// The request.
        ticket: Ticket,
        /// How it ended.
        outcome: Outcome,
    },
    /// The worker died running this request. Body bytes written before stay readable until [`EdgeThread::release`].
    Lost {
        /// The request.
        ticket: Ticket,
        /// The seat it ran on.
        seat: u16,
    },
    /// Every edge thread has taken back what the dead worker on these seats had: tell the zygote.
    Cleaned {
        /// As given to [`Pool::worker_died`].
        seats: Range<u16>,
    },
    /// The worker on this seat writes nonsense: have it killed.
    Misbehaved {
        /// Its seat.
        seat: u16,
        /// What it did.
        violation: Violation,
    },
}

/// Body bytes in shared memory: readable until [`EdgeThread::consume`], `release` or `abort` of the same ticket.
///
/// The worker can change them at any time. Hand them to the kernel (`send`, `write`); making a Rust
/// reference of them is unsound.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// The first byte.
    pub pointer: *const u8,
    /// How many bytes, 0 if there are none now.
    pub length: usize,
}

/// One event-loop thread's handle on a pool.
#[derive(Debug)]
pub struct EdgeThread {
    pool: Arc<Pool>,
}

impl EdgeThread {
    /// The pool this is a handle on.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Becomes readable when a worker reports something while this thread is armed.
    ///
    /// Meant for edge-triggered watching (tokio's `AsyncFd`): there is no need to read it.
    pub fn wake_descriptor(&self) -> BorrowedFd<'_> {
        unimplemented!()
    }

    /// Most body bytes that fit beside a record of `record_bytes`.
    pub fn inline_body_max(record_bytes: usize) -> usize {
        crate::limits::REQUEST_BYTES_MAX.saturating_sub(record_bytes)
    }

    /// Requests that can be submitted before [`SubmitError::NoSlot`].
    pub fn free_slots(&self) -> usize {
        unimplemented!()
    }

    /// Puts a request on the queue; busy workers may take it at once, sleeping ones after [`EdgeThread::kick`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; nothing was queued.
    pub fn submit(&mut self, record: &[u8], body: Body<'_>) -> Result<Ticket, SubmitError> {
        let _ = (record, body);
        unimplemented!()
    }

    /// Wakes as many sleeping seats as there are queued requests. Once per turn of the loop.
    pub fn kick(&mut self) {
        unimplemented!()
    }

    /// Asks for a wake-up, as the last thing before the loop sleeps. `false`: do not sleep, there is
    /// something to [`EdgeThread::poll`].
    pub fn arm(&mut self) -> bool {
        unimplemented!()
    }

    /// Hands over what has been reported, at most `most` completions; returns their number.
    pub fn poll(&mut self, most: usize, mut sink: impl FnMut(&mut Self, Completion)) -> usize {
        let mut count = 0;
        while count < most {
            let Some(completion) = self.next_completion() else { break };
            sink(self, completion);
            count += 1;
        }
        count
    }

    /// The next completion, if there is one.
    pub fn next_completion(&mut self) -> Option<Completion> {
        unimplemented!()
    }

    /// Appends the response head to `out`. Call once, after `Head` or `End`: the worker can still change it.
    ///
    /// # Errors
    ///
    /// [`Violation::Head`]
    pub fn copy_head(&self, ticket: Ticket, out: &mut Vec<u8>) -> Result<usize, Violation> {
        let _ = (ticket, out);
        unimplemented!()
    }

    /// Body bytes that can be read now.
    ///
    /// # Errors
    ///
    /// [`Violation::Body`]
    pub fn body_available(&self, ticket: Ticket) -> Result<usize, Violation> {
        let _ = ticket;
        unimplemented!()
    }

    /// Appends up to `most` body bytes to `out` and consumes them; returns their number.
    ///
    /// # Errors
    ///
    /// [`Violation::Body`]
    pub fn copy_body(&mut self, ticket: Ticket, out: &mut Vec<u8>, most: usize) -> Result<usize, Violation> {
        let _ = (ticket, out, most);
        unimplemented!()
    }

    /// The body bytes that lie together at the reading position. More may follow elsewhere: ask again after [`EdgeThread::consume`].
    ///
    /// # Errors
    ///
    /// [`Violation::Body`]
    pub fn lease(&self, ticket: Ticket) -> Result<Lease, Violation> {
        let _ = ticket;
        unimplemented!()
    }

    /// Moves the reading position on, which makes room for the worker; `bytes` must have been readable.
    pub fn consume(&mut self, ticket: Ticket, bytes: usize) {
        let _ = (ticket, bytes);
        unimplemented!()
    }

    /// Sends `before` and then up to `most` body bytes straight from shared memory to a non-blocking socket.
    ///
    /// Returns the bytes written of both together. The body bytes among them are consumed.
    ///
    /// # Errors
    ///
    /// What the socket says (`WouldBlock` among it); a [`Violation`] as `InvalidData`.
    pub fn send_body(&mut self, ticket: Ticket, socket: BorrowedFd<'_>, before: &[u8], most: usize) -> io::Result<usize> {
        let _ = (ticket, socket, before, most);
        unimplemented!()
    }

    /// Answers [`Completion::NeedBody`].
    ///
    /// # Errors
    ///
    /// What the seat's socket says; the request will not get on, so abort it.
    pub fn grant_body(&mut self, ticket: Ticket, grant: BodyGrant<'_>) -> io::Result<()> {
        let _ = (ticket, grant);
        unimplemented!()
    }

    /// The seat that runs the request, once a worker has taken it.
    pub fn seat(&self, ticket: Ticket) -> Option<u16> {
        let _ = ticket;
        unimplemented!()
    }

    /// When the worker started the request, in milliseconds of CLOCK_MONOTONIC (coarse), once it has.
    pub fn started_ms(&self, ticket: Ticket) -> Option<u64> {
        let _ = ticket;
        unimplemented!()
    }

    /// Gives the slot back after `End` or `Lost`.
    pub fn release(&mut self, ticket: Ticket) {
        self.abort(ticket);
    }

    /// Loses interest in a request, in whatever state it is: nothing more is reported about it.
    ///
    /// A queued request never runs; a running one is marked, so that the worker's writes fail, and its
    /// slot comes back by itself when the worker ends it or dies.
    pub fn abort(&mut self, ticket: Ticket) {
        let _ = ticket;
        unimplemented!()
    }
}
