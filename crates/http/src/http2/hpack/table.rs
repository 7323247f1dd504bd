//! The tables of fields that both sides know by number.

use std::collections::VecDeque;

use crate::HeaderId;

/// Fields that were sent before, the latest first.
#[derive(Debug)]
pub(super) struct DynamicTable {
    entries: VecDeque<Entry>,
    /// Octets, as RFC 7541 §4.1 counts them.
    size: usize,
    size_max: usize,
}

#[derive(Debug)]
struct Entry {
    octets: Box<[u8]>,
    name_length: usize,
}

impl Entry {
    fn size(&self) -> usize {
        self.octets.len() + ENTRY_OVERHEAD
    }
}

impl DynamicTable {
    pub(super) fn new(size_max: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, size_max }
    }

    /// Name and value of the field with this number, static or dynamic.
    #[inline]
    pub(super) fn find(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let place = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(place) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(place - STATIC.len())?;
        entry.octets.split_at_checked(entry.name_length)
    }

    /// Adds a field; one that is larger than the table empties it.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + ENTRY_OVERHEAD;
        self.shrink_to(self.size_max.saturating_sub(size));
        if size <= self.size_max {
            self.entries.push_front(Entry { octets: [name, value].concat().into(), name_length: name.len() });
            self.size += size;
        }
    }

    /// Sets how large the table may be.
    pub(super) fn resize(&mut self, size_max: usize) {
        self.size_max = size_max;
        self.shrink_to(size_max);
    }

    fn shrink_to(&mut self, size: usize) {
        while self.size > size {
            let Some(entry) = self.entries.pop_back() else { return };
            self.size -= entry.size();
        }
    }
}

/// What an entry counts beside its octets.
const ENTRY_OVERHEAD: usize = 32;

/// Number of `:method`, with `GET`.
pub(super) const METHOD: usize = 2;
/// Number of `:path`, with `/`.
pub(super) const PATH: usize = 4;
/// Number of `:scheme`, with `http`; the next is `https`.
pub(super) const SCHEME: usize = 6;
/// Number of `:authority`.
pub(super) const AUTHORITY: usize = 1;
/// Number of `:status`, with 200.
pub(super) const STATUS: usize = 8;

/// The number of the first static field with each id's name, 0 for none.
static INDEXES: [u8; HeaderId::ALL.len() + 1] = indexes();

/// The number of a static field with this name.
#[inline]
pub(super) fn static_index(id: HeaderId) -> Option<usize> {
    INDEXES.get(id as usize).map(|index| usize::from(*index)).filter(|index| *index > 0)
}

const fn indexes() -> [u8; HeaderId::ALL.len() + 1] {
    let mut indexes = [0; HeaderId::ALL.len() + 1];
    let mut id = 0;
    while id < HeaderId::ALL.len() {
        let mut place = FIRST_REGULAR;
        while place < STATIC.len() {
            if is_lower_case_of(STATIC[place].0.as_bytes(), HeaderId::ALL[id].name().as_bytes()) {
                indexes[HeaderId::ALL[id] as usize] = place as u8 + 1;
            }
            place += 1;
        }
        id += 1;
    }
    indexes
}

const fn is_lower_case_of(lower: &[u8], name: &[u8]) -> bool {
    let mut at = 0;
    while at < lower.len() && at < name.len() && lower[at] == name[at].to_ascii_lowercase() {
        at += 1;
    }
    at == lower.len() && at == name.len()
}

/// Where the fields begin that are no pseudo-headers, counted from 0.
const FIRST_REGULAR: usize = 14;

/// RFC 7541, Appendix A.
static STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
