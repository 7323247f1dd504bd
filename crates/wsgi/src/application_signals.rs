//! Signals of the application's own: numbers from 0 to 255 that are sent to some process of the pool, which calls
//! the function that was registered, between two requests.
//!
//! Who sends one puts it into the queues of those whom it is for and wakes them; no process in between. Which
//! function it is each process knows for itself, having been forked from the zygote that registered it, or having
//! registered it while it loaded the application.

use std::io;

use crate::commons::{Commons, Member, Numbers};
use crate::log::{self, Level};
use crate::shared::message_queue::MessageQueue;
use crate::shared::mutex::{Guarded, Plain};
use crate::shared::zeroed;
use crate::timers::Timers;

/// Who gets which signal, and the queues that they are in.
pub struct Switchboard {
    registered: &'static Guarded<Registered>,
    /// One for each process, by its place.
    own: Vec<MessageQueue>,
    workers: MessageQueue,
    mules: MessageQueue,
    spoolers: MessageQueue,
    farms: Vec<MessageQueue>,
    /// What sends signals by itself.
    pub timers: Timers,
}

/// By number: whom it is for.
#[repr(C)]
struct Registered {
    receivers: [Receiver; 256],
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Receiver {
    is_registered: bool,
    length: u8,
    name: [u8; RECEIVER_BYTES_MAX],
}

// SAFETY: octets; zero is no name, and false.
unsafe impl Plain for Registered {}

impl Switchboard {
    /// For so many processes and farms.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(numbers: &Numbers, farms: usize) -> io::Result<Self> {
        let queue = || MessageQueue::new(QUEUE_BYTES);
        let registered = zeroed::<Guarded<Registered>>(1)?.first().ok_or(io::ErrorKind::OutOfMemory)?;
        registered.prepare()?;
        Ok(Self {
            registered,
            own: (0..numbers.all()).map(|_| queue()).collect::<io::Result<_>>()?,
            workers: queue()?,
            mules: queue()?,
            spoolers: queue()?,
            farms: (0..farms).map(|_| queue()).collect::<io::Result<_>>()?,
            timers: Timers::new()?,
        })
    }

    /// Says whom a signal is for, in uWSGI's words; `false` when that is too long.
    pub fn register(&self, number: u8, receiver: &str) -> bool {
        let mut name = [0; RECEIVER_BYTES_MAX];
        let Some(place) = name.get_mut(..receiver.len()) else { return false };
        place.copy_from_slice(receiver.as_bytes());
        let length = receiver.len() as u8; // Below RECEIVER_BYTES_MAX.
        let mut registered = self.registered.lock();
        registered.receivers[usize::from(number)] = Receiver { is_registered: true, length, name };
        true
    }

    /// Whom it is for; `None` when nobody has registered it.
    pub fn receiver(&self, number: u8) -> Option<String> {
        let receiver = self.registered.lock().receivers[usize::from(number)];
        let name = receiver.name.get(..usize::from(receiver.length)).unwrap_or_default();
        receiver.is_registered.then(|| String::from_utf8_lossy(name).into_owned())
    }

    /// Whether there is a signal for this process. Looked at before every request: one load for most.
    #[inline]
    pub fn has_pending(&self, commons: &Commons, member: Member) -> bool {
        self.queues_of(commons, member).any(|queue| !queue.is_empty())
    }

    /// The next signal for this process.
    pub fn take(&self, commons: &Commons, member: Member) -> Option<u8> {
        self.queues_of(commons, member).find_map(MessageQueue::take)?.first().copied()
    }

    fn queues_of<'a>(&'a self, commons: &'a Commons, member: Member) -> impl Iterator<Item = &'a MessageQueue> {
        let own = commons.numbers.index(member).and_then(|place| self.own.get(place));
        let (group, number) = match member {
            Member::Zygote => (None, None),
            Member::Worker(_) => (Some(&self.workers), None),
            Member::Mule(number) => (Some(&self.mules), Some(u32::from(number) + 1)),
            Member::Spooler(_) => (Some(&self.spoolers), None),
        };
        let farms = commons.facilities.farms.iter().zip(&self.farms);
        let farms = farms.filter(move |(farm, _)| number.is_some_and(|number| farm.mules.contains(&number)));
        own.into_iter().chain(group).chain(farms.map(|(_, queue)| queue))
    }

