//! A request in a worker's hands.

#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::chunk;
use crate::completion::{Entry, Kind};
use crate::error::JobError;
use crate::limits::{CACHE_LINE, SLOT_BYTES};
use crate::observer::Observer;
use crate::owner::Owner;
use crate::passing::{self, Brings, Packet, Received};
use crate::segment::{BODY_DEFERRED, BODY_INLINE, SlotHeader, UNKNOWN_LENGTH};
use crate::stream::{INLINE_BYTES_MIN, NEVER, Stream};
use crate::worker::{SeatShared, Wake};

/// Body bytes that a worker writes before it tells the edge of them by itself.
///
/// Large, since on a machine with few cores each telling costs a change of process; see the bench.
const TELL_BYTES: u64 = 128 * 1024;

/// Longest that a [`Wait`] sleeps: after that, marks are looked at again.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// A wait that the caller runs, so that it can release the interpreter's lock around it.
///
/// `Send`, and to be run on the calling thread: `|wait| py.detach(|| wait.run())`.
#[derive(Debug)]
pub struct Wait<'a> {
    seat: &'a SeatShared,
}

impl Wait<'_> {
    /// Sleeps until there may be something to go on with, a signal arrives or a second has passed.
    ///
    /// Returns what it saw; the call that asked for the wait looks for itself, so it may be ignored.
    pub fn run(self) -> Wake {
        self.seat.sleep(Some(WAIT_MAX))
    }
}

/// How a caller runs a [`Wait`]. An error of its own (a signal handler that raised) ends the waiting: `Err(())`
/// makes the waiting call return [`JobError::Aborted`].
pub type Block<'a> = dyn FnMut(Wait<'_>) -> Result<(), ()> + 'a;

/// Where a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBody {
    /// There is none.
    None,
    /// In [`Job::inline_body`], all of it.
    Inline,
    /// To be had by [`Job::need_body`].
    Deferred {
        /// Its bytes, if known.
        length: Option<u64>,
    },
}

/// What kind of descriptor a body comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// A file that holds the body from offset 0 on. Shared with the edge: read it by position (pread).
    File,
    /// A pipe or socket that ends where the body ends.
    Pipe,
}

/// A body that was asked for.
#[derive(Debug)]
pub struct BodySource {
    /// What to read from.
    pub descriptor: OwnedFd,
    /// How to read.
    pub kind: BodyKind,
    /// Bytes of the body, if known. A pipe that ends before: the client broke off.
    pub length: Option<u64>,
}

/// A request that this seat has claimed. Dropped without [`Job::finish`], it ends as failed.
///
/// `Send`: what the application keeps (`wsgi.input`, an iterator) may be used from its other threads, one at a time.
#[derive(Debug)]
pub struct Job {
    seat: Arc<SeatShared>,
    slot: u32,
    generation: u32,
    edge_thread: u16,
    record_length: usize,
    body_length: usize,
    stage: Stage,
    /// Where the response body lies, once there is a head.
    stream: Stream,
    /// Body bytes written.
    produced: u64,
    /// Body bytes among them that the edge has been told of.
    told: u64,
    is_started: bool,
    /// By the clock of [`Observer::now_us`].
    started_us: u64,
    is_body_asked: bool,
    is_head_told: bool,
}

/// How far the response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    NoHead,
    Body,
    /// A file was sent: nothing may follow.
    File,
    Ended,
}

impl Job {
    pub(crate) fn new(seat: Arc<SeatShared>, slot: u32, generation: u32) -> Self {
        let header = seat.segment().slot(slot);
        let response = &header.response;
        response.produced.store(0, Ordering::Relaxed);
        response.switch_at.store(NEVER, Ordering::Relaxed);
        response.head_length.store(0, Ordering::Relaxed);
        response.inline_size.store(0, Ordering::Relaxed);
        response.inline_offset.store(0, Ordering::Relaxed);
        response.chunk.store(0, Ordering::Relaxed);
        let length = |field: &std::sync::atomic::AtomicU32| (field.load(Ordering::Relaxed) as usize).min(SLOT_BYTES);
        let record_length = length(&header.request.record_length);
        Self {
            slot,
            generation,
            edge_thread: header.request.edge_thread.load(Ordering::Relaxed) as u16,
            record_length,
            body_length: length(&header.request.body_length).min(SLOT_BYTES - record_length),
            stage: Stage::NoHead,
            stream: Stream::inline(slot, SLOT_BYTES),
            produced: 0,
            told: 0,
            is_started: false,
            started_us: 0,
            is_body_asked: false,
            is_head_told: false,
            seat,
        }
    }

