//! Small bodies that many answers share, kept in their coded form: a page of a thousand visitors is compressed once.
//!
//! A body is known by where its octets lie. They are held as long as what was made of them, so nobody else's octets can come to lie
//! there; a file that changes has other octets (`small_files`), and what was made of the old ones leaves as the least recently used.

use std::cell::RefCell;

use bytes::Bytes;
use daemun_server::limits::SMALL_FILE_BYTES;
use daemun_server::response::{Body, BodyError};

use crate::coded_body::{CodedBody, Coder};
use crate::recency::Recency;

/// Octets, before and after coding, that one thread keeps.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

const _: () = assert!(SMALL_FILE_BYTES as usize * 16 <= KEPT_BYTES_MAX);

/// Octets by their place and length, and what is made of them: the coding's name and how hard it tries.
type Key = (usize, usize, &'static str, u8);

struct Kept {
    /// Holds the place.
    source: Bytes,
    coded: Bytes,
}

#[derive(Default)]
struct CodedFiles {
    by_key: Recency<Key, Kept>,
    octets: usize,
}

thread_local! {
    static FILES: RefCell<CodedFiles> = RefCell::default();
}

/// Puts the coder that `make` gives before `body`. Where the octets are kept by somebody else too and few, what comes of them is kept;
/// `note_kept` is then told how many octets it has, and no coder runs.
pub fn code<C: Coder + 'static>(
    body: Body,
    coding: &'static str,
    effort: u8,
    make: impl Fn() -> C,
    note_kept: impl FnOnce(&Bytes),
) -> Body {
    let Body::Bytes(source) = body else { return CodedBody::wrap(body, make()) };
    if source.is_unique() || source.len() as u64 > SMALL_FILE_BYTES {
        return CodedBody::wrap(Body::Bytes(source), make());
    }
    let key = (source.as_ptr() as usize, source.len(), coding, effort);
    if let Some(coded) = FILES.with_borrow_mut(|files| files.by_key.ask(&key).map(|kept| kept.coded.clone())) {
        note_kept(&coded);
        return Body::Bytes(coded);
    }
    let Ok(coded) = coded_whole(&source, make()) else {
        // Octets that the coder refuses: the answer breaks off where it does without us.
        return CodedBody::wrap(Body::Bytes(source), make());
    };
    FILES.with_borrow_mut(|files| files.keep(key, Kept { source, coded: coded.clone() }));
    Body::Bytes(coded)
}

fn coded_whole(source: &[u8], mut coder: impl Coder) -> Result<Bytes, BodyError> {
    let mut out = Vec::with_capacity(source.len() / 2);
    coder.push(source, &mut out)?;
    coder.finish(&mut out)?;
    out.shrink_to_fit();
    Ok(Bytes::from(out))
}

impl CodedFiles {
    fn keep(&mut self, key: Key, kept: Kept) {
        self.octets += kept.octets();
        self.by_key.insert(key, kept);
        while self.octets > KEPT_BYTES_MAX
            && let Some((_, gone)) = self.by_key.remove_oldest()
        {
            self.octets -= gone.octets();
        }
    }
}

impl Kept {
    fn octets(&self) -> usize {
        self.source.len() + self.coded.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says how often it ran, in a coding of its own: the octets backwards.
    struct Backwards<'a>(&'a std::cell::Cell<u32>);

    impl Coder for Backwards<'static> {
        fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
            self.0.set(self.0.get() + 1);
            out.extend(octets.iter().rev());
            Ok(())
        }

        fn flush(&mut self, _: &mut Vec<u8>) -> Result<(), BodyError> {
            Ok(())
        }

        fn finish(&mut self, _: &mut Vec<u8>) -> Result<(), BodyError> {
            Ok(())
        }
    }

    fn coded(source: &Bytes, runs: &'static std::cell::Cell<u32>, effort: u8) -> Option<Bytes> {
        match code(Body::Bytes(source.clone()), "backwards", effort, || Backwards(runs), |_| {}) {
            Body::Bytes(coded) => Some(coded),
            _ => None,
        }
    }

    #[test]
    fn what_many_share_is_coded_once() {
        let runs: &'static std::cell::Cell<u32> = Box::leak(Box::default());
        let (first, second) = (Bytes::from(b"abc".to_vec()), Bytes::from(b"abd".to_vec()));
        for _ in 0..3 {
            assert_eq!(coded(&first, runs, 1).as_deref(), Some(&b"cba"[..]));
            assert_eq!(coded(&second, runs, 1).as_deref(), Some(&b"dba"[..]));
        }
        assert_eq!(runs.get(), 2);
        assert_eq!(coded(&first, runs, 2).as_deref(), Some(&b"cba"[..]), "another effort is another body");
        assert_eq!(runs.get(), 3);
    }

    #[test]
    fn a_body_of_one_answer_is_not_kept() {
        let runs: &'static std::cell::Cell<u32> = Box::leak(Box::default());
        for _ in 0..2 {
            let body = code(Body::Bytes(Bytes::from(b"abc".to_vec())), "backwards", 1, || Backwards(runs), |_| {});
            assert!(matches!(body, Body::Stream(_)));
        }
        assert_eq!(runs.get(), 0, "it is coded as it is sent");
    }

    #[test]
    fn memory_has_its_bound() {
        let mut files = CodedFiles::default();
        let part = KEPT_BYTES_MAX / 10;
        for number in 0..30 {
            let kept = Kept { source: Bytes::from(vec![0; part]), coded: Bytes::new() };
            files.keep((number, part, "backwards", 1), kept);
            assert!(files.octets <= KEPT_BYTES_MAX);
        }
        assert_eq!(files.by_key.len(), 10);
        assert!(files.by_key.ask(&(29, part, "backwards", 1)).is_some(), "the newest stay");
    }
}