    /// Sends a signal to those whom it is registered for.
    pub fn send(&self, commons: &Commons, number: u8) {
        let Some(receiver) = self.receiver(number) else {
            return log::line(Level::Warning, format_args!("signal {number} is not registered: nobody gets it"));
        };
        let Some(route) = Route::of(&receiver, commons) else {
            return log::line(
                Level::Error,
                format_args!("signal {number} is for \"{receiver}\", and there is no such process"),
            );
        };
        let is_sent = match route {
            Route::Each(members) => {
                members
                    .into_iter()
                    .filter(|member| {
                        let queue = commons.numbers.index(*member).and_then(|place| self.own.get(place));
                        let is_sent = queue.is_some_and(|queue| queue.put(&[number]).is_ok());
                        commons.wake(*member);
                        !is_sent
                    })
                    .count()
                    == 0
            }
            Route::First(queue, members) => {
                let is_sent = queue.put(&[number]).is_ok();
                members.into_iter().for_each(|member| commons.wake(member));
                is_sent
            }
        };
        if !is_sent {
            log::line(Level::Error, format_args!("signal {number} for \"{receiver}\" is lost: the queue is full"));
        }
    }
}

/// Where a signal goes.
enum Route<'a> {
    /// To each of these.
    Each(Vec<Member>),
    /// To whichever of these is first.
    First(&'a MessageQueue, Vec<Member>),
}

impl<'a> Route<'a> {
    fn of(receiver: &str, commons: &'a Commons) -> Option<Self> {
        let (numbers, board) = (&commons.numbers, &commons.switchboard);
        let workers = || (0..numbers.workers).map(Member::Worker).collect::<Vec<_>>();
        let mules = || (0..numbers.mules).map(Member::Mule).collect::<Vec<_>>();
        let numbered = |text: &str, most: u16| {
            let number = text.parse::<u16>().ok()?.checked_sub(1)?;
            (number < most).then_some(number)
        };
        match receiver {
            "" | "worker" | "worker0" => Some(Self::First(&board.workers, workers())),
            "workers" => Some(Self::Each(workers())),
            "active-workers" => {
                Some(Self::Each(workers().into_iter().filter(|worker| is_alive(commons, *worker)).collect()))
            }
            "mule" | "mule0" => (numbers.mules > 0).then(|| Self::First(&board.mules, mules())),
            "mules" => Some(Self::Each(mules())),
            "spooler" => {
                let all = (0..numbers.spoolers).map(Member::Spooler).collect::<Vec<_>>();
                (!all.is_empty()).then_some(Self::First(&board.spoolers, all))
            }
            _ => {
                if let Some(name) = receiver.strip_prefix("farm_") {
                    return farm(commons, commons.facilities.farms.iter().position(|farm| farm.name == name)?);
                }
                if let Some(number) = receiver.strip_prefix("farm") {
                    return farm(commons, usize::from(numbered(number, u16::MAX)?));
                }
                if let Some(number) = receiver.strip_prefix("worker") {
                    return Some(Self::Each(vec![Member::Worker(numbered(number, numbers.workers)?)]));
                }
                let number = receiver.strip_prefix("mule")?;
                Some(Self::Each(vec![Member::Mule(numbered(number, numbers.mules)?)]))
            }
        }
    }
}

fn is_alive(commons: &Commons, member: Member) -> bool {
    commons.place(member).is_some_and(|place| place.pid.load(std::sync::atomic::Ordering::Relaxed) != 0)
}

fn farm(commons: &Commons, place: usize) -> Option<Route<'_>> {
    let queue = commons.switchboard.farms.get(place)?;
    Some(Route::First(queue, members_of_farm(commons, place)))
}

/// The mules of a farm.
pub fn members_of_farm(commons: &Commons, place: usize) -> Vec<Member> {
    let mules = commons.facilities.farms.get(place).map(|farm| farm.mules.as_slice()).unwrap_or_default();
    let number = |mule: &u32| u16::try_from(mule.checked_sub(1)?).ok().map(Member::Mule);
    mules.iter().filter_map(number).collect()
}

/// As in uWSGI.
const RECEIVER_BYTES_MAX: usize = 64;

/// Room for some thousand signals that wait.
const QUEUE_BYTES: usize = 16 << 10;