    /// The request record, as the edge wrote it.
    pub fn record(&self) -> &[u8] {
        let bytes = self.seat.segment().slot_bytes(self.slot, 0, self.record_length);
        // SAFETY: the slot is ours until END; the edge leaves a claimed request alone, and the response lies behind it.
        unsafe { bytes.as_slice() }
    }

    /// The request body, if it is [`RequestBody::Inline`]; else empty.
    pub fn inline_body(&self) -> &[u8] {
        let bytes = self.seat.segment().slot_bytes(self.slot, self.record_length, self.body_length);
        // SAFETY: as in `record`.
        unsafe { bytes.as_slice() }
    }

    /// Where the request body is.
    pub fn body(&self) -> RequestBody {
        let line = &self.header().request;
        match line.body_kind.load(Ordering::Relaxed) {
            BODY_INLINE => RequestBody::Inline,
            BODY_DEFERRED => RequestBody::Deferred { length: known(line.deferred_length.load(Ordering::Relaxed)) },
            _ => RequestBody::None,
        }
    }

    /// Says that the application is about to see the request: from here on a death of the worker loses it.
    ///
    /// Implied by everything below that tells the edge something.
    pub fn mark_started(&mut self) {
        if self.is_started {
            return;
        }
        self.is_started = true;
        self.started_us = Observer::now_us();
        let now = Observer::now_ms();
        let header = self.header();
        header.response.started_ms.store(now, Ordering::Relaxed);
        self.seat.block().busy_since_ms.store(now, Ordering::Relaxed);
        let started = Owner::started(self.generation, self.seat.index).to_word();
        header.request.owner.store(started, Ordering::Release);
    }

    /// Whether the client is gone.
    pub fn is_aborted(&self) -> bool {
        self.header().request.aborted.load(Ordering::SeqCst) != 0
    }

    /// Whether a pipe that has ended has brought the whole body. If not, the client or the edge broke off.
    pub fn is_body_whole(&self) -> bool {
        self.header().request.body_whole.load(Ordering::Acquire) != 0
    }

    /// Asks for a deferred body and waits for it. Once per request.
    ///
    /// # Errors
    ///
    /// [`JobError::Aborted`] if the client is gone; [`JobError::Order`] if there is nothing to be had.
    pub fn need_body(&mut self, block: &mut Block<'_>) -> Result<BodySource, JobError> {
        if self.is_body_asked || !matches!(self.body(), RequestBody::Deferred { .. }) {
            return Err(JobError::Order("there is no body to ask for"));
        }
        self.is_body_asked = true;
        self.report(Kind::NeedBody);
        loop {
            match passing::receive(self.seat.socket.as_fd()) {
                Received::Packet(packet, descriptor) if self.is_mine(&packet) => {
                    return body_source(&packet, descriptor).ok_or(JobError::Aborted);
                }
                // Meant for an earlier request, perhaps of a process that is dead.
                Received::Packet(..) | Received::Nonsense => {}
                Received::Closed => return Err(JobError::Aborted),
                Received::Empty if self.is_aborted() => return Err(JobError::Aborted),
                Received::Empty => self.block(block)?,
            }
        }
    }

    fn is_mine(&self, packet: &Packet) -> bool {
        packet.slot == self.slot && packet.generation == self.generation
    }

    /// Room to build the response head in, in place; then [`Job::commit_head`].
    pub fn head_room(&mut self) -> &mut [u8] {
        let offset = self.head_offset();
        let length = match self.stage {
            Stage::NoHead => SLOT_BYTES - INLINE_BYTES_MIN - offset,
            _ => 0,
        };
        let bytes = self.seat.segment().slot_bytes(self.slot, offset, length);
        // SAFETY: the slot is ours until END, the edge does not read the head before it is told of it, and
        // the exclusive borrow of the job keeps everybody else in this process out.
        unsafe { bytes.as_mut_slice() }
    }

    /// Behind the request, on a cache line of its own.
    fn head_offset(&self) -> usize {
        // An edge of ours leaves RESPONSE_ROOM_MIN bytes behind the request.
        (self.record_length + self.body_length).next_multiple_of(CACHE_LINE).min(SLOT_BYTES - INLINE_BYTES_MIN)
    }

