//! A request body that its worker reads while the client still sends it: by a pipe, opened when the worker asks.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use daemun_net::watch_for_writing;
use daemun_server::body::{BodyPassage, PassageError, RequestBodyError};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::io::unix::AsyncFd;

use crate::backend::Flight;
use crate::limits::BODY_PIPE_BYTES;

/// The way of a body from the client into the worker's pipe. It moves only while it is driven, and ends with its owner.
///
/// A pipe that is closed early is told from the end of the body: only a whole body is marked as such in the hop.
pub struct BodyPipe {
    passage: BodyPassage,
    stage: Stage,
}

enum Stage {
    /// The worker has not asked.
    Unasked,
    /// The worker reads.
    Open(AsyncFd<OwnedFd>),
    /// All of it has been written, or the worker reads no more.
    Closed,
}

/// Why the worker will not get the rest.
#[derive(Debug, thiserror::Error)]
pub enum BodyPipeError {
    /// The client's fault, or its way.
    #[error("{0}")]
    Client(RequestBodyError),
    /// There is no pipe to be had.
    #[error("a pipe for the request body cannot be made: {0}")]
    System(#[from] io::Error),
}

impl BodyPipe {
    /// Nothing is read from the client before the worker asks.
    pub fn new(passage: BodyPassage) -> Self {
        Self { passage, stage: Stage::Unasked }
    }

    /// Moves octets until the client or the worker has to be waited for, and sees to it that the task is woken then.
    ///
    /// # Errors
    /// [`BodyPipeError`]: the request is to be aborted.
    pub fn drive(&mut self, context: &mut Context<'_>, flight: &Flight) -> Result<(), BodyPipeError> {
        if matches!(self.stage, Stage::Unasked) && flight.take_body_wanted() {
            self.stage = Stage::Open(open(flight)?);
        }
        let progress = match &self.stage {
            Stage::Open(pipe) => self.passage.poll(context, |context, octets| poll_write(pipe, context, octets)),
            Stage::Unasked => self.passage.poll_gone(context),
            Stage::Closed => Poll::Pending,
        };
        match progress {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(())) => flight.end_body(),
            Poll::Ready(Err(PassageError::Client(error))) => return Err(BodyPipeError::Client(error)),
            // The worker has closed its end: it has read what it wants, or is dead.
            Poll::Ready(Err(PassageError::Sink(_))) => {}
        }
        self.stage = Stage::Closed;
        Ok(())
    }

    /// The answer's head goes out: a client that still waits for `100 Continue` gets none any more.
    pub fn begin_answer(&mut self) {
        self.passage.begin_answer();
    }
}

/// Makes a pipe and gives its read end to the worker, which may block on it; the edge's end never blocks.
fn open(flight: &Flight) -> io::Result<AsyncFd<OwnedFd>> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&write, OFlags::NONBLOCK)?;
    // A user with many pipes gets smaller ones, which do as well.
    let _ = fcntl_setpipe_size(&write, BODY_PIPE_BYTES);
    let write = watch_for_writing(write)?;
    flight.grant_pipe(read.as_fd())?;
    Ok(write)
}

fn poll_write(pipe: &AsyncFd<OwnedFd>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        let mut guard = ready!(pipe.poll_write_ready(context))?;
        match guard.try_io(|pipe| Ok(rustix::io::write(pipe, octets)?)) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(result) => return Poll::Ready(result),
            Err(_would_block) => {}
        }
    }
}
