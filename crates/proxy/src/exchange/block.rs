//! Octets of a request's body as the protocol marks them.

use std::io;
use std::os::unix::fs::FileExt;
use std::task::{Context, Poll, ready};

use daemun_net::Stream;
use daemun_server::response::OpenFile;

use super::sending::poll_write;
use crate::limits::BLOCK_BYTES;
use crate::transport::Framing;

/// What is marked and not sent.
pub struct Block {
    framing: Option<&'static Framing>,
    octets: Vec<u8>,
    sent: usize,
    is_ended: bool,
}

impl Block {
    /// Nothing so far; without a framing there never is anything.
    pub fn new(framing: Option<&'static Framing>) -> Self {
        Self { framing, octets: Vec::new(), sent: 0, is_ended: framing.is_none() }
    }

    /// Whether the protocol marks bodies.
    pub fn is_framed(&self) -> bool {
        self.framing.is_some()
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.sent >= self.octets.len()
    }

    /// Whether the end has been sent too.
    pub fn is_over(&self) -> bool {
        self.is_ended && self.is_empty()
    }

    /// Forgets everything.
    pub fn restart(&mut self) {
        *self = Self::new(self.framing);
    }

    /// Octets that wait to be sent.
    pub fn len(&self) -> usize {
        self.octets.len() - self.sent
    }

    /// Adds octets that get no marks.
    pub fn put_bare(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// Adds a block, [`BLOCK_BYTES`] at most, unless it is empty.
    pub fn put(&mut self, octets: &[u8]) {
        let Some(framing) = self.framing.filter(|_| !octets.is_empty()) else { return self.put_bare(octets) };
        (framing.begin)(octets.len(), &mut self.octets);
        self.octets.extend_from_slice(octets);
        (framing.end)(octets.len(), &mut self.octets);
    }

    /// Adds the next block of a file, of which `offset` to `end` are to be sent.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn put_file(&mut self, file: &OpenFile, offset: &mut u64, end: u64) -> io::Result<()> {
        let rest = usize::try_from(end - *offset).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        let mut octets = vec![0; rest];
        let file = std::fs::File::from(file.descriptor.try_clone()?);
        file.read_exact_at(&mut octets, *offset)?;
        *offset += rest as u64;
        self.put(&octets);
        Ok(())
    }

    /// Adds the mark of the end, once.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.is_ended, true)
            && let Some(framing) = self.framing
        {
            self.octets.extend_from_slice(framing.last);
        }
    }

    /// Sends what waits; `sent` counts it. Ready once that is all.
    ///
    /// # Errors
    /// What the system says.
    pub fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut Stream,
        sent: &mut u64,
    ) -> Poll<io::Result<()>> {
        while let Some(left) = self.octets.get(self.sent..).filter(|left| !left.is_empty()) {
            let count = ready!(poll_write(stream, context, left))?;
            self.sent += count;
            *sent += count as u64;
        }
        self.octets.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}
