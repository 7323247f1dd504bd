//! The control channel between the edge and an application's zygote: births, deaths and orders.
//!
//! One SEQPACKET socket, one message per packet, at most one descriptor beside it. The zygote says which
//! workers were born and which died; the edge says when a dead worker's seats are free again, and what is
//! to be stopped.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use crate::error::{ChannelError, MessageError};
use crate::limits::CONTROL_MESSAGE_BYTES_MAX;

/// A message of the control channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Zygote: the application is loaded (or, with lazy-apps, workers may be forked). Carries the zygote's pidfd.
    Ready {
        /// The zygote's process id.
        pid: u32,
    },
    /// Zygote: the application could not be loaded. The text is what the log shows.
    Failed {
        /// The error, with its traceback; cut to fit.
        reason: String,
    },
    /// Zygote: a worker runs and takes requests. Carries the worker's pidfd.
    Born {
        /// Index of the worker, `0..processes`.
        worker: u16,
        /// What the worker is called: 1, 2, ... up to the number of workers that the pool is to have.
        number: u16,
        /// Its process id.
        pid: u32,
        /// Its first seat.
        first_seat: u16,
        /// How many seats it has.
        seats: u16,
    },
    /// Zygote: a worker is gone and reaped. Its seats are not used again before [`Message::Cleaned`].
    Died {
        /// Index of the worker.
        worker: u16,
        /// Its process id.
        pid: u32,
        /// As waitpid() gave it.
        wait_status: i32,
        /// It was killed for running a request too long.
        harakiri: bool,
    },
    /// Edge: every edge thread has taken the dead worker's requests back; the seats may be used again.
    Cleaned {
        /// Index of the worker.
        worker: u16,
        /// The dead worker's process id: the message may reach a zygote that never had this worker.
        pid: u32,
    },
    /// Edge: kill this worker, it writes nonsense into the segment.
    Kill {
        /// Index of the worker.
        worker: u16,
        /// Its process id, for the same reason.
        pid: u32,
    },
    /// Edge: a request that this worker runs has taken its time: nobody waits for it any more. Its stack is to be logged.
    Overdue {
        /// Index of the worker.
        worker: u16,
        /// Its process id.
        pid: u32,
    },
    /// Edge: let this worker finish what it runs and then end; a new one is to take its place.
    Retire {
        /// Index of the worker.
        worker: u16,
    },
    /// Edge: end the pool. Graceful: every worker finishes the request it runs.
    Stop {
        /// Let running requests finish.
        graceful: bool,
    },
}

/// Sends one message, with a descriptor beside it if given. A full socket is an error when `socket` is non-blocking.
///
/// # Errors
///
/// [`ChannelError::System`]; a peer that is gone is `EPIPE`.
pub fn send(socket: BorrowedFd<'_>, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> Result<(), ChannelError> {
    send_packet(socket, &message.encode(), descriptor, SendFlags::empty())
        .map_err(ChannelError::system("control channel"))
}

/// Receives one message; `None` when the peer has closed its end.
///
/// # Errors
///
/// [`ChannelError::System`] (`WouldBlock` when nothing is there and `wait` is false), or
/// [`ChannelError::Message`] for a packet that is none of ours: go on with the next.
pub fn receive(socket: BorrowedFd<'_>, wait: bool) -> Result<Option<(Message, Option<OwnedFd>)>, ChannelError> {
    let mut packet = [0; CONTROL_MESSAGE_BYTES_MAX];
    let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    let (length, descriptor) =
        receive_packet(socket, &mut packet, flags).map_err(ChannelError::system("control channel"))?;
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((Message::decode(packet.get(..length).unwrap_or_default())?, descriptor)))
}

/// Sends `bytes` as one packet.
pub(crate) fn send_packet(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
    flags: SendFlags,
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(rustix::io::Errno::NOBUFS);
    }
    let flags = flags | SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags))?;
    Ok(())
}

/// Receives one packet: its length, 0 at the end of the connection, and its first descriptor.
///
/// Does not retry on EINTR: whoever waits here may have a signal to look after.
pub(crate) fn receive_packet(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    flags: RecvFlags,
) -> rustix::io::Result<(usize, Option<OwnedFd>)> {
    // Room for a few more than one: what a mad peer adds is received, and closed by the iteration below.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut ancillary, flags)?;
    let mut descriptor = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for received in descriptors {
                descriptor.get_or_insert(received);
            }
        }
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(rustix::io::Errno::MSGSIZE);
    }
    Ok((received.bytes, descriptor))
}

const READY: u8 = 1;
const FAILED: u8 = 2;
const BORN: u8 = 3;
const DIED: u8 = 4;
const CLEANED: u8 = 5;
const KILL: u8 = 6;
const RETIRE: u8 = 7;
const STOP: u8 = 8;
const OVERDUE: u8 = 9;

