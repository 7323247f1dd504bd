//! The search for an answer: the key, the zone, the file, and among several with the same key the one for this request.

use std::rc::Rc;
use std::sync::Arc;

use daemun_http::StatusCode;
use daemun_server::log::Level;
use daemun_server::{Outcome, Request, clock};
use md_5::{Digest, Md5};

use crate::answers::{self, Answer, NoAnswer};
use crate::holding::Held;
use crate::limits::{KEY_BYTES_MAX, LOOKS_MAX};
use crate::path_line::Cache;
use crate::variables::{CacheState, Status};
use crate::variant::variant;
use crate::zone::{Asked, Key};

/// One request's search.
pub struct Attempt {
    /// Whose answers are kept, and how.
    pub held: Arc<Held>,
    /// The cache.
    pub cache: Arc<Cache>,
    /// What variables show of it.
    pub state: Rc<CacheState>,
    /// The key's text.
    pub text: Rc<Vec<u8>>,
    /// Its sum.
    pub main: Key,
    /// The sum that is searched for: the main one or a variant's.
    pub key: Key,
    /// The sum that was asked for last.
    asked: Option<Key>,
    /// Monotonic time up to which it waits for another request, once it does.
    pub waits_until_ms: Option<u64>,
}

/// What a search has come to.
pub enum Found {
    /// The cache is not to be asked.
    Bypassed,
    /// An answer that may be given.
    Fresh(Rc<Answer>),
    /// An answer that may be given only in need.
    Stale(Rc<Answer>),
    /// A status that stands for one.
    Error(StatusCode),
    /// None.
    Absent,
    /// None, and it is too early to keep one.
    Scarce,
}

impl Attempt {
    /// Begins the search; `None` where the answer to this request is not kept.
    ///
    /// # Errors
    /// What the request ends with.
    pub fn begin(held: &Arc<Held>, request: &mut Request) -> Result<Option<Self>, Outcome> {
        let settings = &held.settings;
        if !settings.keeps(request.method()) {
            return Ok(None);
        }
        let Some(cache) = settings.cache(request)? else { return Ok(None) };
        let mut text = Vec::with_capacity(128);
        let has_key = held.step.write_key(request, &mut text);
        if let Some(key) = settings.key() {
            text = key.value(request);
        } else if !has_key {
            text.clear();
            for part in [request.scheme().as_bytes(), request.host(), request.head.target()] {
                text.extend_from_slice(part);
            }
        }
        if text.len() > KEY_BYTES_MAX {
            request.log(Level::Error, format_args!("cache key of {} octets is too long", text.len()));
            return Ok(None);
        }
        let state = CacheState::of(request);
        let text = Rc::new(text);
        state.key.replace(Rc::clone(&text));
        state.validators.take();
        let main = Md5::digest(text.as_slice()).into();
        let held = Arc::clone(held);
        Ok(Some(Self { held, cache, state, text, main, key: main, asked: None, waits_until_ms: None }))
    }

    /// Whether it is a variant that is searched for.
    #[must_use]
    pub fn is_secondary(&self) -> bool {
        self.key != self.main
    }

    /// Looks for the answer; waits for nothing.
    pub fn look(&mut self, request: &Request) -> Found {
        if self.held.settings.is_bypassed(request) {
            self.state.status.set(Some(Status::Bypass));
            return Found::Bypassed;
        }
        self.state.status.set(Some(Status::Miss));
        for _ in 0..LOOKS_MAX {
            let is_first = self.asked != Some(self.key);
            self.asked = Some(self.key);
            let min_uses = self.held.settings.min_uses();
            let (asked, removed) = self.cache.zone.ask(&self.key, min_uses, is_first);
            if let Some(removed) = removed {
                self.cache.remove(removed);
            }
            let version = match asked {
                Asked::Error(status) => return Found::Error(status),
                Asked::File(version) => version,
                Asked::Absent | Asked::Scarce if self.adopts() => continue,
                Asked::Absent => return Found::Absent,
                Asked::Scarce => return Found::Scarce,
            };
            let answer = match answers::find(&self.cache, &self.key, version) {
                Ok(answer) if answer.front.key == *self.text => answer,
                Ok(_) => {
                    self.complain(request, &"has md5 collision");
                    return Found::Absent;
                }
                Err(error) => {
                    self.drop_file(version, &error, request);
                    continue;
                }
            };
            if !answer.front.vary.is_empty() {
                let wanted = variant(&self.main, &answer.front.vary, request.headers());
                if wanted != answer.front.variant {
                    if self.is_secondary() {
                        self.complain(request, &"has incorrect vary hash");
                        return Found::Absent;
                    }
                    self.key = wanted;
                    continue;
                }
            }
            let is_stale = answer.front.times.is_stale(clock::unix_seconds());
            return if is_stale { Found::Stale(answer) } else { Found::Fresh(answer) };
        }
        Found::Absent
    }

    /// While the loader has not seen all files, there may be one that the zone does not know.
    fn adopts(&self) -> bool {
        let zone = &self.cache.zone;
        if !zone.is_cold() {
            return false;
        }
        let path = self.cache.path_of(&self.key);
        std::fs::metadata(path).is_ok_and(|facts| facts.is_file() && zone.adopt(&self.key, facts.len()))
    }

    /// The file is none, or is gone.
    fn drop_file(&self, version: u64, error: &NoAnswer, request: &Request) {
        self.cache.zone.forget(&self.key, version);
        if !matches!(error, NoAnswer::Gone) {
            self.complain(request, error);
            let _ = std::fs::remove_file(self.cache.path_of(&self.key));
        }
    }

    fn complain(&self, request: &Request, what: &dyn std::fmt::Display) {
        let path = self.cache.path_of(&self.key);
        request.log(Level::Crit, format_args!("cache file \"{}\" {what}", path.display()));
    }
}
