//! The edge's side of a hop, once per event-loop thread: requests go in, completions come out.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use crate::chunk;
use crate::completion::{self, Entry, Kind};
use crate::error::{SubmitError, Violation};
use crate::limits::REQUEST_BYTES_MAX;
use crate::owner::{Owner, State};
use crate::passing::{Brings, Packet};
use crate::pool::Pool;
use crate::segment::{BODY_DEFERRED, BODY_INLINE, BODY_NONE, Segment, SlotHeader, UNKNOWN_LENGTH};
use crate::wake;

/// A submitted request: the name of a slot of this edge thread.
///
/// Valid from [`EdgeThread::submit`] until [`EdgeThread::release`] or [`EdgeThread::abort`]; a later request
/// may get the same ticket. Calls with a ticket that is not valid do nothing and find nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub(crate) u32);

impl Ticket {
    /// An index below [`crate::Layout::slots_per_thread`], for a table of the requests under way.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a request's body reaches the worker.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// There is none.
    None,
    /// All of it, beside the record; see [`EdgeThread::inline_body_max`].
    Inline(&'a [u8]),
    /// Later, as a descriptor, if the worker asks by [`Completion::NeedBody`].
    Deferred {
        /// Its bytes, if known.
        length: Option<u64>,
    },
}

/// The answer to [`Completion::NeedBody`].
#[derive(Debug)]
pub enum BodyGrant<'a> {
    /// A file that holds the whole body from its offset 0 on; the worker reads by position.
    File {
        /// The file.
        file: BorrowedFd<'a>,
        /// Bytes of the body.
        length: u64,
    },
    /// The read end of a pipe or stream socket; the body ends with it. Close your copy after the call, and call
    /// [`EdgeThread::end_body`] before the last writing end is closed.
    Pipe {
        /// The read end.
        pipe: BorrowedFd<'a>,
        /// Bytes to come, if known. Fewer mean that the client broke off.
        length: Option<u64>,
    },
    /// There will be no body: the client is gone.
    Refused,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The whole response is there.
    Complete,
    /// The application failed: no head was written, or the body is short.
    Failed,
}

/// What a worker, or the death of one, reports.
#[derive(Debug)]
pub enum Completion {
    /// The worker waits for a deferred body: answer by [`EdgeThread::grant_body`].
    NeedBody {
        /// The request.
        ticket: Ticket,
    },
    /// The response head can be read; body bytes may be there and more will follow.
    Head {
        /// The request.
        ticket: Ticket,
    },
    /// More body bytes than before can be read.
    Data {
        /// The request.
        ticket: Ticket,
    },
    /// After the body bytes written so far, a part of a file is the rest of the body. Comes after `Head`.
    File {
        /// The request.
        ticket: Ticket,
        /// The file the worker passed.
        file: OwnedFd,
        /// First byte of the part.
        offset: u64,
        /// Bytes of the part.
        length: u64,
    },
    /// The worker has finished. Without an earlier `Head`, head and whole body are in the slot now.
    ///
    /// What has not been read of the body stays readable until [`EdgeThread::release`].
    End {
        /// The request.
        ticket: Ticket,
        /// How it ended.
        outcome: Outcome,
    },
    /// The worker died running this request. Body bytes written before stay readable until [`EdgeThread::release`].
    Lost {
        /// The request.
        ticket: Ticket,
        /// The seat it ran on.
        seat: u16,
    },
    /// Every edge thread has taken back what the dead worker on these seats had: tell the zygote.
    Cleaned {
        /// As given to [`Pool::worker_died`]; all of them after [`Pool::reset`].
        seats: Range<u16>,
        /// As given to [`Pool::worker_died`]; `None` after [`Pool::reset`]: the zygote that had them is gone as well.
        pid: Option<u32>,
    },
    /// The worker on this seat writes nonsense: have it killed.
    Misbehaved {
        /// Its seat.
        seat: u16,
        /// What it did.
        violation: Violation,
    },
}

