//! The packets on a seat's socket: descriptors, tagged with the request they belong to.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags};

use crate::control::{receive_packet, send_packet};

/// What a packet brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brings {
    /// To the edge: a file, part of which is the response body.
    ResponseFile,
    /// To the worker: a file that holds the request body.
    BodyFile,
    /// To the worker: a pipe that the request body comes through.
    BodyPipe,
    /// To the worker: no body.
    Nothing,
}

/// One packet; the descriptor travels beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    pub slot: u32,
    pub generation: u32,
    pub brings: Brings,
    pub offset: u64,
    /// `u64::MAX` if unknown.
    pub length: u64,
}

const PACKET_BYTES: usize = 28;

impl Packet {
    fn encode(&self) -> [u8; PACKET_BYTES] {
        let brings: u32 = match self.brings {
            Brings::ResponseFile => 1,
            Brings::BodyFile => 2,
            Brings::BodyPipe => 3,
            Brings::Nothing => 4,
        };
        let mut bytes = [0; PACKET_BYTES];
        let fields = [self.slot, self.generation, brings].into_iter().flat_map(u32::to_le_bytes);
        let fields = fields.chain([self.offset, self.length].into_iter().flat_map(u64::to_le_bytes));
        bytes.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
        bytes
    }

    fn decode(bytes: &[u8; PACKET_BYTES]) -> Option<Self> {
        let (words, longs) = bytes.split_at(12);
        let word = |index: usize| words.as_chunks::<4>().0.get(index).copied().map(u32::from_le_bytes);
        let long = |index: usize| longs.as_chunks::<8>().0.get(index).copied().map(u64::from_le_bytes);
        let brings = match word(2)? {
            1 => Brings::ResponseFile,
            2 => Brings::BodyFile,
            3 => Brings::BodyPipe,
            4 => Brings::Nothing,
            _ => return None,
        };
        Some(Self { slot: word(0)?, generation: word(1)?, brings, offset: long(0)?, length: long(1)? })
    }

    /// Sends the packet; never blocks.
    pub fn send(&self, socket: BorrowedFd<'_>, descriptor: Option<BorrowedFd<'_>>) -> rustix::io::Result<()> {
        send_packet(socket, &self.encode(), descriptor, SendFlags::DONTWAIT)
    }
}

/// What was found on a seat's socket.
#[derive(Debug)]
pub(crate) enum Received {
    Packet(Packet, Option<OwnedFd>),
    /// A packet of no form of ours; there may be more.
    Nonsense,
    /// Nothing now.
    Empty,
    /// The other end is closed.
    Closed,
}

/// Takes the next packet off a seat's socket; never blocks.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> Received {
    let mut bytes = [0; PACKET_BYTES];
    match receive_packet(socket, &mut bytes, RecvFlags::DONTWAIT) {
        Ok((0, None)) => Received::Closed,
        Ok((PACKET_BYTES, descriptor)) => match Packet::decode(&bytes) {
            Some(packet) => Received::Packet(packet, descriptor),
            None => Received::Nonsense,
        },
        Ok(_) | Err(rustix::io::Errno::MSGSIZE | rustix::io::Errno::INTR) => Received::Nonsense,
        Err(rustix::io::Errno::AGAIN) => Received::Empty,
        Err(_) => Received::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back() {
        for brings in [Brings::ResponseFile, Brings::BodyFile, Brings::BodyPipe, Brings::Nothing] {
            let packet = Packet { slot: 7, generation: u32::MAX, brings, offset: 1 << 40, length: u64::MAX };
            assert_eq!(Packet::decode(&packet.encode()), Some(packet));
        }
        assert_eq!(Packet::decode(&[0; PACKET_BYTES]), None);
    }
}
