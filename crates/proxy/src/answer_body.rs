//! The body of an upstream's answer, as it comes.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use daemun_server::response::{Body, BodyError, BodyStream, Piece};

use crate::conversation::{Conversation, ConversationError};
use crate::upstream::Peer;

/// What an upstream still sends.
pub struct AnswerBody {
    conversation: Conversation,
    /// What came with the head.
    first: Vec<u8>,
    /// Octets still to come; `None` until the connection's end.
    rest: Option<u64>,
    upstream: String,
    /// The request counts as the server's until its answer has been read.
    peer: Option<Peer>,
}

impl AnswerBody {
    /// A body of `length` octets, or up to the connection's end; `first` of them are here.
    pub fn body(mut conversation: Conversation, first: Vec<u8>, length: Option<u64>, peer: Peer) -> Body {
        conversation.begin_answer();
        let upstream = format!("upstream {}", peer.name());
        Body::Stream(Box::new(Self { conversation, first, rest: length, upstream, peer: Some(peer) }))
    }

    /// Hands `octets` over, less what is beyond the announced length.
    fn piece(&mut self, mut octets: Vec<u8>) -> Piece {
        if let Some(rest) = &mut self.rest {
            octets.truncate(usize::try_from(*rest).unwrap_or(usize::MAX));
            *rest -= octets.len() as u64;
            if *rest == 0 {
                self.peer = None;
            }
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
        let mut octets = Vec::new();
        let read = ready!(self.conversation.poll_read(context, &mut octets));
        Poll::Ready(match read {
            Ok(0) if self.rest.is_none() => None,
            Ok(0) => Some(Err(BodyError::Truncated(self.upstream.clone()))),
            Ok(_) => Some(Ok(self.piece(octets))),
            Err(ConversationError::Client(error)) => Some(Err(BodyError::Request(error.to_string()))),
            Err(ConversationError::ReadTimedOut | ConversationError::SendTimedOut) => {
                Some(Err(BodyError::TimedOut(self.upstream.clone())))
            }
            // The answer's end is known by the connection's: how it ended is all there is to know.
            Err(ConversationError::Send(_)) if self.rest.is_none() => None,
            Err(ConversationError::Send(_) | ConversationError::Read(_)) => {
                Some(Err(BodyError::Truncated(self.upstream.clone())))
            }
        })
    }

    fn length(&self) -> Option<u64> {
        self.rest
    }
}