    /// Makes the first `length` bytes of [`Job::head_room`] the response head.
    ///
    /// # Errors
    ///
    /// [`JobError::HeadTooLarge`], [`JobError::Order`] if there is a head already.
    pub fn commit_head(&mut self, length: usize) -> Result<(), JobError> {
        if self.stage != Stage::NoHead {
            return Err(JobError::Order("the response has a head already"));
        }
        let offset = self.head_offset();
        let most = SLOT_BYTES - INLINE_BYTES_MIN - offset;
        if length > most {
            return Err(JobError::HeadTooLarge { length, most });
        }
        self.stream = Stream::inline(self.slot, (offset + length).next_multiple_of(CACHE_LINE));
        self.stage = Stage::Body;
        let response = &self.header().response;
        response.head_offset.store(offset as u32, Ordering::Relaxed);
        response.head_length.store(length as u32, Ordering::Relaxed);
        response.inline_offset.store(self.stream.inline_offset as u32, Ordering::Relaxed);
        response.inline_size.store(self.stream.inline_size as u32, Ordering::Relaxed);
        Ok(())
    }

    /// Copies a response head in.
    ///
    /// # Errors
    ///
    /// As [`Job::commit_head`].
    pub fn write_head(&mut self, head: &[u8]) -> Result<(), JobError> {
        // What does not fit is refused by commit_head.
        if let Some(room) = self.head_room().get_mut(..head.len()) {
            room.copy_from_slice(head);
        }
        self.commit_head(head.len())
    }

