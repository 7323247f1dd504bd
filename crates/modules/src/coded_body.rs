//! A body that goes through a coder on its way out: compressed, or unpacked.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;
use daemun_server::response::{Body, BodyError, BodyStream, FilePart, Piece};

/// Turns octets into others, bit by bit.
pub trait Coder {
    /// Octets taken at once at most: what comes of them is held in memory whole.
    const TAKEN_BYTES: usize = STRETCH_BYTES;

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

/// A body behind a coder. Its length is not known before its end.
pub struct CodedBody<C> {
    coder: C,
    here: VecDeque<Piece>,
    stream: Option<Box<dyn BodyStream>>,
    /// Octets that are still in the coder.
    is_held_back: bool,
    is_done: bool,
    /// Whether others have their turn before the next stretch.
    owes_turn: bool,
}

impl<C: Coder + 'static> CodedBody<C> {
    /// Puts `coder` before `body`.
    pub fn wrap(body: Body, coder: C) -> Body {
        let (here, stream) = match body {
            Body::Empty => (VecDeque::new(), None),
            Body::Bytes(bytes) => (VecDeque::from([Piece::Bytes(bytes)]), None),
            Body::File(part) => (VecDeque::from([Piece::File(part)]), None),
            Body::Pieces(pieces) => (pieces.into(), None),
            Body::Stream(stream) => (VecDeque::new(), Some(stream)),
        };
        Body::Stream(Box::new(Self { coder, here, stream, is_held_back: false, is_done: false, owes_turn: false }))
    }

    /// Codes the next stretch of what is here, [`Coder::TAKEN_BYTES`] at most.
    fn code_next(&mut self, piece: Piece, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.is_held_back = true;
        match piece {
            Piece::Bytes(mut bytes) => {
                let first = bytes.split_to(bytes.len().min(C::TAKEN_BYTES));
                self.put_back(Piece::Bytes(bytes));
                self.coder.push(&first, out)
            }
            Piece::Lease(lease) if lease.octets().len() > C::TAKEN_BYTES => {
                self.put_back(Piece::Bytes(Bytes::copy_from_slice(lease.octets())));
                Ok(())
            }
            Piece::Lease(lease) => self.coder.push(lease.octets(), out),
            Piece::File(mut part) => {
                let octets = read(&part, C::TAKEN_BYTES)?;
                part.offset += octets.len() as u64;
                part.length -= octets.len() as u64;
                self.put_back(Piece::File(part));
                self.coder.push(&octets, out)
            }
        }
    }

    fn put_back(&mut self, rest: Piece) {
        if rest.length() > 0 {
            self.here.push_front(rest);
        }
    }

    /// What there is to send before the stream is waited for.
    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        if std::mem::take(&mut self.is_held_back) { self.coder.flush(out) } else { Ok(()) }
    }

    fn step(&mut self, context: &mut Context<'_>, out: &mut Vec<u8>) -> Result<Step, BodyError> {
        if let Some(piece) = self.here.pop_front() {
            self.code_next(piece, out)?;
            return Ok(Step::More);
        }
        match self.stream.as_mut().map(|stream| stream.poll_next(context)) {
            Some(Poll::Ready(Some(piece))) => {
                self.here.push_back(piece?);
                Ok(Step::More)
            }
            Some(Poll::Pending) => {
                self.flush(out)?;
                Ok(Step::Wait)
            }
            Some(Poll::Ready(None)) | None => {
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
                    self.owes_turn = matches!(step, Step::More) && !self.here.is_empty();
                    return Poll::Ready(Some(Ok(Piece::Bytes(Bytes::from(out)))));
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
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

    fn can_wait(&self) -> bool {
        self.stream.as_ref().is_none_or(|stream| stream.can_wait())
    }
}

/// Reads a file's next stretch. It is in the page cache as a rule: waiting for a disk is what sendfile would do, too.
fn read(part: &FilePart, most: usize) -> Result<Vec<u8>, BodyError> {
    let wanted = usize::try_from(part.length).unwrap_or(usize::MAX).min(most);
    let mut octets = vec![0; wanted];
    let failed = |reason: String| BodyError::Unreadable(reason);
    let count = rustix::io::pread(&part.file.descriptor, &mut octets, part.offset)
        .map_err(|error| failed(error.to_string()))?;
    if count == 0 {
        return Err(failed("the file was cut while it was sent".to_owned()));
    }
    octets.truncate(count);
    Ok(octets)
}

/// Octets coded at once, so that no other connection waits for long.
const STRETCH_BYTES: usize = 32 * 1024;

/// Stretches coded before others have their turn.
const STRETCHES_MAX: usize = 4;