/// Body bytes in shared memory: readable until [`EdgeThread::consume`], `release` or `abort` of the same ticket.
///
/// The worker can change them at any time. Hand them to the kernel (`send`, `write`); making a Rust
/// reference of them is unsound.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// The first byte.
    pub pointer: *const u8,
    /// How many bytes, 0 if there are none now.
    pub length: usize,
}

/// What this thread knows of one of its slots, out of the workers' reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local {
    pub phase: Phase,
    pub generation: u32,
    /// The seat that reported last, once one has.
    pub seat: Option<u16>,
    /// Response body bytes taken out of shared memory.
    pub consumed: u64,
    /// The worker waits for [`EdgeThread::grant_body`].
    pub body_wanted: bool,
    /// The worker died with it, perhaps before it noted down a chunk it had taken.
    pub lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Free,
    Submitted,
    /// END has been reported, or the loss.
    Ended,
    /// Nobody waits for it, but its worker has not ended it yet.
    Abandoned,
}

const FRESH: Local =
    Local { phase: Phase::Free, generation: 0, seat: None, consumed: 0, body_wanted: false, lost: false };

/// One event-loop thread's handle on a pool.
///
/// When it is dropped, its requests under way are lost and their slots with them.
#[derive(Debug)]
pub struct EdgeThread {
    pub(crate) pool: Arc<Pool>,
    pub(crate) index: u16,
    /// The pool's number of this thread's first slot.
    pub(crate) first_slot: u32,
    pub(crate) locals: Vec<Local>,
    /// Free slots; the one freed last is used first, since it is warm.
    free: Vec<u32>,
    /// How far each seat's completion queue has been read.
    pub(crate) cursors: Vec<u64>,
    /// Seats whose queues have something new, taken from shared memory and not looked through yet.
    ready: Vec<u64>,
    /// What a recovery found, to be handed out; with the generation it belongs to, if it belongs to one.
    pub(crate) backlog: VecDeque<(u32, Completion)>,
    /// Number of the last death this thread has dealt with.
    pub(crate) deaths_seen: u64,
    is_armed: bool,
}

impl EdgeThread {
    pub(crate) fn new(pool: Arc<Pool>, index: u16) -> Self {
        let layout = *pool.layout();
        let slots = layout.slots_per_thread;
        Self {
            index,
            first_slot: u32::from(index) * slots,
            locals: vec![FRESH; slots as usize],
            free: (0..slots).rev().collect(),
            cursors: vec![0; usize::from(layout.seats())],
            ready: vec![0; usize::from(layout.seats()).div_ceil(64)],
            backlog: VecDeque::new(),
            deaths_seen: 0,
            is_armed: false,
            pool,
        }
    }

