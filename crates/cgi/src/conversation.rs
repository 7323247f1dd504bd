//! A request's body on its way into a program, the answer and the log lines on their way out.

use std::io;
use std::pin::Pin;
use std::process::ExitStatus;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use daemun_server::Deadline;
use daemun_server::body::{BodyPassage, PassageError, RequestBodyError};
use daemun_server::log::Level;
use daemun_server::request::LogHandle;
use daemun_server::thread::with_read_buffer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe::{Receiver, Sender};

use crate::limits::{ENDING, LOG_LINE_BYTES, LOG_LINES_MAX};
use crate::process::{Pipes, Process};

/// A program and what goes on with it.
pub(crate) struct Conversation {
    process: Process,
    stdin: Option<Feeding>,
    stdout: Receiver,
    stderr: Complaints,
    stall: Deadline,
    timeout: Duration,
}

/// A body that goes into a program.
pub(crate) enum Body {
    /// All of it is here.
    Here(Vec<u8>),
    /// The client still sends it.
    Coming(BodyPassage),
}

/// A body that is still to be written.
struct Feeding {
    pipe: Sender,
    body: Body,
    written: usize,
}

/// Why nothing more comes.
#[derive(Debug)]
pub(crate) enum ConversationError {
    /// The client's request body failed.
    Client(RequestBodyError),
    /// The program neither took nor said anything in time.
    TimedOut,
    /// Its pipe failed.
    Read(io::Error),
}

impl Conversation {
    /// `body` goes into the program where it has a pipe for it; what it complains of goes to `log`.
    pub(crate) fn new(process: Process, pipes: Pipes, body: Body, log: LogHandle, timeout: Duration) -> Self {
        let stdin = pipes.stdin.map(|pipe| Feeding { pipe, body, written: 0 });
        let stderr = Complaints { pipe: Some(pipes.stderr), line: Vec::new(), lines: 0, log };
        Self { process, stdin, stdout: pipes.stdout, stderr, stall: Deadline::default(), timeout }
    }

    /// Moves what can be moved and appends to `octets` what the program says; 0 is its end.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        octets: &mut Vec<u8>,
    ) -> Poll<Result<usize, ConversationError>> {
        self.feed(context).map_err(ConversationError::Client)?;
        self.stderr.poll(context);
        let before = octets.len();
        let read = with_read_buffer(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let read = Pin::new(&mut self.stdout).poll_read(context, &mut buffer);
            octets.extend_from_slice(buffer.filled());
            read
        });
        match read {
            // A client that is slow to send is not a program that is slow.
            Poll::Pending if self.waits_for_client() => Poll::Pending,
            Poll::Pending => {
                ready!(self.stall.poll_after(self.timeout, context));
                Poll::Ready(Err(ConversationError::TimedOut))
            }
            Poll::Ready(Ok(())) => {
                self.stall.clear();
                let count = octets.len() - before;
                if count == 0 {
                    // What it complained of last is there by now.
                    self.stderr.poll(context);
                    self.stderr.finish();
                    self.process.is_done = true;
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(ConversationError::Read(error))),
        }
    }

    /// The program may go on in peace: nobody wants more of it.
    pub(crate) fn let_go(&mut self) {
        self.process.is_done = true;
    }

    /// How the program ended, which comes a moment after the end of its output.
    pub(crate) async fn ending(&mut self) -> Option<ExitStatus> {
        self.process.ending_within(ENDING).await
    }

    /// The answer's head goes out: a client that still waits for `100 Continue` gets none any more.
    pub(crate) fn begin_answer(&mut self) {
        if let Some(Feeding { body: Body::Coming(passage), .. }) = &mut self.stdin {
            passage.begin_answer();
        }
    }

    fn waits_for_client(&self) -> bool {
        matches!(&self.stdin, Some(Feeding { body: Body::Coming(passage), .. }) if passage.is_empty())
    }

    fn feed(&mut self, context: &mut Context<'_>) -> Result<(), RequestBodyError> {
        let Some(Feeding { pipe, body, written }) = &mut self.stdin else { return Ok(()) };
        match body {
            Body::Here(octets) => {
                while let Some(rest) = octets.get(*written..).filter(|rest| !rest.is_empty()) {
                    match poll_feed(pipe, context, rest) {
                        Poll::Pending => return Ok(()),
                        Poll::Ready(Ok(count)) => {
                            *written += count;
                            self.stall.clear();
                        }
                        Poll::Ready(Err(_)) => break,
                    }
                }
            }
            Body::Coming(passage) => match passage.poll(context, |context, octets| poll_feed(pipe, context, octets)) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(PassageError::Client(error))) => return Err(error),
                Poll::Ready(Ok(()) | Err(PassageError::Sink(_))) => self.stall.clear(),
            },
        }
        // It has all of it, or does not want to read, which is its right.
        self.stdin = None;
        Ok(())
    }
}

/// Writes what fits, and never nothing.
fn poll_feed(pipe: &mut Sender, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(pipe).poll_write(context, octets)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        result => Poll::Ready(result),
    }
}

/// What a program writes to its standard error, line by line.
struct Complaints {
    /// `None` once it is closed.
    pipe: Option<Receiver>,
    line: Vec<u8>,
    lines: usize,
    log: LogHandle,
}

impl Complaints {
    fn poll(&mut self, context: &mut Context<'_>) {
        while let Some(pipe) = &mut self.pipe {
            let mut octets = [0; LOG_LINE_BYTES];
            let mut buffer = ReadBuf::new(&mut octets);
            match Pin::new(pipe).poll_read(context, &mut buffer) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.take(buffer.filled()),
                Poll::Ready(_) => self.pipe = None,
            }
        }
    }

    fn take(&mut self, octets: &[u8]) {
        for octet in octets {
            if *octet == b'\n' || self.line.len() >= LOG_LINE_BYTES {
                self.finish();
            }
            if *octet != b'\n' {
                self.line.push(*octet);
            }
        }
    }

    /// Writes the line, if there is any.
    fn finish(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() || self.lines > LOG_LINES_MAX {
            return;
        }
        self.lines += 1;
        if self.lines > LOG_LINES_MAX {
            self.log.write(Level::Error, format_args!("the CGI script wrote more to stderr, which is left out"));
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end().escape_debug();
        self.log.write(Level::Error, format_args!("CGI script sent in stderr: \"{text}\""));
    }
}
