//! Taking a response out of shared memory: the head once, the body piece by piece.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{Ordering, fence};

use crate::edge::{EdgeThread, Lease, Ticket};
use crate::error::Violation;
use crate::limits::SLOT_BYTES;
use crate::segment::Bytes;
use crate::stream::Stream;

/// Most pieces of body that one `sendmsg` takes: to the end of the slot, to the end of the chunk, from its front.
const SPANS_MAX: usize = 3;

/// Bytes after which the worker is told of its new room, so that it need not wait for the whole copy.
const STEP_BYTES: usize = 64 * 1024;

impl EdgeThread {
    /// Appends the response head to `out` and returns its length, 0 if there is none.
    ///
    /// Call once, after `Head` or `End`: the worker can still change it.
    ///
    /// # Errors
    ///
    /// [`Violation::Head`]
    pub fn copy_head(&self, ticket: Ticket, out: &mut Vec<u8>) -> Result<usize, Violation> {
        if self.local(ticket).is_none() {
            return Ok(0);
        }
        let line = &self.header(ticket).response;
        let offset = line.head_offset.load(Ordering::Relaxed) as usize;
        let length = line.head_length.load(Ordering::Relaxed) as usize;
        if offset > SLOT_BYTES || length > SLOT_BYTES - offset {
            return Err(Violation::Head);
        }
        self.segment().slot_bytes(self.first_slot + ticket.0, offset, length).append_to(out);
        Ok(length)
    }

    /// Body bytes that can be read now.
    ///
    /// # Errors
    ///
    /// [`Violation::Body`]
    pub fn body_available(&self, ticket: Ticket) -> Result<usize, Violation> {
        Ok(self.stream(ticket)?.map_or(0, |reading| reading.available))
    }

    /// Appends up to `most` body bytes to `out` and consumes them; returns their number.
    ///
    /// # Errors
    ///
    /// [`Violation::Body`]
    pub fn copy_body(&mut self, ticket: Ticket, out: &mut Vec<u8>, most: usize) -> Result<usize, Violation> {
        // No more than is there now: a worker that writes as fast as this reads must not keep the loop here.
        let wanted = self.body_available(ticket)?.min(most);
        let mut copied = 0;
        while copied < wanted {
            let Some(reading) = self.stream(ticket)? else { break };
            let span = self.span(&reading, 0, reading.available.min(wanted - copied).min(STEP_BYTES))?;
            if span.len() == 0 {
                break; // Only nonsense makes fewer bytes of what was there.
            }
            span.append_to(out);
            let bytes = span.len();
            copied += bytes;
            self.advance(ticket, &reading.stream, bytes);
        }
        Ok(copied)
    }

    /// The body bytes that lie together at the reading position. More may follow elsewhere: ask again
    /// after [`EdgeThread::consume`].
    ///
    /// # Errors
    ///
    /// [`Violation::Body`]
    pub fn lease(&self, ticket: Ticket) -> Result<Lease, Violation> {
        match self.stream(ticket)? {
            Some(reading) if reading.available > 0 => {
                let span = self.span(&reading, 0, reading.available)?;
                Ok(Lease { pointer: span.pointer(), length: span.len() })
            }
            _ => Ok(Lease { pointer: std::ptr::dangling(), length: 0 }),
        }
    }

    /// Moves the reading position on, which makes room for the worker; `bytes` must have been readable.
    pub fn consume(&mut self, ticket: Ticket, bytes: usize) {
        // A violation shows at the next reading.
        if let Ok(Some(reading)) = self.stream(ticket) {
            self.advance(ticket, &reading.stream, bytes.min(reading.available));
        }
    }

    /// Sends `before` and then up to `most` body bytes straight from shared memory to a socket.
    ///
    /// Never blocks. Returns the bytes written of both together; the body bytes among them are consumed.
    ///
    /// # Errors
    ///
    /// What the socket says (`WouldBlock` among it); a [`Violation`] as `InvalidData`.
    pub fn send_body(
        &mut self,
        ticket: Ticket,
        socket: BorrowedFd<'_>,
        before: &[u8],
        most: usize,
    ) -> io::Result<usize> {
        let invalid = |violation| io::Error::new(io::ErrorKind::InvalidData, violation);
        let Some(reading) = self.stream(ticket).map_err(invalid)? else { return Ok(0) };
        let wanted = reading.available.min(most);
        let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; SPANS_MAX + 1];
        let [front, spans @ ..] = &mut pieces;
        *front = libc::iovec { iov_base: before.as_ptr().cast_mut().cast(), iov_len: before.len() };
        let (mut length, mut count) = (0, 1);
        for piece in spans {
            if length == wanted {
                break;
            }
            let span = self.span(&reading, length, wanted - length).map_err(invalid)?;
            *piece = libc::iovec { iov_base: span.pointer().cast(), iov_len: span.len() };
            length += span.len();
            count += 1;
        }
        let written = send_vectored(socket, pieces.get(..count).unwrap_or_default())?;
        self.advance(ticket, &reading.stream, written.saturating_sub(before.len()));
        Ok(written)
    }

    /// Where the body stands, `None` if nobody waits for it.
    fn stream(&self, ticket: Ticket) -> Result<Option<Reading>, Violation> {
        let Some(local) = self.local(ticket) else { return Ok(None) };
        let line = &self.header(ticket).response;
        let (stream, produced) = Stream::read(line, self.first_slot + ticket.0)?;
        let available = produced.wrapping_sub(local.consumed);
        if available > stream.unread_max() {
            return Err(Violation::Body);
        }
        let (generation, consumed, available) = (local.generation, local.consumed, available as usize);
        Ok(Some(Reading { stream, generation, consumed, available }))
    }

    fn span(&self, reading: &Reading, ahead: usize, most: usize) -> Result<Bytes<'_>, Violation> {
        let position = reading.consumed + ahead as u64;
        reading.stream.span_checked(self.segment(), reading.generation, position, most)
    }

    /// Tells the worker how far the body has been read, and wakes it if it waits and half of the room is free.
    fn advance(&mut self, ticket: Ticket, stream: &Stream, bytes: usize) {
        let Some(local) = self.locals.get_mut(ticket.index()) else { return };
        local.consumed += bytes as u64;
        let consumed = local.consumed;
        let header = self.header(ticket);
        header.flow.consumed.store(consumed, Ordering::Release);
        // Against the worker's `wait_for_room`: either that sees the room, or this sees that it is wanted.
        fence(Ordering::SeqCst);
        if header.flow.space_wanted.load(Ordering::Relaxed) == 0 {
            return;
        }
        let unread = header.response.produced.load(Ordering::Relaxed).wrapping_sub(consumed);
        if unread <= stream.ring_size() / 2 && header.flow.space_wanted.swap(0, Ordering::SeqCst) != 0 {
            self.wake_seat(ticket);
        }
    }
}

/// A body and how far it has been read.
struct Reading {
    stream: Stream,
    generation: u32,
    consumed: u64,
    available: usize,
}

fn send_vectored(socket: BorrowedFd<'_>, pieces: &[libc::iovec]) -> io::Result<usize> {
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_ptr().cast_mut();
    message.msg_iovlen = pieces.len();
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    loop {
        // SAFETY: the pieces point to `before`, borrowed by the caller, or into the mapped segment; the
        // kernel only reads them, and may read shared memory while others write it.
        let written = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags) };
        match usize::try_from(written) {
            Ok(written) => return Ok(written),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}
