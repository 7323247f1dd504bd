//! A body put together from parts, some of them the answers to subrequests.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use super::SubrequestBody;
use crate::limits::{SUBREQUESTS_AHEAD, SUBREQUESTS_PER_TURN};
use crate::response::{Body, BodyError, BodyPieces, BodyStream, Piece, ReadAhead, UpstreamMessage};

/// A part of a body.
pub enum Part {
    /// Octets that are here.
    Piece(Piece),
    /// Another body. What stands behind it begins when it is at its end.
    Body(BodyPieces),
    /// The answer to a subrequest.
    Subrequest(Box<SubrequestBody>),
}

/// Parts, sent in their order. Subrequests run side by side, some of them ahead of their turn, as far as their answers' heads;
/// their bodies are taken one after the other.
#[derive(Default)]
pub struct Assembly {
    parts: VecDeque<Part>,
}

impl Assembly {
    /// Adds a part at the end.
    pub fn push(&mut self, part: Part) {
        self.parts.push_back(part);
    }

    /// Parts that are not sent yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether everything so far is sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The whole as a body.
    #[must_use]
    pub fn into_body(self) -> Body {
        Body::Stream(Box::new(self))
    }

    /// Lets subrequests go on whose turn has not come.
    fn advance(&mut self, context: &mut Context<'_>) {
        let ahead = self.parts.iter_mut().take_while(|part| !matches!(part, Part::Body(_)));
        let subrequests = ahead.filter_map(|part| match part {
            Part::Subrequest(body) => Some(body),
            _ => None,
        });
        for subrequest in subrequests.take(SUBREQUESTS_AHEAD) {
            let _ = subrequest.poll_head(context);
        }
    }
}

impl BodyStream for Assembly {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        self.advance(context);
        for _ in 0..SUBREQUESTS_PER_TURN {
            let (next, part) = match self.parts.pop_front() {
                None => return Poll::Ready(None),
                Some(Part::Piece(piece)) => return Poll::Ready(Some(Ok(piece))),
                Some(Part::Body(mut body)) => (body.poll_next(context), Part::Body(body)),
                Some(Part::Subrequest(mut body)) => (body.poll_next(context), Part::Subrequest(body)),
            };
            if !matches!(next, Poll::Ready(None)) {
                self.parts.push_front(part);
                return next;
            }
        }
        // Many have answered nothing: others have their turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_held_together(&self) -> bool {
        match self.parts.front() {
            Some(Part::Subrequest(_)) => true,
            Some(Part::Body(body)) => body.is_held_together(),
            Some(Part::Piece(_)) | None => false,
        }
    }

    fn read_ahead(&self) -> Option<ReadAhead> {
        self.parts.iter().find_map(|part| if let Part::Body(body) = part { body.read_ahead() } else { None })
    }

    fn take_message(&mut self) -> Option<UpstreamMessage> {
        self.parts.iter_mut().find_map(|part| if let Part::Body(body) = part { body.take_message() } else { None })
    }
}
