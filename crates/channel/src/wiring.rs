//! Making a hop: the segment, the eventfds and the sockets, sorted into the two ends.
//!
//! The master makes both ends before either side exists and keeps them, so that a side that died can be
//! started again on the same hop.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::EventfdFlags;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

use crate::control::receive_packet;
use crate::error::ChannelError;
use crate::layout::Layout;
use crate::segment::Segment;

/// The edge's end of a hop: what [`crate::Pool::open`] needs. The edge inherits it by fork.
#[derive(Debug)]
pub struct EdgeEnd {
    pub(crate) layout: Layout,
    pub(crate) segment: OwnedFd,
    pub(crate) seat_wakes: Vec<OwnedFd>,
    pub(crate) seat_sockets: Vec<OwnedFd>,
    pub(crate) edge_wakes: Vec<OwnedFd>,
    /// By side.
    pub(crate) controls: Vec<OwnedFd>,
}

/// The workers' end of a hop: what [`crate::Worker::attach`] needs. The zygote inherits it by exec, through
/// a [`crate::handover::Handover`]. The master's has all sides, a zygote's its own alone.
#[derive(Debug)]
pub struct WorkerEnd {
    pub(crate) layout: Layout,
    /// The first, or only, side.
    pub(crate) side: u16,
    pub(crate) segment: OwnedFd,
    pub(crate) seat_wakes: Vec<OwnedFd>,
    pub(crate) seat_sockets: Vec<OwnedFd>,
    pub(crate) edge_wakes: Vec<OwnedFd>,
    /// By side, from the first on.
    pub(crate) controls: Vec<OwnedFd>,
}

/// Makes a hop of the given size. All descriptors are close-on-exec.
///
/// # Errors
///
/// [`ChannelError::Layout`] for numbers out of range, [`ChannelError::System`] when memory or descriptors run out.
pub fn create(layout: Layout) -> Result<(EdgeEnd, WorkerEnd), ChannelError> {
    layout.check()?;
    let segment = Segment::create(&layout)?;
    let seats = layout.seats();
    let seat_wakes = (0..seats).map(|_| eventfd()).collect::<Result<Vec<_>, _>>()?;
    let edge_wakes = (0..layout.edge_threads).map(|_| eventfd()).collect::<Result<Vec<_>, _>>()?;
    let sockets = (0..seats).map(|_| socket_pair()).collect::<Result<Vec<_>, _>>()?;
    let (edge_sockets, worker_sockets): (Vec<_>, Vec<_>) = sockets.into_iter().unzip();
    let controls = (0..layout.sides).map(|_| socket_pair()).collect::<Result<Vec<_>, _>>()?;
    let (edge_controls, worker_controls): (Vec<_>, Vec<_>) = controls.into_iter().unzip();
    // The edge waits for nobody; workers may wait for it.
    for socket in edge_sockets.iter().chain(&edge_controls) {
        rustix::io::ioctl_fionbio(socket, true).map_err(ChannelError::system("non-blocking socket"))?;
    }
    let worker = WorkerEnd {
        layout,
        side: 0,
        segment: duplicate(&segment)?,
        seat_wakes: duplicates(&seat_wakes)?,
        seat_sockets: worker_sockets,
        edge_wakes: duplicates(&edge_wakes)?,
        controls: worker_controls,
    };
    let edge = EdgeEnd { layout, segment, seat_wakes, seat_sockets: edge_sockets, edge_wakes, controls: edge_controls };
    Ok((edge, worker))
}

impl EdgeEnd {
    /// The size of the hop.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Puts the hop back to its first state, for a new edge *and* new workers; also empties its sockets.
    ///
    /// Neither side may be alive: whoever is would find its requests gone.
    ///
    /// # Errors
    ///
    /// [`ChannelError::System`] if the memory cannot be mapped.
    pub fn format(&self, worker: &WorkerEnd) -> Result<(), ChannelError> {
        let sockets = self.seat_sockets.iter().chain(&worker.seat_sockets);
        for socket in sockets.chain(&self.controls).chain(&worker.controls) {
            empty(socket.as_fd());
        }
        Segment::format(self.segment.as_fd(), &self.layout)
    }

