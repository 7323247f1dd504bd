//! A connection to an upstream with one request on it: the request goes out while the answer comes in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use daemun_net::Stream;
use daemun_server::body::RequestBodyError;
use daemun_server::thread::with_read_buffer;
use tokio::io::{AsyncRead, ReadBuf};

use crate::sending::{SendError, Sending, Timeout};

/// One request and its answer. An upstream that answers before it has taken the request is heard all the same.
pub struct Conversation {
    stream: Stream,
    sending: Sending,
    /// Why the request did not arrive whole. What the upstream says nevertheless is its answer.
    send_failure: Option<io::Error>,
    read_timeout: Timeout,
}

/// Why a conversation came to no good end.
#[derive(Debug)]
pub enum ConversationError {
    /// The client's request body failed.
    Client(RequestBodyError),
    /// The upstream took nothing within the time-out.
    SendTimedOut,
    /// The upstream took no more, and said nothing.
    Send(io::Error),
    /// The upstream said nothing within the time-out.
    ReadTimedOut,
    /// The connection failed.
    Read(io::Error),
}

impl Conversation {
    /// Nothing is sent before the first poll.
    pub fn new(stream: Stream, sending: Sending, read_timeout: Duration) -> Self {
        Self { stream, sending, send_failure: None, read_timeout: Timeout::new(read_timeout) }
    }

    /// The answer's head goes out to the client.
    pub fn begin_answer(&mut self) {
        self.sending.begin_answer();
    }

    /// Sends what can be sent and appends to `octets` what the upstream says; 0 is its end.
    ///
    /// # Errors
    /// [`ConversationError`].
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        octets: &mut Vec<u8>,
    ) -> Poll<Result<usize, ConversationError>> {
        self.send(context)?;
        let before = octets.len();
        let read = with_read_buffer(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
            octets.extend_from_slice(buffer.filled());
            read
        });
        let count = octets.len() - before;
        let failure = match read {
            // While it gets the request, the upstream need not say anything.
            Poll::Pending if !self.sending.is_done() => return Poll::Pending,
            Poll::Pending => {
                return self.read_timeout.poll_elapsed(context).map(|()| Err(ConversationError::ReadTimedOut));
            }
            Poll::Ready(Ok(())) if count > 0 => {
                self.read_timeout.stop();
                return Poll::Ready(Ok(count));
            }
            Poll::Ready(Ok(())) => None,
            Poll::Ready(Err(error)) => Some(error),
        };
        Poll::Ready(match (self.send_failure.take(), failure) {
            (Some(failure), _) => Err(ConversationError::Send(failure)),
            (None, Some(failure)) => Err(ConversationError::Read(failure)),
            (None, None) => Ok(0),
        })
    }

    fn send(&mut self, context: &mut Context<'_>) -> Result<(), ConversationError> {
        match self.sending.poll(context, &mut self.stream) {
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
}
