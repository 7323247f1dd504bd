//! A cache: keys and values in shared memory, bounded, with expiry.
//!
//! ```text
//!   head | buckets (first item of each chain) | items (links, times, key) | map of blocks in use | blocks (values)
//! ```
//!
//! All places are numbers from the beginning of the memory, which may be a file's. Nothing is written before it is
//! used, so that a large cache with few items takes little memory.

use std::fs::{File, OpenOptions};
use std::io;

use daemun_channel::facilities::Cache as Settings;
use rustix::fs::{FlockOperation, flock};

use crate::log::{self, Level};
use crate::shared::Octets;
use crate::shared::mutex::{Guard, Guarded};

/// A cache of the pool.
pub struct Cache {
    settings: Settings,
    geometry: Geometry,
    memory: Octets,
    lock: &'static Guarded<()>,
    /// Its lock says that the file is in use.
    _file: Option<File>,
}

/// Where what begins.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    items: u64,
    item_bytes: usize,
    buckets: u64,
    buckets_at: usize,
    items_at: usize,
    map_at: usize,
    blocks_at: usize,
    length: usize,
}

/// What to do with a key that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it: nothing is set.
    Keep,
    /// It gets the new value.
    Replace,
}

/// What becomes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Added to.
    Add,
    /// Subtracted from.
    Subtract,
    /// Multiplied.
    Multiply,
    /// Divided; by 0 it becomes 0.
    Divide,
}

impl Cache {
    /// A cache of this kind.
    ///
    /// # Errors
    ///
    /// What the system says, or that the file is another cache's.
    pub fn new(settings: &Settings) -> io::Result<Self> {
        let geometry = Geometry::of(settings).ok_or_else(|| io::Error::other("the cache is too large"))?;
        let file = settings.store.as_ref().map(|path| open_store(path, settings, &geometry)).transpose()?;
        let (memory, is_first) = match &file {
            Some((file, is_first)) => (Octets::of_file(file, geometry.length)?, *is_first),
            None => (Octets::anonymous(geometry.length)?, true),
        };
        let lock = memory.front::<Guarded<()>>().ok_or(io::ErrorKind::OutOfMemory)?;
        if is_first {
            lock.prepare()?;
            for (place, number) in (0..).zip(geometry.fingerprint(settings)) {
                memory.put(FINGERPRINT_AT + 8 * place, number);
            }
        }
        if let Some((file, true)) = &file {
            flock(file, FlockOperation::LockShared)?;
        }
        Ok(Self { settings: settings.clone(), geometry, memory, lock, _file: file.map(|(file, _)| file) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let locked = self.lock();
        let item = locked.find(key)?;
        locked.renew(item);
        locked.value(item)
    }

    /// Whether there is such a key.
    pub fn has(&self, key: &[u8]) -> bool {
        self.lock().find(key).is_some()
    }

    /// Sets a value, which expires after so many seconds; 0 for never. `false` when it cannot be set.
    pub fn set(&self, key: &[u8], value: &[u8], expires_after: u64, existing: Existing) -> bool {
        self.lock().set(key, value, expires_after, existing)
    }

    /// Changes a number; what is not there begins with the cache's initial number. `false` when it cannot be done.
    pub fn calculate(&self, key: &[u8], operation: Operation, operand: i64, expires_after: u64) -> bool {
        let locked = self.lock();
        let item = locked.find(key);
        let before = match item.map(|item| locked.value(item)) {
            None => self.settings.math_initial,
            Some(value) => match value.and_then(|value| <[u8; 8]>::try_from(value).ok()) {
                Some(octets) => i64::from_ne_bytes(octets),
                None => return false,
            },
        };
        let after = match operation {
            Operation::Add => before.wrapping_add(operand),
            Operation::Subtract => before.wrapping_sub(operand),
            Operation::Multiply => before.wrapping_mul(operand),
            Operation::Divide => before.checked_div(operand).unwrap_or(0),
        };
        match item {
            Some(item) => {
                let block = locked.field(item, FIRST_BLOCK);
                self.memory.write(self.geometry.block(self.settings.block_bytes, block), &after.to_ne_bytes())
            }
            None => locked.set(key, &after.to_ne_bytes(), expires_after, Existing::Keep),
        }
    }

    /// The number that a key has; 0 for none.
    pub fn number(&self, key: &[u8]) -> i64 {
        let value = self.get(key).and_then(|value| <[u8; 8]>::try_from(value).ok());
        value.map_or(0, i64::from_ne_bytes)
    }

    /// Takes a key away; whether it was there.
    pub fn remove(&self, key: &[u8]) -> bool {
        let locked = self.lock();
        locked.find(key).inspect(|item| locked.remove(*item)).is_some()
    }

    /// Takes everything away.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// All keys, in no order.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let locked = self.lock();
        let now = now();
        let items = locked.used().filter(|item| !locked.is_expired(*item, now));
        items.filter_map(|item| locked.key(item)).collect()
    }

    fn lock(&self) -> Locked<'_> {
        let guard = self.lock.lock();
        let is_orphaned = guard.is_orphaned;
        let locked = Locked { cache: self, _guard: guard };
        if is_orphaned {
            log::line(
                Level::Error,
                format_args!("a process died while it changed cache \"{}\": the cache is emptied", self.name()),
            );
            locked.clear();
        }
        locked
    }
}

