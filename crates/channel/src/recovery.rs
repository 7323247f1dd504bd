//! Taking back what a dead worker had, one edge thread at a time.
//!
//! After the process is dead: everything that it had reported is taken off its completion queues first,
//! since an END among it is a whole answer. Then the owner words of this thread's slots are looked
//! through. What the dead seats had claimed and not started goes back to the queue under a new generation; what
//! they had started is lost. Chunks that belong to no request under way any more are given back.

use std::sync::atomic::Ordering;

use crate::chunk;
use crate::edge::{Completion, EdgeThread, Phase, Ticket};
use crate::owner::{Owner, State};
use crate::pool::Death;
use crate::wake;

impl EdgeThread {
    /// Deals with the first death that this thread has not dealt with. `false`: there is none.
    pub(crate) fn recover_next(&mut self) -> bool {
        if !self.pool.has_deaths_after(self.deaths_seen) {
            return false;
        }
        let Some(death) = self.pool.death_after(self.deaths_seen) else { return false };
        self.deaths_seen = death.number;
        for seat in death.seats.clone() {
            self.drain(seat);
        }
        for index in 0..self.locals.len() as u32 {
            self.take_back(Ticket(index), &death);
        }
        self.sweep_chunks();
        if self.pool.death_seen(death.number) {
            self.pool.clean_seats(&death);
            self.backlog.push_back((0, Completion::Cleaned { pid: death.pid(), seats: death.seats }));
        }
        wake::wake_again(&self.pool.segment, &self.pool.seat_wakes);
        // Nobody may sleep on over what has just been queued again, or over what the dead had been woken for.
        wake::wake_for_queued(&self.pool.segment, &self.pool.seat_wakes);
        true
    }

    /// Takes everything off a dead seat's completion queue and sets the queue up for the next process.
    fn drain(&mut self, seat: u16) {
        while let Some(completion) = self.next_of(seat) {
            let generation = self.generation_of(&completion);
            self.backlog.push_back((generation, completion));
        }
        let queue = self.pool.segment.completions(seat, self.index);
        let cursor = self.cursors.get(usize::from(seat)).copied().unwrap_or_default();
        queue.consumed.store(cursor, Ordering::Relaxed);
        queue.produced.store(cursor, Ordering::Release);
    }

    fn generation_of(&self, completion: &Completion) -> u32 {
        match completion {
            Completion::NeedBody { ticket }
            | Completion::Head { ticket }
            | Completion::Data { ticket }
            | Completion::File { ticket, .. }
            | Completion::End { ticket, .. }
            | Completion::Lost { ticket, .. } => self.locals.get(ticket.index()).map_or(0, |local| local.generation),
            Completion::Cleaned { .. } | Completion::Misbehaved { .. } => 0,
        }
    }

    fn take_back(&mut self, ticket: Ticket, death: &Death) {
        let Some(local) = self.locals.get(ticket.index()).copied() else { return };
        if !matches!(local.phase, Phase::Submitted | Phase::Abandoned) {
            return;
        }
        let owner = Owner::from_word(self.header(ticket).request.owner.load(Ordering::Acquire));
        let is_ours = owner.generation == local.generation;
        let is_dead = is_ours && death.seats.contains(&owner.seat);
        match owner.state {
            State::Claimed if is_dead => self.requeue(ticket),
            State::Started if is_dead => self.lose(ticket, owner.seat),
            State::Queued if is_ours && death.requeue_all => self.requeue(ticket),
            State::Claimed | State::Started | State::Queued if is_ours => {}
            // A word that the edge never wrote: which worker did, nobody knows, and no END will be believed.
            _ if death.is_reset() => self.lose(ticket, local.seat.unwrap_or(death.seats.start)),
            _ => {}
        }
    }

    /// Puts a request that no application has seen back on the queue.
    fn requeue(&mut self, ticket: Ticket) {
        let Some(local) = self.locals.get_mut(ticket.index()) else { return };
        if local.phase == Phase::Abandoned {
            self.free_slot(ticket);
            return;
        }
        local.generation = local.generation.wrapping_add(1);
        local.seat = None;
        let generation = local.generation;
        let slot = self.first_slot + ticket.0;
        let owner = Owner::queued(generation).to_word();
        self.header(ticket).request.owner.store(owner, Ordering::Release);
        if !self.pool.producer().push(&self.pool.segment, slot, generation) {
            self.lose(ticket, 0); // Only a scribbled queue has no room.
        }
    }

    fn lose(&mut self, ticket: Ticket, seat: u16) {
        let Some(local) = self.locals.get_mut(ticket.index()) else { return };
        local.lost = true;
        if local.phase == Phase::Abandoned {
            self.free_slot(ticket);
            return;
        }
        local.phase = Phase::Ended;
        local.body_wanted = false;
        local.seat = Some(seat);
        let generation = local.generation;
        self.backlog.push_back((generation, Completion::Lost { ticket, seat }));
    }

    /// Gives back the chunks of this thread's slots that belong to no request under way.
    fn sweep_chunks(&self) {
        let slots = self.pool.layout().slots();
        chunk::sweep(&self.pool.segment, |slot, generation| {
            if slot >= slots {
                return self.index == 0; // Nobody's slot, so one thread's task.
            }
            let index = slot.wrapping_sub(self.first_slot) as usize;
            let is_live = |generation_of: u32, phase| generation_of == generation && phase != Phase::Free;
            self.locals.get(index).is_some_and(|local| !is_live(local.generation, local.phase))
        });
    }
}
