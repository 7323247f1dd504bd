//! A body that goes through a coder on its way out: compressed, or unpacked.

use std::task::{Context, Poll};

use bytes::Bytes;
use daemun_server::response::{Body, BodyError, BodyPieces, BodyStream, Piece, ReadAhead, UpstreamMessage};

/// Turns octets into others, bit by bit.
pub trait Coder {
    /// Octets taken at once at most: what comes of them is held in memory whole.
    const TAKEN_BYTES: usize = STRETCH_BYTES;

    /// Whether each octet becomes one, so that the length of what comes out is known.
    const KEEPS_LENGTH: bool = false;

    /// Takes all of `octets` and appends what comes of them to `out`, as far as it is ready.
    ///
    /// # Errors
    /// The octets are none that the coder understands.
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError>;

    /// Appends everything that is held back.
    ///
    /// # Errors
    /// As [`Coder::push`].
    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError>;

    /// Appends the end.
    ///
    /// # Errors
    /// As [`Coder::push`]; or the octets so far are not whole.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError>;
}

/// A body behind a coder. Its length is not known before its end, unless the coder keeps it.
pub struct CodedBody<C> {
    coder: C,
    body: BodyPieces,
    /// Octets of the body, where the coder keeps their number.
    length: Option<u64>,
    /// Octets that are still in the coder.
    is_held_back: bool,
    is_done: bool,
    /// Whether others have their turn before the next stretch.
    owes_turn: bool,
    /// Said once what came before it is out.
    failure: Option<BodyError>,
}

impl<C: Coder + 'static> CodedBody<C> {
    /// Puts `coder` before `body`.
    pub fn wrap(body: Body, coder: C) -> Body {
        let length = body.length().filter(|_| C::KEEPS_LENGTH);
        Body::Stream(Box::new(Self {
            coder,
            body: body.into(),
            length,
            is_held_back: false,
            is_done: false,
            owes_turn: false,
            failure: None,
        }))
    }

    /// Codes the next stretch of a piece, [`Coder::TAKEN_BYTES`] at most.
    fn code_next(&mut self, mut piece: Piece, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.is_held_back = true;
        let coded = piece.take_octets(C::TAKEN_BYTES, |octets| self.coder.push(octets, out));
        self.body.put_back(piece);
        coded
    }

    /// What there is to send before the stream is waited for.
    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        if std::mem::take(&mut self.is_held_back) { self.coder.flush(out) } else { Ok(()) }
    }

    fn step(&mut self, context: &mut Context<'_>, out: &mut Vec<u8>) -> Result<Step, BodyError> {
        match self.body.poll_next(context) {
            Poll::Ready(Some(piece)) => {
                self.code_next(piece?, out)?;
                Ok(Step::More)
            }
            Poll::Pending => {
                self.flush(out)?;
                Ok(Step::Wait)
            }
            Poll::Ready(None) => {
                self.is_done = true;
                self.coder.finish(out)?;
                Ok(Step::End)
            }
        }
    }
}

enum Step {
    More,
    Wait,
    End,
}

impl<C: Coder + 'static> BodyStream for CodedBody<C> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        if self.is_done {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut self.owes_turn) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut out = Vec::new();
        for _ in 0..STRETCHES_MAX {
            match self.step(context, &mut out) {
                Ok(Step::More) if out.len() < STRETCH_BYTES => {}
                Ok(Step::Wait) if out.is_empty() => return Poll::Pending,
                Ok(Step::End) if out.is_empty() => return Poll::Ready(None),
                Ok(step) => {
                    self.owes_turn = matches!(step, Step::More) && self.body.is_here();
                    return Poll::Ready(Some(Ok(Piece::Bytes(Bytes::from(out)))));
                }
                Err(error) if out.is_empty() => return Poll::Ready(Some(Err(error))),
                Err(error) => {
                    self.failure = Some(error);
                    return Poll::Ready(Some(Ok(Piece::Bytes(Bytes::from(out)))));
                }
            }
        }
        self.owes_turn = !out.is_empty();
        if self.owes_turn {
            return Poll::Ready(Some(Ok(Piece::Bytes(Bytes::from(out)))));
        }
        // Much has gone in and nothing has come out: others have their turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn length(&self) -> Option<u64> {
        self.length
    }

    fn can_wait(&self) -> bool {
        self.body.can_wait()
    }

    fn read_ahead(&self) -> Option<ReadAhead> {
        self.body.read_ahead()
    }

    fn take_message(&mut self) -> Option<UpstreamMessage> {
        self.body.take_message()
    }
}

/// Octets coded at once, so that no other connection waits for long.
const STRETCH_BYTES: usize = 32 * 1024;

/// Stretches coded before others have their turn.
const STRETCHES_MAX: usize = 4;