/// A cache that nobody else is looking into.
struct Locked<'a> {
    cache: &'a Cache,
    _guard: Guard<'a, ()>,
}

impl Locked<'_> {
    fn head(&self, place: usize) -> u64 {
        self.cache.memory.number(place)
    }

    fn put_head(&self, place: usize, number: u64) {
        self.cache.memory.put(place, number);
    }

    fn field(&self, item: u64, field: usize) -> u64 {
        self.cache.memory.number(self.cache.geometry.item(item) + field)
    }

    fn put(&self, item: u64, field: usize, number: u64) {
        self.cache.memory.put(self.cache.geometry.item(item) + field, number);
    }

    fn used(&self) -> impl Iterator<Item = u64> + '_ {
        let ever = self.head(FRESH).min(self.cache.geometry.items);
        (1..=ever).filter(|item| self.field(*item, KEY_BYTES) != 0)
    }

    fn is_expired(&self, item: u64, now: u64) -> bool {
        let expires = self.field(item, EXPIRES);
        expires != 0 && expires <= now && !self.cache.settings.never_expires
    }

    fn key(&self, item: u64) -> Option<Vec<u8>> {
        let length = usize::try_from(self.field(item, KEY_BYTES).min(self.cache.settings.key_bytes)).ok()?;
        let mut key = vec![0; length];
        self.cache.memory.read(self.cache.geometry.item(item) + ITEM_HEAD_BYTES, &mut key).then_some(key)
    }

    fn value(&self, item: u64) -> Option<Vec<u8>> {
        let start = self.cache.geometry.block(self.cache.settings.block_bytes, self.field(item, FIRST_BLOCK));
        let length = self.field(item, VALUE_BYTES).min(self.cache.memory.len() as u64);
        let mut value = vec![0; usize::try_from(length).ok()?];
        self.cache.memory.read(start, &mut value).then_some(value)
    }

    /// The item with this key, if it has not expired.
    fn find(&self, key: &[u8]) -> Option<u64> {
        let hash = hash(key);
        let mut item = self.bucket(hash);
        // A chain is never longer than there are items, whatever some process has written.
        for _ in 0..self.cache.geometry.items {
            if item == 0 {
                return None;
            }
            let is_it = self.field(item, HASH) == hash
                && self.field(item, KEY_BYTES) == key.len() as u64
                && self.cache.memory.is_equal(self.cache.geometry.item(item) + ITEM_HEAD_BYTES, key);
            if is_it && self.is_expired(item, now()) {
                self.remove(item);
                return None;
            }
            if is_it {
                return Some(item);
            }
            item = self.field(item, NEXT);
        }
        None
    }

    fn set(&self, key: &[u8], value: &[u8], expires_after: u64, existing: Existing) -> bool {
        let settings = &self.cache.settings;
        let is_key = !key.is_empty() && key.len() as u64 <= settings.key_bytes;
        let longest = if settings.is_bitmap { settings.blocks * settings.block_bytes } else { settings.block_bytes };
        if !is_key || value.is_empty() || value.len() as u64 > longest {
            return false;
        }
        let expires = if expires_after == 0 { 0 } else { now().saturating_add(expires_after.saturating_mul(1000)) };
        match (self.find(key), existing) {
            (Some(_), Existing::Keep) => false,
            (Some(item), Existing::Replace) => self.replace(item, value, expires),
            (None, _) => self.add(key, value, expires),
        }
    }

    fn replace(&self, item: u64, value: &[u8], expires: u64) -> bool {
        if self.cache.settings.is_bitmap {
            let Some(block) = self.find_blocks(value.len() as u64) else { return self.refuse() };
            self.mark_blocks(self.field(item, FIRST_BLOCK), self.field(item, VALUE_BYTES), false);
            self.mark_blocks(block, value.len() as u64, true);
            self.put(item, FIRST_BLOCK, block);
        }
        self.put_value(item, value, expires);
        self.renew(item);
        true
    }

    fn add(&self, key: &[u8], value: &[u8], expires: u64) -> bool {
        let Some((item, block)) = self.make_room(value.len() as u64) else { return self.refuse() };
        self.put(item, FIRST_BLOCK, block);
        self.cache.memory.write(self.cache.geometry.item(item) + ITEM_HEAD_BYTES, key);
        self.put_value(item, value, expires);
        let hash = hash(key);
        self.put(item, HASH, hash);
        self.put(item, KEY_BYTES, key.len() as u64);
        self.put(item, NEXT, self.bucket(hash));
        self.put_bucket(hash, item);
        if self.cache.settings.is_bitmap {
            self.mark_blocks(block, value.len() as u64, true);
        }
        self.append_to_queue(item);
        true
    }

    fn put_value(&self, item: u64, value: &[u8], expires: u64) {
        let block = self.field(item, FIRST_BLOCK);
        self.cache.memory.write(self.cache.geometry.block(self.cache.settings.block_bytes, block), value);
        self.put(item, VALUE_BYTES, value.len() as u64);
        self.put(item, EXPIRES, expires);
    }

    fn refuse(&self) -> bool {
        if !self.cache.settings.ignores_full {
            log::line(Level::Warning, format_args!("cache \"{}\" is full", self.cache.name()));
        }
        false
    }

    /// An unused item and a place for its value, if need be one that others have had until now.
    fn make_room(&self, length: u64) -> Option<(u64, u64)> {
        if let Some(room) = self.room(length) {
            return Some(room);
        }
        let now = now();
        let expired: Vec<u64> = self.used().filter(|item| self.is_expired(*item, now)).collect();
        expired.into_iter().for_each(|item| self.remove(item));
        if let Some(room) = self.room(length) {
            return Some(room);
        }
        if self.cache.settings.purges_oldest {
            for _ in 0..self.cache.geometry.items {
                let oldest = self.head(OLDEST);
                if oldest == 0 {
                    break;
                }
                self.remove(oldest);
                if let Some(room) = self.room(length) {
                    return Some(room);
                }
            }
        }
        if self.cache.settings.clears_on_full {
            self.clear();
        }
        self.room(length)
    }

    fn room(&self, length: u64) -> Option<(u64, u64)> {
        let (free, fresh) = (self.head(FREE), self.head(FRESH));
        let is_fresh = free == 0;
        if is_fresh && fresh >= self.cache.geometry.items {
            return None;
        }
        let item = if is_fresh { fresh + 1 } else { free };
        let block = if self.cache.settings.is_bitmap { self.find_blocks(length)? } else { item - 1 };
        if is_fresh {
            self.put_head(FRESH, item);
        } else {
            self.put_head(FREE, self.field(item, NEXT));
        }
        Some((item, block))
    }

    fn remove(&self, item: u64) {
        self.take_out_of_chain(item);
        self.take_out_of_queue(item);
        if self.cache.settings.is_bitmap {
            self.mark_blocks(self.field(item, FIRST_BLOCK), self.field(item, VALUE_BYTES), false);
        }
        self.put(item, KEY_BYTES, 0);
        self.put(item, NEXT, self.head(FREE));
        self.put_head(FREE, item);
    }

    fn clear(&self) {
        let (memory, geometry) = (&self.cache.memory, &self.cache.geometry);
        let fresh = self.head(FRESH).min(geometry.items);
        for item in 1..=fresh {
            self.put(item, KEY_BYTES, 0);
        }
        memory.clear(geometry.buckets_at, geometry.items_at - geometry.buckets_at);
        memory.clear(geometry.map_at, geometry.blocks_at - geometry.map_at);
        [FREE, FRESH, OLDEST, NEWEST].into_iter().for_each(|place| self.put_head(place, 0));
    }

    fn bucket(&self, hash: u64) -> u64 {
        let geometry = &self.cache.geometry;
        let item = self.head(geometry.buckets_at + 8 * (hash % geometry.buckets) as usize);
        if item <= geometry.items { item } else { 0 }
    }

    fn put_bucket(&self, hash: u64, item: u64) {
        let geometry = &self.cache.geometry;
        self.put_head(geometry.buckets_at + 8 * (hash % geometry.buckets) as usize, item);
    }

    fn take_out_of_chain(&self, item: u64) {
        let hash = self.field(item, HASH);
        let next = self.field(item, NEXT);
        let mut before = self.bucket(hash);
        if before == item {
            return self.put_bucket(hash, next);
        }
        for _ in 0..self.cache.geometry.items {
            if before == 0 {
                return;
            }
            match self.field(before, NEXT) {
                following if following == item => return self.put(before, NEXT, next),
                following => before = following,
            }
        }
    }

    /// It was asked for: others are to be forgotten before it.
    fn renew(&self, item: u64) {
        if self.cache.settings.purges_oldest {
            self.take_out_of_queue(item);
            self.append_to_queue(item);
        }
    }

    fn append_to_queue(&self, item: u64) {
        if !self.cache.settings.purges_oldest {
            return;
        }
        let newest = self.head(NEWEST);
        self.put(item, OLDER, newest);
        self.put(item, NEWER, 0);
        if newest == 0 {
            self.put_head(OLDEST, item)
        } else {
            self.put(newest, NEWER, item)
        }
        self.put_head(NEWEST, item);
    }

    fn take_out_of_queue(&self, item: u64) {
        if !self.cache.settings.purges_oldest {
            return;
        }
        let (older, newer) = (self.field(item, OLDER), self.field(item, NEWER));
        if older == 0 {
            self.put_head(OLDEST, newer)
        } else {
            self.put(older, NEWER, newer)
        }
        if newer == 0 { self.put_head(NEWEST, older) } else { self.put(newer, OLDER, older) }
    }

    /// The first of enough unused blocks in a row.
    fn find_blocks(&self, length: u64) -> Option<u64> {
        let needed = self.blocks_of(length);
        let mut run = 0;
        for block in 0..self.cache.settings.blocks {
            run = if self.is_taken(block) { 0 } else { run + 1 };
            if run == needed {
                return Some(block + 1 - needed);
            }
        }
        None
    }

    fn blocks_of(&self, length: u64) -> u64 {
        length.div_ceil(self.cache.settings.block_bytes).max(1)
    }

    fn is_taken(&self, block: u64) -> bool {
        let mut octet = [0];
        self.cache.memory.read(self.cache.geometry.map_at + (block / 8) as usize, &mut octet);
        octet[0] & (1 << (block % 8)) != 0
    }

    fn mark_blocks(&self, first: u64, length: u64, is_taken: bool) {
        for block in first..first.saturating_add(self.blocks_of(length)).min(self.cache.settings.blocks) {
            let place = self.cache.geometry.map_at + (block / 8) as usize;
            let mut octet = [0];
            self.cache.memory.read(place, &mut octet);
            let mask = 1 << (block % 8);
            let octet = if is_taken { octet[0] | mask } else { octet[0] & !mask };
            self.cache.memory.write(place, &[octet]);
        }
    }
}