    /// Appends to the response body. What fits into the slot stays there untold until [`Job::flush`] or
    /// [`Job::finish`]; more goes through a ring, and waits by `block` while that is full.
    ///
    /// # Errors
    ///
    /// [`JobError::Aborted`]; [`JobError::Order`] before a head or after a file.
    pub fn write(&mut self, bytes: &[u8], block: &mut Block<'_>) -> Result<(), JobError> {
        self.check_body_stage()?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.room();
            if room == 0 {
                self.make_room(block)?;
                continue;
            }
            let untold = (self.produced - self.told) as usize;
            let most = room.min(rest.len()).min(TELL_BYTES as usize - untold);
            let span = self.stream.span(self.seat.segment(), self.produced, most);
            let (piece, later) = rest.split_at(span.len());
            span.copy_from(piece);
            rest = later;
            self.produced += piece.len() as u64;
            self.header().response.produced.store(self.produced, Ordering::Release);
            if self.produced - self.told >= TELL_BYTES {
                self.tell();
            }
        }
        Ok(())
    }

    fn check_body_stage(&self) -> Result<(), JobError> {
        match self.stage {
            Stage::NoHead => Err(JobError::Order("a response body before its head")),
            Stage::File | Stage::Ended => Err(JobError::Order("a response body after its end")),
            Stage::Body if self.is_aborted() => Err(JobError::Aborted),
            Stage::Body => Ok(()),
        }
    }

    fn room(&self) -> usize {
        self.stream.room(self.produced, self.header().flow.consumed.load(Ordering::SeqCst))
    }

    /// The slot is full: goes over to a chunk, or waits for the edge to read on.
    fn make_room(&mut self, block: &mut Block<'_>) -> Result<(), JobError> {
        if self.stream.switch_at == NEVER {
            let first = self.seat.latest_chunk.load(Ordering::Relaxed);
            if let Some(chunk) = chunk::attach(self.seat.segment(), first, self.slot, self.generation) {
                self.seat.latest_chunk.store(chunk, Ordering::Relaxed);
                self.stream.switch_at = self.produced;
                self.stream.chunk = chunk;
                let response = &self.header().response;
                response.chunk.store(chunk + 1, Ordering::Relaxed);
                response.switch_at.store(self.produced, Ordering::Relaxed);
                return Ok(());
            }
        }
        self.tell();
        self.wait_for_room(block)
    }

    fn wait_for_room(&mut self, block: &mut Block<'_>) -> Result<(), JobError> {
        loop {
            let wanted = &self.header().flow.space_wanted;
            // Before the counters are looked at again, so that the edge sees the wish or this sees the room.
            wanted.swap(1, Ordering::SeqCst);
            let is_aborted = self.is_aborted() || self.seat.is_edge_gone();
            if is_aborted || self.room() > 0 {
                wanted.store(0, Ordering::Relaxed);
                return if is_aborted { Err(JobError::Aborted) } else { Ok(()) };
            }
            self.block(block)?;
        }
    }

    /// Has the caller run a wait.
    fn block(&self, block: &mut Block<'_>) -> Result<(), JobError> {
        block(Wait { seat: &self.seat }).map_err(|()| JobError::Aborted)
    }

    /// Tells the edge of everything written so far: for event streams and bodies of unknown length. Never blocks.
    ///
    /// # Errors
    ///
    /// As [`Job::write`].
    pub fn flush(&mut self) -> Result<(), JobError> {
        self.check_body_stage()?;
        self.tell();
        Ok(())
    }

    fn tell(&mut self) {
        if !self.is_head_told {
            self.is_head_told = true;
            self.report(Kind::Head);
        } else if self.produced > self.told && self.header().flow.data_pending.swap(1, Ordering::AcqRel) == 0 {
            self.report(Kind::Data);
        }
        self.told = self.produced;
    }

    /// Makes `length` bytes of a file from `offset` on the rest of the body. The edge gets its own descriptor.
    ///
    /// # Errors
    ///
    /// As [`Job::write`]; [`JobError::System`] if the descriptor cannot be passed.
    pub fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        block: &mut Block<'_>,
    ) -> Result<(), JobError> {
        self.check_body_stage()?;
        self.tell();
        let packet =
            Packet { slot: self.slot, generation: self.generation, brings: Brings::ResponseFile, offset, length };
        loop {
            match packet.send(self.seat.socket.as_fd(), Some(file)) {
                Ok(()) => break,
                Err(rustix::io::Errno::AGAIN) if !self.is_aborted() => {
                    self.seat.watch_writable();
                    self.block(block)?;
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::PIPE) => return Err(JobError::Aborted),
                Err(errno) => return Err(JobError::system("pass a file")(errno)),
            }
        }
        self.stage = Stage::File;
        self.report(Kind::File);
        Ok(())
    }

    /// Ends the request. `complete`: the response is whole; else the edge answers 502 or 500, or cuts the response off.
    pub fn finish(mut self, complete: bool) {
        self.end(complete);
    }

    /// Head, body and end in one call, for the answer that is all there.
    ///
    /// # Errors
    ///
    /// As [`Job::write_head`] and [`Job::write`]; the request has ended as failed then.
    pub fn respond(mut self, head: &[u8], body: &[u8], block: &mut Block<'_>) -> Result<(), JobError> {
        self.write_head(head)?;
        self.write(body, block)?;
        self.finish(true);
        Ok(())
    }

    fn end(&mut self, complete: bool) {
        let has_head = matches!(self.stage, Stage::Body | Stage::File);
        if std::mem::replace(&mut self.stage, Stage::Ended) == Stage::Ended {
            return;
        }
        let block = self.seat.block();
        block.busy_since_ms.store(0, Ordering::Relaxed);
        block.served.fetch_add(1, Ordering::Relaxed);
        block.sent.fetch_add(self.header().response.produced.load(Ordering::Relaxed), Ordering::Relaxed);
        if self.is_started {
            let took = Observer::now_us().saturating_sub(self.started_us);
            block.running_us.fetch_add(took, Ordering::Relaxed);
            // As uWSGI reckons it; a seat runs one request at a time.
            let average = block.average_us.load(Ordering::Relaxed);
            block.average_us.store(if average == 0 { took } else { average.midpoint(took) }, Ordering::Relaxed);
        }
        // The last touch of the slot: from here on it is the edge's.
        self.report(if complete && has_head { Kind::EndComplete } else { Kind::EndFailed });
    }

    fn report(&mut self, kind: Kind) {
        if kind != Kind::EndComplete && kind != Kind::EndFailed {
            self.mark_started();
        }
        let entry = Entry { kind, slot: self.slot, generation: self.generation };
        self.seat.report(self.edge_thread, entry);
    }

    fn header(&self) -> &SlotHeader {
        self.seat.segment().slot(self.slot)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.end(false);
    }
}

fn body_source(packet: &Packet, descriptor: Option<OwnedFd>) -> Option<BodySource> {
    let kind = match packet.brings {
        Brings::BodyFile => BodyKind::File,
        Brings::BodyPipe => BodyKind::Pipe,
        Brings::ResponseFile | Brings::Nothing => return None,
    };
    Some(BodySource { descriptor: descriptor?, kind, length: known(packet.length) })
}

fn known(length: u64) -> Option<u64> {
    (length != UNKNOWN_LENGTH).then_some(length)
}
