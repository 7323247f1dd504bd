//! A body that is passed on as it comes.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Incoming, ReadLimits, RequestBodyError};
use crate::connection::Client;

/// A body on its way through: what one read brings is written before the next read.
///
/// The request keeps its end of the body, so that what nobody took can be dropped once the answer is out.
pub struct BodyPassage {
    incoming: Rc<RefCell<Incoming>>,
    client: Rc<Client>,
    limits: ReadLimits,
    /// Read and not yet written, from `written` on.
    octets: Vec<u8>,
    written: usize,
    is_read: bool,
}

/// Which end of a passage failed.
#[derive(Debug)]
pub enum PassageError {
    /// The client's: the body will never be whole.
    Client(RequestBodyError),
    /// The one that is written to.
    Sink(io::Error),
}

impl BodyPassage {
    pub(crate) fn new(incoming: Rc<RefCell<Incoming>>, client: Rc<Client>, limits: ReadLimits) -> Self {
        Self { incoming, client, limits, octets: Vec::new(), written: 0, is_read: false }
    }

    /// Moves octets from the client to `write` until one of the two has to wait. Ready once all of the body is written.
    ///
    /// # Errors
    /// [`PassageError`]; the passage has come to its end with any.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<(), PassageError>> {
        loop {
            while let Some(rest) = self.octets.get(self.written..).filter(|rest| !rest.is_empty()) {
                match write(context, rest) {
                    Poll::Ready(Ok(count)) => self.written += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(PassageError::Sink(error))),
                    Poll::Pending => return self.poll_gone(context),
                }
            }
            self.octets.clear();
            self.written = 0;
            if self.is_read {
                return Poll::Ready(Ok(()));
            }
            let mut incoming = self.incoming.borrow_mut();
            match incoming.poll_octets(context, &self.client, &self.limits, &mut self.octets) {
                Poll::Ready(Ok(is_read)) => {
                    self.is_read = is_read;
                    incoming.note_front(&self.octets);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(PassageError::Client(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// While nothing is read from the client: fails once it has gone.
    pub fn poll_gone<T>(&mut self, context: &mut Context<'_>) -> Poll<Result<T, PassageError>> {
        let is_due = self.incoming.borrow().is_more_due(self.client.pending_input());
        if is_due && self.client.poll_closed(context).is_ready() {
            return Poll::Ready(Err(PassageError::Client(RequestBodyError::Closed)));
        }
        Poll::Pending
    }

    /// Whether everything that was read is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written >= self.octets.len()
    }

    /// The answer's head goes out: a client that still waits for `100 Continue` gets none any more.
    pub fn begin_answer(&mut self) {
        self.incoming.borrow_mut().forgo_interim();
    }
}