impl Geometry {
    fn of(settings: &Settings) -> Option<Self> {
        let number = |number: u64| usize::try_from(number).ok();
        let item_bytes = ITEM_HEAD_BYTES + number(settings.key_bytes)?.next_multiple_of(8);
        let buckets_at = HEAD_BYTES;
        let items_at = buckets_at.checked_add(number(settings.items)?.checked_mul(8)?)?;
        let map_at = items_at.checked_add(number(settings.items)?.checked_mul(item_bytes)?)?;
        let blocks_at = map_at.checked_add(number(settings.blocks.div_ceil(8))?)?.next_multiple_of(4096);
        let length = blocks_at.checked_add(number(settings.blocks.checked_mul(settings.block_bytes)?)?)?;
        let (items, buckets) = (settings.items, settings.items.max(1));
        Some(Self { items, item_bytes, buckets, buckets_at, items_at, map_at, blocks_at, length })
    }

    fn item(&self, item: u64) -> usize {
        self.items_at.saturating_add((item as usize).saturating_sub(1).saturating_mul(self.item_bytes))
    }

    fn block(&self, block_bytes: u64, block: u64) -> usize {
        self.blocks_at.saturating_add(block.saturating_mul(block_bytes) as usize)
    }

    /// What a file must agree on to be this cache's.
    fn fingerprint(&self, settings: &Settings) -> [u64; 6] {
        let flags = u64::from(settings.is_bitmap) | u64::from(settings.purges_oldest) << 1;
        [MAGIC, settings.items, settings.blocks, settings.block_bytes, settings.key_bytes, flags]
    }
}

