//! The body of an upstream's answer, as it comes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use daemun_net::Stream;
use daemun_server::response::{Body, BodyError, BodyStream, Piece};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limits::READ_BYTES;
use crate::upstream::UpstreamAddress;

/// What an upstream still sends.
pub struct AnswerBody {
    stream: Stream,
    /// What came with the head.
    first: Vec<u8>,
    /// Octets still to come; `None` until the connection's end.
    rest: Option<u64>,
    read_timeout: Duration,
    timer: Pin<Box<Sleep>>,
    upstream: String,
}

impl AnswerBody {
    /// A body of `length` octets, or up to the connection's end.
    pub fn body(
        stream: Stream,
        first: Vec<u8>,
        length: Option<u64>,
        read_timeout: Duration,
        address: &UpstreamAddress,
    ) -> Body {
        let timer = Box::pin(tokio::time::sleep(read_timeout));
        Body::Stream(Box::new(Self {
            stream,
            first,
            rest: length,
            read_timeout,
            timer,
            upstream: format!("upstream {address}"),
        }))
    }

    /// Hands `octets` over, less what is beyond the announced length.
    fn piece(&mut self, mut octets: Vec<u8>) -> Piece {
        if let Some(rest) = &mut self.rest {
            octets.truncate(usize::try_from(*rest).unwrap_or(usize::MAX));
            *rest -= octets.len() as u64;
        }
        Piece::Bytes(Bytes::from(octets))
    }
}

impl BodyStream for AnswerBody {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        if self.rest == Some(0) {
            return Poll::Ready(None);
        }
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            return Poll::Ready(Some(Ok(self.piece(first))));
        }
        let mut octets = vec![0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut octets);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Pending => {
                ready!(self.timer.as_mut().poll(context));
                Poll::Ready(Some(Err(BodyError::TimedOut(self.upstream.clone()))))
            }
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                let length = buffer.filled().len();
                octets.truncate(length);
                let deadline = Instant::now() + self.read_timeout;
                self.timer.as_mut().reset(deadline);
                Poll::Ready(Some(Ok(self.piece(octets))))
            }
            Poll::Ready(Ok(())) if self.rest.is_none() => Poll::Ready(None),
            Poll::Ready(_) => Poll::Ready(Some(Err(BodyError::Truncated(self.upstream.clone())))),
        }
    }

    fn length(&self) -> Option<u64> {
        self.rest
    }
}