    /// The pool this is a handle on.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Becomes readable when a worker reports something while this thread is armed.
    ///
    /// Meant for edge-triggered watching (tokio's `AsyncFd`): there is no need to read it.
    pub fn wake_descriptor(&self) -> BorrowedFd<'_> {
        // One per edge thread by construction of the wiring.
        self.pool.edge_wakes[usize::from(self.index)].as_fd()
    }

    /// Most body bytes that fit beside a record of `record_bytes`.
    pub fn inline_body_max(record_bytes: usize) -> usize {
        REQUEST_BYTES_MAX.saturating_sub(record_bytes)
    }

    /// Requests that can be submitted before [`SubmitError::NoSlot`].
    pub fn free_slots(&self) -> usize {
        self.free.len()
    }

    /// Puts a request on the queue; busy workers may take it at once, sleeping ones after [`EdgeThread::kick`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; nothing was queued.
    pub fn submit(&mut self, record: &[u8], body: Body<'_>) -> Result<Ticket, SubmitError> {
        let (kind, inline, deferred_length) = match body {
            Body::None => (BODY_NONE, [].as_slice(), 0),
            Body::Inline(bytes) => (BODY_INLINE, bytes, 0),
            Body::Deferred { length } => (BODY_DEFERRED, [].as_slice(), length.unwrap_or(UNKNOWN_LENGTH)),
        };
        let request_bytes = record.len().saturating_add(inline.len());
        if request_bytes > REQUEST_BYTES_MAX {
            return Err(SubmitError::TooLarge(request_bytes));
        }
        let ticket = Ticket(*self.free.last().ok_or(SubmitError::NoSlot)?);
        let generation = self.locals[ticket.index()].generation.wrapping_add(1);

        let (slot, segment) = (self.first_slot + ticket.0, &self.pool.segment);
        segment.slot_bytes(slot, 0, record.len()).copy_from(record);
        segment.slot_bytes(slot, record.len(), inline.len()).copy_from(inline);
        let line = &segment.slot(slot).request;
        line.record_length.store(record.len() as u32, Ordering::Relaxed);
        line.body_length.store(inline.len() as u32, Ordering::Relaxed);
        line.body_kind.store(kind, Ordering::Relaxed);
        line.deferred_length.store(deferred_length, Ordering::Relaxed);
        line.edge_thread.store(u32::from(self.index), Ordering::Relaxed);
        line.body_whole.store(0, Ordering::Relaxed);
        line.owner.store(Owner::queued(generation).to_word(), Ordering::Release);
        let queued = self.pool.producer().push(segment, slot, generation);

        self.locals[ticket.index()].generation = generation;
        if !queued {
            line.owner.store(Owner::free(generation).to_word(), Ordering::Release);
            return Err(SubmitError::QueueFull);
        }
        self.locals[ticket.index()].phase = Phase::Submitted;
        self.free.pop();
        Ok(ticket)
    }

    /// Wakes as many sleeping seats as there are queued requests. Once per turn of the loop.
    pub fn kick(&mut self) {
        wake::wake_for_queued(&self.pool.segment, &self.pool.seat_wakes);
    }

    /// Asks for a wake-up, as the last thing before the loop sleeps. `false`: do not sleep, there is
    /// something to [`EdgeThread::poll`].
    pub fn arm(&mut self) -> bool {
        let segment = &self.pool.segment;
        let armed = &segment.bell(self.index).armed;
        armed.store(1, Ordering::SeqCst);
        // Against `completion::ring` and `Pool::worker_died`: either they see the mark, or this sees what they did.
        fence(Ordering::SeqCst);
        let has_news = !self.backlog.is_empty()
            || self.ready.iter().any(|word| *word != 0)
            || segment.ready_seats(self.index).iter().any(|word| word.load(Ordering::SeqCst) != 0)
            || self.pool.has_deaths_after(self.deaths_seen);
        self.is_armed = !has_news;
        if has_news {
            armed.store(0, Ordering::SeqCst);
        }
        !has_news
    }

    /// Hands over what has been reported, at most `most` completions; returns their number.
    pub fn poll(&mut self, most: usize, mut sink: impl FnMut(&mut Self, Completion)) -> usize {
        let mut count = 0;
        while count < most {
            let Some(completion) = self.next_completion() else { break };
            sink(self, completion);
            count += 1;
        }
        count
    }

    /// The next completion, if there is one.
    pub fn next_completion(&mut self) -> Option<Completion> {
        if self.is_armed {
            self.is_armed = false;
            self.pool.segment.bell(self.index).armed.store(0, Ordering::Relaxed);
        }
        loop {
            while let Some((generation, completion)) = self.backlog.pop_front() {
                if self.is_wanted(&completion, generation) {
                    return Some(completion);
                }
            }
            if let Some(seat) = self.ready_seat() {
                if let Some(completion) = self.next_of(seat) {
                    return Some(completion);
                }
            } else if !self.collect_ready() && !self.recover_next() {
                return None;
            }
        }
    }

    /// The first seat known to have reported something.
    fn ready_seat(&self) -> Option<u16> {
        let (index, word) = self.ready.iter().enumerate().find(|(_, word)| **word != 0)?;
        Some((index * 64) as u16 + word.trailing_zeros() as u16)
    }

    /// Takes over which seats have reported something. `false`: none has.
    fn collect_ready(&mut self) -> bool {
        let seats = self.pool.layout().seats();
        let mut any = 0;
        for (index, (mine, shared)) in self.ready.iter_mut().zip(self.pool.segment.ready_seats(self.index)).enumerate()
        {
            if shared.load(Ordering::Relaxed) != 0 {
                *mine |= shared.swap(0, Ordering::SeqCst);
                // Bits beyond the last seat are some worker's nonsense.
                let beyond = usize::from(seats).saturating_sub(index * 64);
                *mine &= if beyond >= 64 { u64::MAX } else { (1 << beyond) - 1 };
            }
            any |= *mine;
        }
        any != 0
    }

    /// The next completion from one seat's queue; marks the seat looked through if there is none.
    pub(crate) fn next_of(&mut self, seat: u16) -> Option<Completion> {
        loop {
            let cursor = &mut self.cursors[usize::from(seat)];
            match completion::pop(&self.pool.segment.completions(seat, self.index), cursor) {
                Ok(Some(entry)) => {
                    if let Some(completion) = self.accept(seat, entry) {
                        return Some(completion);
                    }
                }
                Ok(None) => {
                    self.ready[usize::from(seat / 64)] &= !(1 << (seat % 64));
                    return None;
                }
                Err(violation) => return Some(Completion::Misbehaved { seat, violation }),
            }
        }
    }

    /// What an entry means to whoever waits for the request; `None` if nobody does.
    fn accept(&mut self, seat: u16, entry: Entry) -> Option<Completion> {
        let ticket = Ticket(entry.slot.checked_sub(self.first_slot)?);
        let local = self.locals.get_mut(ticket.index()).filter(|local| local.generation == entry.generation)?;
        match local.phase {
            Phase::Submitted => local.seat = Some(seat),
            Phase::Abandoned => {
                self.accept_abandoned(seat, ticket, entry);
                return None;
            }
            Phase::Free | Phase::Ended => return None,
        }
        match entry.kind {
            Kind::NeedBody => local.body_wanted = true,
            Kind::EndComplete | Kind::EndFailed => local.phase = Phase::Ended,
            _ => {}
        }
        Some(match entry.kind {
            Kind::NeedBody => Completion::NeedBody { ticket },
            Kind::Head => Completion::Head { ticket },
            Kind::Data => {
                // Before the body's counter is read: what is produced from now on is told again.
                self.header(ticket).flow.data_pending.swap(0, Ordering::AcqRel);
                Completion::Data { ticket }
            }
            Kind::File => match self.pool.take_file(seat, entry.slot, entry.generation) {
                Some((file, Packet { offset, length, .. })) => Completion::File { ticket, file, offset, length },
                None => Completion::Misbehaved { seat, violation: Violation::MissingDescriptor },
            },
            Kind::EndComplete => Completion::End { ticket, outcome: Outcome::Complete },
            Kind::EndFailed => Completion::End { ticket, outcome: Outcome::Failed },
        })
    }

    fn accept_abandoned(&mut self, seat: u16, ticket: Ticket, entry: Entry) {
        match entry.kind {
            Kind::EndComplete | Kind::EndFailed => self.free_slot(ticket),
            Kind::NeedBody => {
                self.locals[ticket.index()].seat = Some(seat);
                // If the packet cannot be sent, the worker notices the abort mark within a second.
                let _ = self.send_grant(ticket, BodyGrant::Refused);
            }
            Kind::File => drop(self.pool.take_file(seat, entry.slot, entry.generation)),
            Kind::Head | Kind::Data => {}
        }
    }

    /// Whether a completion kept back still speaks of a request that somebody waits for.
    fn is_wanted(&self, completion: &Completion, generation: u32) -> bool {
        let ticket = match completion {
            Completion::Cleaned { .. } | Completion::Misbehaved { .. } => return true,
            Completion::NeedBody { ticket }
            | Completion::Head { ticket }
            | Completion::Data { ticket }
            | Completion::File { ticket, .. }
            | Completion::End { ticket, .. }
            | Completion::Lost { ticket, .. } => *ticket,
        };
        let is_this =
            |local: &Local| local.generation == generation && matches!(local.phase, Phase::Submitted | Phase::Ended);
        self.locals.get(ticket.index()).is_some_and(is_this)
    }

    /// Answers [`Completion::NeedBody`].
    ///
    /// # Errors
    ///
    /// What the seat's socket says; the request will not get on, so abort it. `NotFound` if nothing was asked for.
    pub fn grant_body(&mut self, ticket: Ticket, grant: BodyGrant<'_>) -> io::Result<()> {
        let wanted = self.locals.get_mut(ticket.index()).map(|local| std::mem::take(&mut local.body_wanted));
        match wanted {
            Some(true) => self.send_grant(ticket, grant),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Says that all of the body is in the pipe, which may be closed now.
    ///
    /// Without it the pipe's end is a client (or an edge) that broke off: a body of unknown length cannot tell otherwise.
    pub fn end_body(&mut self, ticket: Ticket) {
        if self.local(ticket).is_some() {
            self.header(ticket).request.body_whole.store(1, Ordering::Release);
        }
    }

    fn send_grant(&self, ticket: Ticket, grant: BodyGrant<'_>) -> io::Result<()> {
        let local = self.locals.get(ticket.index()).ok_or(io::ErrorKind::NotFound)?;
        let socket = local.seat.and_then(|seat| self.pool.seat_sockets.get(usize::from(seat)));
        let socket = socket.ok_or(io::ErrorKind::NotFound)?;
        let (brings, descriptor, length) = match grant {
            BodyGrant::File { file, length } => (Brings::BodyFile, Some(file), length),
            BodyGrant::Pipe { pipe, length } => (Brings::BodyPipe, Some(pipe), length.unwrap_or(UNKNOWN_LENGTH)),
            BodyGrant::Refused => (Brings::Nothing, None, 0),
        };
        let slot = self.first_slot + ticket.0;
        let packet = Packet { slot, generation: local.generation, brings, offset: 0, length };
        Ok(packet.send(socket.as_fd(), descriptor)?)
    }

    /// The seat that runs the request, once a worker has taken it.
    pub fn seat(&self, ticket: Ticket) -> Option<u16> {
        let local = self.local(ticket)?;
        local.seat.or_else(|| {
            let owner = Owner::from_word(self.header(ticket).request.owner.load(Ordering::Relaxed));
            let has_seat = matches!(owner.state, State::Claimed | State::Started);
            (has_seat && owner.seat < self.pool.layout().seats()).then_some(owner.seat)
        })
    }

    /// When the worker started the request, in milliseconds of CLOCK_MONOTONIC (coarse), once it has.
    pub fn started_ms(&self, ticket: Ticket) -> Option<u64> {
        self.local(ticket)?;
        let owner = Owner::from_word(self.header(ticket).request.owner.load(Ordering::Acquire));
        (owner.state == State::Started).then(|| self.header(ticket).response.started_ms.load(Ordering::Relaxed))
    }

    /// Gives the slot back after `End` or `Lost`; the same as [`EdgeThread::abort`] before.
    pub fn release(&mut self, ticket: Ticket) {
        self.abort(ticket);
    }

    /// The seat that runs a request; `None` where it still waits, or has ended.
    pub fn seat_of(&self, ticket: Ticket) -> Option<u16> {
        let local = self.locals.get(ticket.index()).filter(|local| local.phase == Phase::Submitted)?;
        let owner = Owner::from_word(self.header(ticket).request.owner.load(Ordering::Relaxed));
        (owner.generation == local.generation && owner.state == State::Started).then_some(owner.seat)
    }

    /// Loses interest in a request, in whatever state it is: nothing more is reported about it.
    ///
    /// A queued request never runs; a running one is marked, so that the worker's writes fail, and its
    /// slot comes back by itself when the worker ends it or dies.
    pub fn abort(&mut self, ticket: Ticket) {
        match self.locals.get(ticket.index()).map(|local| local.phase) {
            Some(Phase::Ended) => self.free_slot(ticket),
            Some(Phase::Submitted) if self.cancel(ticket) => self.free_slot(ticket),
            Some(Phase::Submitted) => self.abandon(ticket),
            Some(Phase::Free | Phase::Abandoned) | None => {}
        }
    }

    /// Takes a request off the queue, unless a worker has it or the queue has too many holes already.
    fn cancel(&self, ticket: Ticket) -> bool {
        let owner = &self.header(ticket).request.owner;
        let generation = self.locals[ticket.index()].generation;
        let queued = Owner::queued(generation).to_word();
        owner.load(Ordering::Relaxed) == queued
            && !self.pool.producer().is_crowded(&self.pool.segment)
            && owner
                .compare_exchange(queued, Owner::free(generation).to_word(), Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Marks a running request and wakes its worker if that waits for the edge.
    fn abandon(&mut self, ticket: Ticket) {
        let header = self.header(ticket);
        header.request.aborted.store(1, Ordering::SeqCst);
        let is_waiting = header.flow.space_wanted.swap(0, Ordering::SeqCst) != 0;
        let local = &mut self.locals[ticket.index()];
        local.phase = Phase::Abandoned;
        if std::mem::take(&mut local.body_wanted) {
            // If the packet cannot be sent, the worker notices the mark within a second.
            let _ = self.send_grant(ticket, BodyGrant::Refused);
        }
        if is_waiting {
            self.wake_seat(ticket);
        }
    }

    /// Wakes the worker that runs a request, which waits for something the edge has just done.
    pub(crate) fn wake_seat(&self, ticket: Ticket) {
        let seat = self.locals.get(ticket.index()).and_then(|local| local.seat);
        let owner = || Owner::from_word(self.header(ticket).request.owner.load(Ordering::Relaxed)).seat;
        if let Some(wake) = self.pool.seat_wakes.get(usize::from(seat.unwrap_or_else(owner))) {
            wake::signal(wake);
        }
    }

    /// Makes a slot free, with the chunk that its request used.
    pub(crate) fn free_slot(&mut self, ticket: Ticket) {
        let Local { generation, lost, .. } = self.locals[ticket.index()];
        let (slot, segment) = (self.first_slot + ticket.0, &self.pool.segment);
        let header = segment.slot(slot);
        let chunk = header.response.chunk.load(Ordering::Relaxed);
        if chunk != 0 {
            chunk::give_back(segment, chunk - 1, slot, generation);
        }
        if lost {
            chunk::sweep(segment, |owner, of| owner == slot && of == generation);
        }
        header.flow.consumed.store(0, Ordering::Relaxed);
        header.flow.data_pending.store(0, Ordering::Relaxed);
        header.flow.space_wanted.store(0, Ordering::Relaxed);
        header.request.aborted.store(0, Ordering::Relaxed);
        header.request.owner.store(Owner::free(generation).to_word(), Ordering::Release);
        self.locals[ticket.index()] = Local { generation, ..FRESH };
        self.free.push(ticket.0);
    }

    /// What this thread knows of a request that somebody waits for.
    pub(crate) fn local(&self, ticket: Ticket) -> Option<&Local> {
        self.locals.get(ticket.index()).filter(|local| matches!(local.phase, Phase::Submitted | Phase::Ended))
    }

    /// The shared state of a slot; the ticket must be within the table, as every ticket of this thread is.
    pub(crate) fn header(&self, ticket: Ticket) -> &SlotHeader {
        self.segment().slot(self.first_slot + ticket.0)
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.pool.segment
    }
}