/// Opens the file of a cache; whether we are the only ones who have it open.
///
/// Another configuration of the same pool may be about to take over: two zygotes then share it for a while.
fn open_store(path: &std::path::Path, settings: &Settings, geometry: &Geometry) -> io::Result<(File, bool)> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(named)?;
    let is_first = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    if !is_first {
        flock(&file, FlockOperation::LockShared)?;
    }
    let length = geometry.length as u64;
    let found = file.metadata()?.len();
    if found != 0 && !is_ours(&file, settings, geometry)? {
        if !settings.deletes_store || !is_first {
            return Err(io::Error::other(format!("{}: it is not a cache of this kind", path.display())));
        }
        file.set_len(0)?;
    }
    file.set_len(length).map_err(named)?;
    Ok((file, is_first))
}

fn is_ours(file: &File, settings: &Settings, geometry: &Geometry) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    if file.metadata()?.len() != geometry.length as u64 {
        return Ok(false);
    }
    let mut octets = [0; 48];
    file.read_exact_at(&mut octets, FINGERPRINT_AT as u64)?;
    let wanted = geometry.fingerprint(settings).map(u64::to_le_bytes).concat();
    Ok(octets.as_slice() == wanted.as_slice())
}

/// FNV-1a; keys are the application's own, who would only slow itself down.
fn hash(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}

/// Milliseconds since 1970, as files keep them.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// The lock lies before this.
const FINGERPRINT_AT: usize = 256;
const FREE: usize = 512;
const FRESH: usize = 520;
const OLDEST: usize = 528;
const NEWEST: usize = 536;
const HEAD_BYTES: usize = 4096;

const HASH: usize = 0;
const NEXT: usize = 8;
const OLDER: usize = 16;
const NEWER: usize = 24;
const EXPIRES: usize = 32;
const FIRST_BLOCK: usize = 40;
const VALUE_BYTES: usize = 48;
/// 0 where the item is not used.
const KEY_BYTES: usize = 56;
const ITEM_HEAD_BYTES: usize = 64;

/// "daemunc" and the version of the form.
const MAGIC: u64 = u64::from_le_bytes(*b"daemunc1");

const _: () = assert!(size_of::<Guarded<()>>() <= FINGERPRINT_AT);
