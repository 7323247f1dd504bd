//! Long texts and any number of descriptors from one process to another.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::{DESCRIPTORS_MAX, receive_with_descriptors, send_with_descriptors};

/// One end of a way between two processes.
#[derive(Debug)]
pub struct Courier {
    socket: OwnedFd,
}

/// What is sent.
#[derive(Debug, Default)]
pub struct Parcel {
    /// Any octets.
    pub text: Vec<u8>,
    /// Descriptors, which the receiver gets copies of, in this order.
    pub descriptors: Vec<OwnedFd>,
}

impl Courier {
    /// Two ends.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// Sends a parcel, for as long as `limit` for each of its messages.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the other side does not read, `BrokenPipe` when it is gone; it then drops what it has got of the parcel.
    pub fn send(&self, parcel: &Parcel, limit: Duration) -> io::Result<()> {
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Send, Some(limit))?;
        let memory = rustix::fs::memfd_create("parcel", MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(&parcel.text)?;
        let count = u64::try_from(parcel.descriptors.len()).unwrap_or(u64::MAX);
        send_with_descriptors(&self.socket, &[&[BEGIN], &count.to_le_bytes()[..]].concat(), &[file.as_fd()])?;
        for batch in parcel.descriptors.chunks(DESCRIPTORS_MAX) {
            let batch: Vec<BorrowedFd<'_>> = batch.iter().map(AsFd::as_fd).collect();
            send_with_descriptors(&self.socket, &[MORE], &batch)?;
        }
        Ok(())
    }

    /// Waits for a parcel; `None` when the other side is gone.
    ///
    /// # Errors
    ///
    /// Those of the system. What came before is lost, what comes later is not.
    pub fn receive(&self) -> io::Result<Option<Parcel>> {
        let mut open: Option<(File, usize, Vec<OwnedFd>)> = None;
        loop {
            let mut message = [0; 9];
            let received = receive_with_descriptors(&self.socket, &mut message)?;
            match (message, received.length) {
                (_, 0) => return Ok(None),
                ([BEGIN, count @ ..], 9) => {
                    let count = usize::try_from(u64::from_le_bytes(count)).unwrap_or(usize::MAX);
                    let memory = received.descriptors.into_iter().next();
                    open = memory.map(|memory| (File::from(memory), count, Vec::new()));
                }
                _ => {
                    if let Some((_, _, descriptors)) = &mut open {
                        descriptors.extend(received.descriptors);
                    }
                }
            }
            if let Some((mut file, _, descriptors)) = open.take_if(|(_, count, got)| got.len() >= *count) {
                let mut text = Vec::new();
                file.rewind()?;
                file.read_to_end(&mut text)?;
                return Ok(Some(Parcel { text, descriptors }));
            }
        }
    }
}

impl AsRawFd for Courier {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The first message of a parcel: the text as a descriptor, and how many others follow.
const BEGIN: u8 = b'B';
/// A message with further descriptors.
const MORE: u8 = b'M';

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn files(count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| File::open("/dev/null").expect("a file").into()).collect()
    }

    #[test]
    fn texts_and_descriptors_arrive_whole_and_in_order() {
        let (sender, receiver) = Courier::pair().expect("a pair");
        for (length, count) in [(0, 0), (300_000, 1), (3, 40), (1, DESCRIPTORS_MAX)] {
            let parcel = Parcel { text: vec![b'x'; length], descriptors: files(count) };
            sender.send(&parcel, LIMIT).expect("sent");
            let got = receiver.receive().expect("received").expect("a parcel");
            assert_eq!((got.text.len(), got.descriptors.len()), (length, count));
        }
        drop(sender);
        assert!(receiver.receive().expect("the end").is_none());
    }

    #[test]
    fn a_broken_parcel_does_not_spoil_the_next() {
        let (sender, receiver) = Courier::pair().expect("a pair");
        let file = File::open("/dev/null").expect("a file");
        send_with_descriptors(&sender.socket, &[BEGIN, 9, 0, 0, 0, 0, 0, 0, 0], &[file.as_fd()]).expect("sent");
        sender.send(&Parcel { text: b"whole".to_vec(), descriptors: files(1) }, LIMIT).expect("sent");
        let got = receiver.receive().expect("received").expect("a parcel");
        assert_eq!((got.text.as_slice(), got.descriptors.len()), (&b"whole"[..], 1));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let (sender, _receiver) = Courier::pair().expect("a pair");
        let parcel = Parcel { text: Vec::new(), descriptors: files(1) };
        let error = loop {
            if let Err(error) = sender.send(&parcel, Duration::from_millis(1)) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