impl Message {
    /// The message as one packet: a byte that says the kind, then the fields, little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = Vec::with_capacity(16);
        match self {
            Self::Ready { pid } => {
                packet.push(READY);
                packet.extend(pid.to_le_bytes());
            }
            Self::Failed { reason } => {
                packet.push(FAILED);
                // One byte is the kind; a cut stays between characters.
                let most = reason.len().min(CONTROL_MESSAGE_BYTES_MAX - 1);
                let most = (0..=most).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
                packet.extend(reason.bytes().take(most));
            }
            Self::Born { worker, number, pid, first_seat, seats } => {
                packet.push(BORN);
                packet.extend(worker.to_le_bytes());
                packet.extend(number.to_le_bytes());
                packet.extend(pid.to_le_bytes());
                packet.extend(first_seat.to_le_bytes());
                packet.extend(seats.to_le_bytes());
            }
            Self::Died { worker, pid, wait_status, harakiri } => {
                packet.push(DIED);
                packet.extend(worker.to_le_bytes());
                packet.extend(pid.to_le_bytes());
                packet.extend(wait_status.to_le_bytes());
                packet.push(u8::from(*harakiri));
            }
            Self::Cleaned { worker, pid } => {
                order(&mut packet, CLEANED, *worker);
                packet.extend(pid.to_le_bytes());
            }
            Self::Kill { worker, pid } => {
                order(&mut packet, KILL, *worker);
                packet.extend(pid.to_le_bytes());
            }
            Self::Overdue { worker, pid } => {
                order(&mut packet, OVERDUE, *worker);
                packet.extend(pid.to_le_bytes());
            }
            Self::Retire { worker } => order(&mut packet, RETIRE, *worker),
            Self::Stop { graceful } => packet.extend([STOP, u8::from(*graceful)]),
        }
        packet
    }

    /// Reads what [`Message::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`MessageError`]; the packet is to be dropped and the channel can be used on.
    pub fn decode(packet: &[u8]) -> Result<Self, MessageError> {
        let (kind, fields) = packet.split_first().ok_or(MessageError::Truncated)?;
        let mut fields = Fields(fields);
        let message = match *kind {
            READY => Self::Ready { pid: fields.u32()? },
            FAILED => return Ok(Self::Failed { reason: String::from_utf8_lossy(fields.0).into_owned() }),
            BORN => Self::Born {
                worker: fields.u16()?,
                number: fields.u16()?,
                pid: fields.u32()?,
                first_seat: fields.u16()?,
                seats: fields.u16()?,
            },
            DIED => Self::Died {
                worker: fields.u16()?,
                pid: fields.u32()?,
                wait_status: i32::from_le_bytes(fields.take()?),
                harakiri: fields.flag("harakiri flag")?,
            },
            CLEANED => Self::Cleaned { worker: fields.u16()?, pid: fields.u32()? },
            KILL => Self::Kill { worker: fields.u16()?, pid: fields.u32()? },
            OVERDUE => Self::Overdue { worker: fields.u16()?, pid: fields.u32()? },
            RETIRE => Self::Retire { worker: fields.u16()? },
            STOP => Self::Stop { graceful: fields.flag("stop flag")? },
            kind => return Err(MessageError::UnknownKind(kind)),
        };
        match fields.0 {
            [] => Ok(message),
            _ => Err(MessageError::Field("length")),
        }
    }
}

fn order(packet: &mut Vec<u8>, kind: u8, worker: u16) {
    packet.push(kind);
    packet.extend(worker.to_le_bytes());
}

/// The fields of a packet that are still to be read.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(MessageError::Truncated)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u16(&mut self) -> Result<u16, MessageError> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, MessageError> {
        self.take().map(u32::from_le_bytes)
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, MessageError> {
        match self.take()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(MessageError::Field(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn all() -> Vec<Message> {
        vec![
            Message::Ready { pid: 77 },
            Message::Failed { reason: "ModuleNotFoundError: No module named 'sité'".into() },
            Message::Born { worker: 3, number: 4, pid: 4_000_000, first_seat: 12, seats: 4 },
            Message::Died { worker: 3, pid: 4_000_000, wait_status: 9, harakiri: true },
            Message::Cleaned { worker: 3, pid: 4_000_000 },
            Message::Kill { worker: 65_535, pid: 1 },
            Message::Overdue { worker: 7, pid: 2 },
            Message::Retire { worker: 0 },
            Message::Stop { graceful: false },
        ]
    }

    #[test]
    fn messages_come_back_as_sent() {
        for message in all() {
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn cut_and_lengthened_packets_are_refused() {
        for message in all().into_iter().filter(|message| !matches!(message, Message::Failed { .. })) {
            let packet = message.encode();
            for length in 0..packet.len() {
                assert_eq!(Message::decode(&packet[..length]), Err(MessageError::Truncated));
            }
            let longer = [packet, vec![0]].concat();
            assert_eq!(Message::decode(&longer), Err(MessageError::Field("length")));
        }
        assert_eq!(Message::decode(&[99]), Err(MessageError::UnknownKind(99)));
        assert_eq!(Message::decode(&[STOP, 2]), Err(MessageError::Field("stop flag")));
    }

    #[test]
    fn a_long_reason_is_cut_to_a_packet() {
        let reason = "é".repeat(CONTROL_MESSAGE_BYTES_MAX);
        let packet = Message::Failed { reason }.encode();
        assert!(packet.len() <= CONTROL_MESSAGE_BYTES_MAX);
        let Ok(Message::Failed { reason }) = Message::decode(&packet) else { panic!("not decoded") };
        assert!(reason.chars().all(|character| character == 'é'));
    }

    #[test]
    fn descriptors_travel_beside_messages() {
        let (edge, zygote) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .expect("a socket pair");
        let message = Message::Ready { pid: 1 };
        send(zygote.as_fd(), &message, Some(edge.as_fd())).expect("sent");
        send(zygote.as_fd(), &Message::Stop { graceful: true }, None).expect("sent");
        let (received, descriptor) = receive(edge.as_fd(), false).expect("received").expect("open");
        assert_eq!(received, message);
        assert!(descriptor.is_some());
        let (_, descriptor) = receive(edge.as_fd(), false).expect("received").expect("open");
        assert!(descriptor.is_none());
        drop(zygote);
        assert!(receive(edge.as_fd(), true).expect("end of the connection").is_none());
    }
}
