//! Memory that all processes of a pool share, and what is built of it.
//!
//! The zygote maps it before its first fork, so that it lies at the same address in every process; nobody ever
//! gives it back. Whoever waits for a lock here may have to learn that its holder was killed: see [`mutex`].

pub mod message_queue;
pub mod mutex;

use std::io;
use std::os::fd::AsFd;

use rustix::mm::{MapFlags, ProtFlags};

/// Types that may lie in shared memory.
///
/// # Safety
///
/// All octets zero is a valid value; there is no pointer and nothing to drop; what changes while others look is
/// atomic or behind a [`mutex::Guarded`].
pub unsafe trait Shared: Sync {}

// SAFETY: an atomic number.
unsafe impl Shared for std::sync::atomic::AtomicU64 {}

/// `count` values of zeros.
///
/// # Errors
///
/// What the system says.
pub fn zeroed<T: Shared>(count: usize) -> io::Result<&'static [T]> {
    let octets = Octets::anonymous(size_of::<T>().saturating_mul(count).max(1))?;
    assert!(align_of::<T>() <= PAGE_BYTES, "a mapping begins with a page");
    // SAFETY: the mapping is as long as that, begins with a page, is never unmapped, holds zeros, and `T` is
    // made for it.
    Ok(unsafe { std::slice::from_raw_parts(octets.start.cast::<T>(), count) })
}

/// A piece of shared memory without a type.
///
/// Whoever reads or writes holds a lock that all others hold too.
#[derive(Clone, Copy, Debug)]
pub struct Octets {
    start: *mut u8,
    length: usize,
}

// SAFETY: a mapping that is never given back; see the type for who may touch it.
unsafe impl Send for Octets {}
// SAFETY: as above.
unsafe impl Sync for Octets {}

impl Octets {
    /// `length` octets of zeros, which take no memory until they are written.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn anonymous(length: usize) -> io::Result<Self> {
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, flags)
        }?;
        Ok(Self { start: start.cast(), length })
    }

    /// The first `length` octets of a file, which has as many.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn of_file(file: impl AsFd, length: usize) -> io::Result<Self> {
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, file, 0)
        }?;
        Ok(Self { start: start.cast(), length })
    }

    /// What lies in front, as a value of a type that is made for it; `None` where there is no room.
    pub fn front<T: Shared>(&self) -> Option<&'static T> {
        let is_there = size_of::<T>() <= self.length && align_of::<T>() <= PAGE_BYTES;
        // SAFETY: there is room, the mapping begins with a page and is never unmapped. A file may hold anything:
        // whoever maps one sees to it that what it holds was written by us.
        is_there.then(|| unsafe { &*self.start.cast::<T>() })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Copies `out.len()` octets from `offset` on; `false`, and nothing, where there are not as many.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        let is_inside = offset.checked_add(out.len()).is_some_and(|end| end <= self.length);
        if is_inside {
            // SAFETY: both are that long, and do not overlap: `out` is nobody else's.
            unsafe { std::ptr::copy_nonoverlapping(self.start.add(offset), out.as_mut_ptr(), out.len()) };
        }
        is_inside
    }

    /// Copies `source` to `offset`; `false`, and nothing, where there is no room.
    pub fn write(&self, offset: usize, source: &[u8]) -> bool {
        let is_inside = offset.checked_add(source.len()).is_some_and(|end| end <= self.length);
        if is_inside {
            // SAFETY: both are that long, and do not overlap: `source` is no shared memory.
            unsafe { std::ptr::copy_nonoverlapping(source.as_ptr(), self.start.add(offset), source.len()) };
        }
        is_inside
    }

    /// Whether these octets stand at `offset`.
    pub fn is_equal(&self, offset: usize, other: &[u8]) -> bool {
        let is_inside = offset.checked_add(other.len()).is_some_and(|end| end <= self.length);
        // SAFETY: that many octets lie there, and whoever could change them waits for our lock.
        is_inside && unsafe { std::slice::from_raw_parts(self.start.add(offset), other.len()) } == other
    }

    /// A number that was written by [`Octets::put`]; 0 outside.
    pub fn number(&self, offset: usize) -> u64 {
        let mut octets = [0; 8];
        self.read(offset, &mut octets);
        u64::from_le_bytes(octets)
    }

    /// Writes a number, if there is room.
    pub fn put(&self, offset: usize, number: u64) {
        self.write(offset, &number.to_le_bytes());
    }

    /// Makes `length` octets from `offset` on zero, as far as there are so many.
    pub fn clear(&self, offset: usize, length: usize) {
        let length = length.min(self.length.saturating_sub(offset));
        if length > 0 {
            // SAFETY: that many octets lie there.
            unsafe { std::ptr::write_bytes(self.start.add(offset), 0, length) };
        }
    }
}

const PAGE_BYTES: usize = 4096;
