//! A lock between processes, which outlives a holder that is killed.

use std::cell::UnsafeCell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::shared::Shared;

/// POSIX's mutex: shared between processes, robust, and told to whoever takes it twice.
#[repr(transparent)]
pub struct SharedMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: made to be used by several threads and processes; `prepare` makes more of it than zeros.
unsafe impl Sync for SharedMutex {}
// SAFETY: zeros are a mutex that nobody holds, if not yet one that is robust.
unsafe impl Shared for SharedMutex {}

/// How a lock was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was free.
    Free,
    /// Its holder has died with it: what it was about may be half done.
    Orphaned,
}

/// Why a lock was not come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Somebody else holds it.
    Busy,
    /// This very thread holds it.
    Own,
}

impl SharedMutex {
    /// Makes it ready, before anybody else can see it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn prepare(&self) -> io::Result<()> {
        let done = |status: i32| if status == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(status)) };
        // SAFETY: attributes on the stack, made ready first; the mutex is seen by nobody else yet.
        unsafe {
            let mut attributes: libc::pthread_mutexattr_t = std::mem::zeroed();
            done(libc::pthread_mutexattr_init(&mut attributes))?;
            done(libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED))?;
            done(libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST))?;
            done(libc::pthread_mutexattr_settype(&mut attributes, libc::PTHREAD_MUTEX_ERRORCHECK))?;
            done(libc::pthread_mutex_init(self.0.get(), &attributes))?;
            done(libc::pthread_mutexattr_destroy(&mut attributes))
        }
    }

    /// Takes it, waiting no longer than `limit`.
    ///
    /// # Errors
    ///
    /// [`NotTaken`]
    pub fn take_within(&self, limit: Duration) -> Result<Taken, NotTaken> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let nanoseconds = now.tv_nsec + i64::from(limit.subsec_nanos());
        let until = libc::timespec {
            tv_sec: now.tv_sec
                + limit.as_secs().try_into().unwrap_or(i64::from(i32::MAX))
                + nanoseconds / 1_000_000_000,
            tv_nsec: nanoseconds % 1_000_000_000,
        };
        // SAFETY: a mutex that was made ready, and a time on the stack.
        self.taken(unsafe { libc::pthread_mutex_timedlock(self.0.get(), &until) })
    }

    /// Takes it if it is free.
    ///
    /// # Errors
    ///
    /// [`NotTaken::Busy`], also where this thread holds it.
    pub fn try_take(&self) -> Result<Taken, NotTaken> {
        // SAFETY: a mutex that was made ready.
        self.taken(unsafe { libc::pthread_mutex_trylock(self.0.get()) })
    }

    fn taken(&self, status: i32) -> Result<Taken, NotTaken> {
        match status {
            0 => Ok(Taken::Free),
            libc::EOWNERDEAD => {
                // SAFETY: we hold it and nobody else does.
                unsafe { libc::pthread_mutex_consistent(self.0.get()) };
                Ok(Taken::Orphaned)
            }
            libc::EDEADLK => Err(NotTaken::Own),
            _ => Err(NotTaken::Busy),
        }
    }

    /// Gives it back; `false` where this thread does not hold it.
    pub fn give_back(&self) -> bool {
        // SAFETY: a mutex that was made ready.
        unsafe { libc::pthread_mutex_unlock(self.0.get()) == 0 }
    }
}

/// A value in shared memory with its lock. It is held for moments only, and never while Python code runs.
#[repr(C)]
pub struct Guarded<T> {
    mutex: SharedMutex,
    value: UnsafeCell<T>,
}

// SAFETY: whoever reaches the value holds the lock.
unsafe impl<T: Send> Sync for Guarded<T> {}
// SAFETY: as its parts.
unsafe impl<T: Plain> Shared for Guarded<T> {}

/// Types that may lie behind a lock in shared memory.
///
/// # Safety
///
/// All octets zero is a valid value; there is no pointer and nothing to drop.
pub unsafe trait Plain: Send {}

// SAFETY: nothing at all.
unsafe impl Plain for () {}

impl<T: Plain> Guarded<T> {
    /// See [`SharedMutex::prepare`].
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn prepare(&self) -> io::Result<()> {
        self.mutex.prepare()
    }

    /// The value. Whatever it takes: those who hold it are about to let go.
    pub fn lock(&self) -> Guard<'_, T> {
        loop {
            match self.mutex.take_within(Duration::from_secs(3600)) {
                Ok(taken) => return Guard { guarded: self, is_orphaned: taken == Taken::Orphaned },
                Err(NotTaken::Busy) => {}
                Err(NotTaken::Own) => unreachable!("nobody takes a second lock while it holds this one"),
            }
        }
    }
}

/// A locked value.
pub struct Guard<'a, T> {
    guarded: &'a Guarded<T>,
    /// Whoever held it before has died: the value may be half changed.
    pub is_orphaned: bool,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: we hold the lock.
        unsafe { &*self.guarded.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: we hold the lock.
        unsafe { &mut *self.guarded.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.guarded.mutex.give_back();
    }
}
