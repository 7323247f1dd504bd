//! A connection to a server with one request on it: the request goes out while the answer comes in.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use daemun_server::body::RequestBodyError;
use tokio::io::AsyncReadExt;

use super::rate::Rate;
use super::sending::{SendError, Sending};
use crate::limits::READ_BYTES;
use crate::upstream::UpstreamConnection;

/// One request and its answer. A server that answers before it has taken the request is heard all the same.
pub struct Conversation {
    /// The connection; kept for the next request when all goes well.
    pub connection: UpstreamConnection,
    /// The request.
    pub sending: Box<Sending>,
    /// What has come and was not read.
    pub input: BytesMut,
    /// Octets that came.
    pub received: u64,
    /// Why the request did not arrive whole. What the server says nevertheless is its answer.
    send_failure: Option<io::Error>,
    read_timeout: Duration,
    rate: Option<Rate>,
    read_most: usize,
}

/// Why a conversation came to no good end.
#[derive(Debug)]
pub enum ConversationError {
    /// The client's request body failed.
    Client(RequestBodyError),
    /// The server took nothing within the time-out.
    SendTimedOut,
    /// The server took no more, and said nothing.
    Send(io::Error),
    /// The server said nothing within the time-out.
    ReadTimedOut,
    /// The connection failed.
    Read(io::Error),
}

thread_local! {
    /// A buffer for whoever reads next: one that waits for its server holds none.
    static SPARE: Cell<BytesMut> = Cell::default();
}

impl Conversation {
    /// Nothing is sent before the first poll.
    pub fn new(mut connection: UpstreamConnection, sending: Box<Sending>, read_timeout: Duration) -> Self {
        connection.deadline.clear();
        Self {
            connection,
            sending,
            input: BytesMut::new(),
            received: 0,
            send_failure: None,
            read_timeout,
            rate: None,
            read_most: READ_BYTES,
        }
    }

    /// Time between two reads.
    pub fn read_timeout(&self) -> Duration {
        self.read_timeout
    }

    /// From here on no more than `rate` octets are read in a second, what waits among them; 0 is no limit.
    pub fn limit_rate(&mut self, rate: u64) {
        self.read_most = READ_BYTES;
        self.rate = (rate > 0).then(|| Rate::new(rate, self.input.len()));
    }

    /// No more than this is read at once until [`Conversation::limit_rate`] says how fast.
    pub fn read_little(&mut self, most: usize) {
        self.read_most = most;
    }

    /// Sends what can be sent and puts behind [`Conversation::input`] what the server says; 0 is its end.
    ///
    /// # Errors
    /// [`ConversationError`].
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, ConversationError>> {
        self.send(context)?;
        let failure = match self.poll_read(context) {
            // While it gets the request, the server need not say anything.
            Poll::Pending if !self.sending.is_done() => return Poll::Pending,
            Poll::Pending => {
                ready!(self.connection.deadline.poll_after(self.read_timeout, context));
                return Poll::Ready(Err(ConversationError::ReadTimedOut));
            }
            Poll::Ready(Ok(count)) if count > 0 => {
                self.connection.deadline.clear();
                self.received += count as u64;
                return Poll::Ready(Ok(count));
            }
            Poll::Ready(Ok(_)) => None,
            Poll::Ready(Err(error)) => Some(error),
        };
        Poll::Ready(match (self.send_failure.take(), failure) {
            (Some(failure), _) => Err(ConversationError::Send(failure)),
            (None, Some(failure)) => Err(ConversationError::Read(failure)),
            (None, None) => Ok(0),
        })
    }

    fn send(&mut self, context: &mut Context<'_>) -> Result<(), ConversationError> {
        match self.sending.poll(context, &mut self.connection.stream) {
            Poll::Pending | Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(SendError::Client(error))) => return Err(ConversationError::Client(error)),
            Poll::Ready(Err(SendError::TimedOut)) => return Err(ConversationError::SendTimedOut),
            Poll::Ready(Err(SendError::Upstream(error))) => {
                self.sending.stop();
                self.send_failure = Some(error);
            }
        }
        Ok(())
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let most = match &mut self.rate {
            Some(rate) => ready!(rate.poll_allowed(context)),
            None => self.read_most,
        };
        if self.input.is_empty() {
            self.input = SPARE.take();
            self.input.clear();
        }
        self.input.reserve(READ_BYTES);
        let read = {
            let mut limited = (&mut self.input).limit(most);
            pin!(self.connection.stream.read_buf(&mut limited)).poll(context)
        };
        if let (Some(rate), Poll::Ready(Ok(count))) = (&mut self.rate, &read) {
            rate.note(*count);
        }
        if read.is_pending() {
            self.release_input();
        }
        read
    }

    /// Gives the buffer back while there is nothing to do with it. Little that waits in it moves out.
    pub fn release_input(&mut self) {
        let spare = if self.input.is_empty() {
            std::mem::take(&mut self.input)
        } else if self.input.len() < READ_BYTES / 4 && self.input.capacity() >= READ_BYTES {
            let left = BytesMut::from(self.input.as_ref());
            std::mem::replace(&mut self.input, left)
        } else {
            return;
        };
        if spare.capacity() > 0 {
            SPARE.set(spare);
        }
    }
}
