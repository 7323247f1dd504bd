//! A request in a worker's hands.

use std::marker::PhantomData;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::error::JobError;

/// A wait that the caller runs, so that it can release the interpreter's lock around it.
///
/// `Send`, and to be run on the calling thread: `|wait| py.detach(|| wait.run())`.
#[derive(Debug)]
pub struct Wait<'a> {
    place: PhantomData<&'a ()>,
}

impl Wait<'_> {
    /// Sleeps until there may be something to go on with, a signal arrives or a second has passed.
    pub fn run(self) {
        unimplemented!()
    }
}

/// How a caller runs a [`Wait`]. An error of its own (a signal handler that raised) ends the waiting: `Err(())`
/// makes the waiting call return [`JobError::Aborted`].
pub type Block<'a> = dyn FnMut(Wait<'_>) -> Result<(), ()> + 'a;

/// Where a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBody {
    /// There is none.
    None,
    /// In [`Job::inline_body`], all of it.
    Inline,
    /// To be had by [`Job::need_body`].
    Deferred {
        /// Its bytes, if known.
        length: Option<u64>,
    },
}

/// What kind of descriptor a body comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// A file that holds the body from offset 0 on. Shared with the edge: read it by position (pread).
    File,
    /// A pipe or socket that ends where the body ends.
    Pipe,
}

/// A body that was asked for.
#[derive(Debug)]
pub struct BodySource {
    /// What to read from.
    pub descriptor: OwnedFd,
    /// How to read.
    pub kind: BodyKind,
    /// Bytes of the body, if known. A pipe that ends before: the client broke off.
    pub length: Option<u64>,
}

/// A request that this seat has claimed. Dropped without [`Job::finish`], it ends as failed.
///
/// `Send`: what the application keeps (`wsgi.input`, an iterator) may be used from its other threads, one at a time.
#[derive(Debug)]
pub struct Job {}

impl Job {
    /// The request record, as the edge wrote it.
    pub fn record(&self) -> &[u8] {
        unimplemented!()
    }

    /// The request body, if it is [`RequestBody::Inline`]; else empty.
    pub fn inline_body(&self) -> &[u8] {
        unimplemented!()
    }

    /// Where the request body is.
    pub fn body(&self) -> RequestBody {
        unimplemented!()
    }

    /// Says that the application is about to see the request: from here on a death of the worker loses it.
    ///
    /// Implied by everything below that tells the edge something.
    pub fn mark_started(&mut self) {
        unimplemented!()
    }

    /// Whether the client is gone.
    pub fn is_aborted(&self) -> bool {
        unimplemented!()
    }

    /// Asks for a deferred body and waits for it. Once per request.
    ///
    /// # Errors
    ///
    /// [`JobError::Aborted`] if the client is gone; [`JobError::Order`] if there is nothing to be had.
    pub fn need_body(&mut self, block: &mut Block<'_>) -> Result<BodySource, JobError> {
        let _ = block;
        unimplemented!()
    }

    /// Room to build the response head in, in place; then [`Job::commit_head`].
    pub fn head_room(&mut self) -> &mut [u8] {
        unimplemented!()
    }

    /// Makes the first `length` bytes of [`Job::head_room`] the response head.
    ///
    /// # Errors
    ///
    /// [`JobError::HeadTooLarge`], [`JobError::Order`] if there is a head already.
    pub fn commit_head(&mut self, length: usize) -> Result<(), JobError> {
        let _ = length;
        unimplemented!()
    }

    /// Copies a response head in.
    ///
    /// # Errors
    ///
    /// As [`Job::commit_head`].
    pub fn write_head(&mut self, head: &[u8]) -> Result<(), JobError> {
        let _ = head;
        unimplemented!()
    }

    /// Appends to the response body. What fits into the slot stays there untold until [`Job::flush`] or
    /// [`Job::finish`]; more goes through a ring, and waits by `block` while that is full.
    ///
    /// # Errors
    ///
    /// [`JobError::Aborted`]; [`JobError::Order`] before a head or after a file.
    pub fn write(&mut self, bytes: &[u8], block: &mut Block<'_>) -> Result<(), JobError> {
        let _ = (bytes, block);
        unimplemented!()
    }

    /// Tells the edge of everything written so far: for event streams and bodies of unknown length. Never blocks.
    ///
    /// # Errors
    ///
    /// As [`Job::write`].
    pub fn flush(&mut self) -> Result<(), JobError> {
        unimplemented!()
    }

    /// Makes `length` bytes of a file from `offset` on the rest of the body. The edge gets its own descriptor.
    ///
    /// # Errors
    ///
    /// As [`Job::write`]; [`JobError::System`] if the descriptor cannot be passed.
    pub fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        block: &mut Block<'_>,
    ) -> Result<(), JobError> {
        let _ = (file, offset, length, block);
        unimplemented!()
    }

    /// Ends the request. `complete`: the response is whole; else the edge answers 502 or 500, or cuts the response off.
    pub fn finish(self, complete: bool) {
        let _ = complete;
        unimplemented!()
    }

    /// Head, body and end in one call, for the answer that is all there.
    ///
    /// # Errors
    ///
    /// As [`Job::write_head`] and [`Job::write`]; the request has ended as failed then.
    pub fn respond(mut self, head: &[u8], body: &[u8], block: &mut Block<'_>) -> Result<(), JobError> {
        self.write_head(head)?;
        self.write(body, block)?;
        self.finish(true);
        Ok(())
    }
}