    /// Another handle on the same end, for an edge that is forked later.
    ///
    /// # Errors
    ///
    /// [`ChannelError::System`] when descriptors run out.
    pub fn try_clone(&self) -> Result<Self, ChannelError> {
        Ok(Self {
            layout: self.layout,
            segment: duplicate(&self.segment)?,
            seat_wakes: duplicates(&self.seat_wakes)?,
            seat_sockets: duplicates(&self.seat_sockets)?,
            edge_wakes: duplicates(&self.edge_wakes)?,
            controls: duplicates(&self.controls)?,
        })
    }
}

impl WorkerEnd {
    pub(crate) fn assemble(
        layout: Layout,
        segment: OwnedFd,
        seat_wakes: Vec<OwnedFd>,
        seat_sockets: Vec<OwnedFd>,
        edge_wakes: Vec<OwnedFd>,
        (side, control): (u16, OwnedFd),
    ) -> Result<Self, ChannelError> {
        let seats = usize::from(layout.seats());
        let matching = seat_wakes.len() == seats
            && seat_sockets.len() == seats
            && edge_wakes.len() == usize::from(layout.edge_threads);
        if !matching || side >= layout.sides {
            return Err(ChannelError::Segment("the number of descriptors"));
        }
        Ok(Self { layout, side, segment, seat_wakes, seat_sockets, edge_wakes, controls: vec![control] })
    }

    /// The size of the hop.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The side whose zygote has this end.
    pub fn side(&self) -> u16 {
        self.side
    }

    /// The zygote's end of the control channel.
    pub fn control(&self) -> BorrowedFd<'_> {
        // There is at least one side.
        self.controls[0].as_fd()
    }

    /// What the zygote of `side` gets.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Index`] if there is no such side; [`ChannelError::System`] when descriptors run out.
    pub fn of_side(&self, side: u16) -> Result<Self, ChannelError> {
        let mut end = self.try_clone()?;
        let missing = ChannelError::Index { what: "side", index: side };
        let index = side.checked_sub(end.side).map(usize::from).filter(|index| *index < end.controls.len());
        let control = end.controls.swap_remove(index.ok_or(missing)?);
        end.controls = vec![control];
        end.side = side;
        Ok(end)
    }

    /// Another handle on the same end, for a second owner of it in this process.
    ///
    /// # Errors
    ///
    /// [`ChannelError::System`] when descriptors run out.
    pub fn try_clone(&self) -> Result<Self, ChannelError> {
        Ok(Self {
            layout: self.layout,
            side: self.side,
            segment: duplicate(&self.segment)?,
            seat_wakes: duplicates(&self.seat_wakes)?,
            seat_sockets: duplicates(&self.seat_sockets)?,
            edge_wakes: duplicates(&self.edge_wakes)?,
            controls: duplicates(&self.controls)?,
        })
    }
}

/// Drops whatever waits on a socket.
fn empty(socket: BorrowedFd<'_>) {
    use rustix::io::Errno;
    while matches!(receive_packet(socket, &mut [0; 64], RecvFlags::DONTWAIT), Ok((1.., _)) | Err(Errno::MSGSIZE)) {}
}

fn eventfd() -> Result<OwnedFd, ChannelError> {
    // Non-blocking, so that a worker that fills the counter cannot make the edge wait.
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(ChannelError::system("eventfd"))
}

fn socket_pair() -> Result<(OwnedFd, OwnedFd), ChannelError> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(ChannelError::system("socketpair"))
}

fn duplicate(descriptor: &OwnedFd) -> Result<OwnedFd, ChannelError> {
    descriptor.try_clone().map_err(|source| ChannelError::System { what: "dup", source })
}

pub(crate) fn duplicates(descriptors: &[OwnedFd]) -> Result<Vec<OwnedFd>, ChannelError> {
    descriptors.iter().map(duplicate).collect()
}
