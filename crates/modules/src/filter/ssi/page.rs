//! A page on its way out: read, run, and put together from what its commands ask for.

use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use daemun_server::LocalFuture;
use daemun_server::response::{BodyError, BodyPieces, BodyStream, Piece, ReadAhead, UpstreamMessage};
use daemun_server::subrequest::Subrequest;

use super::interpreter::{Interpreter, Next};
use super::scanner::{Found, Scanner};

/// A page as a body. It is read ahead, so that what it includes is asked for side by side.
pub(super) struct Page {
    input: BodyPieces,
    /// Of the input: read and not yet scanned.
    current: Bytes,
    is_read: bool,
    scanner: Scanner,
    interpreter: Interpreter,
    waiting: Waiting,
    /// Text found by the scanner, kept for its memory.
    text: Vec<u8>,
}

/// What must have come before the page goes on.
enum Waiting {
    Nothing,
    /// Everything so far must be sent.
    Parts,
    /// A subrequest's answer, for the variable of this name.
    Variable(Vec<u8>, LocalFuture<'static, Result<Option<Vec<u8>>, BodyError>>),
}

/// How far a page was run.
enum Run {
    /// As far as its limits allow, or up to what it must wait for.
    Halted,
    /// Up to what has not come.
    Starved,
    /// To its end.
    Whole,
}

impl Page {
    pub(super) fn new(input: BodyPieces, scanner: Scanner, interpreter: Interpreter) -> Self {
        Self {
            input,
            current: Bytes::new(),
            is_read: false,
            scanner,
            interpreter,
            waiting: Waiting::Nothing,
            text: Vec::new(),
        }
    }

    /// Runs the page as far as it goes.
    fn run(&mut self, context: &mut Context<'_>) -> Result<Run, BodyError> {
        let mut scanned = 0;
        loop {
            if !self.poll_waiting(context)? {
                return Ok(if matches!(self.waiting, Waiting::Parts) { Run::Halted } else { Run::Starved });
            }
            let is_full = self.interpreter.parts.len() >= PARTS_AHEAD || self.interpreter.text_bytes() >= TEXT_BYTES;
            if is_full || scanned >= SCANNED_BYTES {
                return Ok(Run::Halted);
            }
            if self.current.is_empty() {
                match self.read(context)? {
                    Run::Halted => {}
                    other => return Ok(other),
                }
            }
            scanned += self.scan();
        }
    }

    /// True where there is nothing more to wait for.
    fn poll_waiting(&mut self, context: &mut Context<'_>) -> Result<bool, BodyError> {
        match &mut self.waiting {
            Waiting::Nothing => return Ok(true),
            Waiting::Parts if self.interpreter.parts.is_empty() => {}
            Waiting::Parts => return Ok(false),
            Waiting::Variable(name, answer) => match answer.as_mut().poll(context) {
                Poll::Pending => return Ok(false),
                Poll::Ready(value) => {
                    if let Some(value) = value? {
                        self.interpreter.set_variable(name, value);
                    }
                }
            },
        }
        self.waiting = Waiting::Nothing;
        Ok(true)
    }

    /// Reads the next octets of the page.
    fn read(&mut self, context: &mut Context<'_>) -> Result<Run, BodyError> {
        if self.is_read {
            return Ok(Run::Whole);
        }
        match self.input.poll_next(context) {
            Poll::Pending => Ok(Run::Starved),
            Poll::Ready(None) => {
                self.is_read = true;
                self.text.clear();
                self.scanner.finish(&mut self.text);
                self.interpreter.write(&self.text);
                Ok(Run::Whole)
            }
            Poll::Ready(Some(piece)) => {
                let mut piece = piece?;
                if let Piece::Bytes(octets) = piece {
                    self.current = octets;
                } else {
                    self.current = piece.take_octets(READ_BYTES, |octets| Ok(Bytes::copy_from_slice(octets)))?;
                    self.input.put_back(piece);
                }
                Ok(Run::Halted)
            }
        }
    }

    /// Scans up to the end of the next command and runs it; gives the octets scanned.
    fn scan(&mut self) -> usize {
        self.text.clear();
        let stretch = self.current.len().min(READ_BYTES);
        let (used, found) = self.scanner.scan(&self.current[..stretch], &mut self.text);
        self.current.advance(used);
        self.interpreter.write(&self.text);
        match found {
            None => {}
            Some(Found::Broken(problem)) => self.interpreter.fail(&problem),
            Some(Found::Command(command)) => match self.interpreter.run(&command) {
                Next::GoOn => {}
                Next::WaitForParts => self.waiting = Waiting::Parts,
                Next::WaitForVariable(name, subrequest) => {
                    self.waiting = Waiting::Variable(name, Box::pin(value_of(subrequest)));
                }
            },
        }
        used
    }
}

/// What a subrequest answers; `None` where a variable keeps its value.
async fn value_of(subrequest: Subrequest) -> Result<Option<Vec<u8>>, BodyError> {
    let mut answer = subrequest.answer().await?;
    let octets = answer.collect().await?;
    let is_value = answer.request().sent.status < 300 && !octets.is_empty();
    Ok(is_value.then_some(octets))
}

impl BodyStream for Page {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        for _ in 0..RUNS_PER_TURN {
            let run = match self.run(context) {
                Ok(run) => run,
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            self.interpreter.end_text();
            match self.interpreter.parts.poll_next(context) {
                Poll::Ready(None) => match run {
                    Run::Whole => return Poll::Ready(None),
                    Run::Starved => return Poll::Pending,
                    Run::Halted => {}
                },
                other => return other,
            }
        }
        // Much was run and nothing came of it: others have their turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_held_together(&self) -> bool {
        matches!(self.waiting, Waiting::Variable(..)) || self.interpreter.parts.is_held_together()
    }

    fn read_ahead(&self) -> Option<ReadAhead> {
        self.input.read_ahead()
    }

    fn take_message(&mut self) -> Option<UpstreamMessage> {
        self.input.take_message()
    }
}

/// Parts that wait to be sent before the page is run further.
const PARTS_AHEAD: usize = 64;

/// Octets of text that wait to be sent before the page is run further.
const TEXT_BYTES: usize = 32 * 1024;

/// Octets read from a file at once.
const READ_BYTES: usize = 32 * 1024;

/// Octets scanned before something is sent.
const SCANNED_BYTES: usize = 64 * 1024;

/// Times the page is run without anything to send before other connections get their turn.
const RUNS_PER_TURN: usize = 4;
