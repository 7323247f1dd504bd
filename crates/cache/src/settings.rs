//! What a location says of its cache: one struct for all protocols.

use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Diagnostic, Span};
use daemun_http::{Method, StatusCode};
use daemun_server::condition::{Condition, Conditions};
use daemun_server::config::{Build, setter};
use daemun_server::log::Level;
use daemun_server::{Outcome, Request, Template};

use crate::path_line::{Cache, CacheTable, PathLine};

/// Settings of one location for one protocol. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct CacheSettings {
    paths: Vec<PathLine>,
    cache: Option<Chosen>,
    key: Option<Template>,
    valid: Option<Arc<Vec<Validity>>>,
    bypass: Option<Arc<Vec<Template>>>,
    no_cache: Option<Arc<Vec<Template>>>,
    use_stale: Option<Conditions>,
    background_update: Option<bool>,
    lock: Option<bool>,
    lock_timeout: Option<Duration>,
    lock_age: Option<Duration>,
    /// Whether POST is kept too.
    methods: Option<bool>,
    min_uses: Option<u64>,
    revalidate: Option<bool>,
    convert_head: Option<bool>,
    max_range_offset: Option<u64>,
}

/// What `..._cache` names.
#[derive(Clone)]
enum Chosen {
    Off,
    /// A name, until the block is closed.
    Named(String, Span),
    Cache(Arc<Cache>),
    /// A text that each request gives its values to, and the caches that it may name.
    Variable(Template, Arc<Vec<Arc<Cache>>>),
}

/// One status of `..._cache_valid`; without one it is any.
struct Validity {
    status: Option<u64>,
    time: Duration,
}

/// What a setter comes to.
pub type Set = Result<(), ArgumentError>;

/// What differs between the protocols.
pub struct Protocol {
    /// The name before the `_` of each directive.
    pub prefix: &'static str,
    /// The directive that declares a cache.
    pub path_directive: &'static str,
}

impl CacheSettings {
    /// Takes from the enclosing block what is unset.
    pub fn merge(parent: &Self, child: &mut Self) {
        daemun_server::inherit!(parent, child;
            cache, key, valid, bypass, no_cache, use_stale, background_update, lock, lock_timeout, lock_age, methods,
            min_uses, revalidate, convert_head, max_range_offset);
    }

    /// Declares caches and finds the one that is named.
    ///
    /// # Errors
    /// In nginx's words.
    pub fn finish(&mut self, protocol: &Protocol, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        for line in std::mem::take(&mut self.paths) {
            line.declare(protocol.prefix, protocol.path_directive, build)?;
        }
        let known = || build.published::<CacheTable>().map(|table| table.of(protocol.prefix)).unwrap_or_default();
        match &mut self.cache {
            Some(Chosen::Named(name, span)) => {
                let found = known().into_iter().find(|cache| cache.name == *name);
                let found = found.ok_or_else(|| {
                    let message = format!("\"{}_cache\" zone \"{name}\" is unknown", protocol.prefix);
                    Diagnostic::error(*span, message)
                })?;
                self.cache = Some(Chosen::Cache(found));
            }
            Some(Chosen::Variable(_, caches)) => *caches = Arc::new(known()),
            _ => {}
        }
        Ok(())
    }

    /// Whether answers are kept.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self.cache, None | Some(Chosen::Off))
    }

    /// The cache for a request; `None` where its answer is not kept.
    ///
    /// # Errors
    /// What the request ends with; the reason is in the log.
    pub fn cache(&self, request: &Request) -> Result<Option<Arc<Cache>>, Outcome> {
        match &self.cache {
            Some(Chosen::Cache(cache)) => Ok(Some(Arc::clone(cache))),
            Some(Chosen::Variable(template, caches)) => {
                let name = template.value(request);
                if matches!(name.as_slice(), b"" | b"off") {
                    return Ok(None);
                }
                let found = caches.iter().find(|cache| cache.name.as_bytes() == name);
                found.map(|cache| Some(Arc::clone(cache))).ok_or_else(|| {
                    request.log(Level::Error, format_args!("cache \"{}\" not found", String::from_utf8_lossy(&name)));
                    Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR)
                })
            }
            _ => Ok(None),
        }
    }

    /// The key's text, where one is set.
    #[must_use]
    pub fn key(&self) -> Option<&Template> {
        self.key.as_ref()
    }

    /// How many seconds an answer is fresh that does not say so itself.
    #[must_use]
    pub fn valid(&self, status: StatusCode) -> Option<i64> {
        let number = u64::from(status.as_u16());
        let mut list = self.valid.iter().flat_map(|list| list.iter());
        let found = list.find(|validity| validity.status.is_none_or(|status| status == number))?;
        i64::try_from(found.time.as_secs()).ok().filter(|seconds| *seconds > 0)
    }

    /// Whether the request is answered anew.
    #[must_use]
    pub fn is_bypassed(&self, request: &Request) -> bool {
        self.bypass.iter().flat_map(|list| list.iter()).any(|text| text.is_true(request))
    }

    /// Whether the answer is not kept.
    #[must_use]
    pub fn forbids(&self, request: &Request) -> bool {
        self.no_cache.iter().flat_map(|list| list.iter()).any(|text| text.is_true(request))
    }

    /// When a stale answer is given.
    #[must_use]
    pub fn use_stale(&self) -> Conditions {
        self.use_stale.unwrap_or(Conditions::NONE)
    }

    /// Whether a stale answer is given at once and got anew behind the client's back.
    #[must_use]
    pub fn background_update(&self) -> bool {
        self.background_update.unwrap_or(false)
    }

    /// Whether one request alone gets an answer that is not there.
    #[must_use]
    pub fn lock(&self) -> bool {
        self.lock.unwrap_or(false)
    }

    /// How many milliseconds the others wait for it.
    #[must_use]
    pub fn lock_timeout_ms(&self) -> u64 {
        milliseconds(self.lock_timeout)
    }

    /// After how many milliseconds another may try.
    #[must_use]
    pub fn lock_age_ms(&self) -> u64 {
        milliseconds(self.lock_age)
    }

    /// Whether answers to requests of this method are kept.
    #[must_use]
    pub fn keeps(&self, method: &Method) -> bool {
        match method {
            Method::Get | Method::Head => true,
            other => self.methods.unwrap_or(false) && other.as_str() == "POST",
        }
    }

    /// How often an answer must be asked for to be kept.
    #[must_use]
    pub fn min_uses(&self) -> u32 {
        u32::try_from(self.min_uses.unwrap_or(1)).unwrap_or(u32::MAX)
    }

    /// Whether the server is asked if a stale answer still holds.
    #[must_use]
    pub fn revalidate(&self) -> bool {
        self.revalidate.unwrap_or(false)
    }

    /// Whether HEAD is asked for as GET.
    #[must_use]
    pub fn convert_head(&self) -> bool {
        self.convert_head.unwrap_or(true)
    }

    /// Octets into an answer at which a range may begin and its answer be kept whole.
    #[must_use]
    pub fn max_range_offset(&self) -> Option<u64> {
        self.max_range_offset
    }
}

fn milliseconds(time: Option<Duration>) -> u64 {
    u64::try_from(time.unwrap_or(LOCK_TIME).as_millis()).unwrap_or(u64::MAX)
}

/// nginx's default for waiting and for age.
const LOCK_TIME: Duration = Duration::from_secs(5);

/// Setters of one kind of argument for several fields.
macro_rules! simple_setters {
    ($($(#[$doc:meta])* $name:ident: $kind:ident => $field:ident,)+) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// For a wrong argument, and for a second one.
        pub fn $name(settings: &mut CacheSettings, arguments: &mut Arguments<'_>) -> Set {
            let value = arguments.$kind(0)?;
            arguments.set_once(&mut settings.$field, value)
        })+
    };
}

simple_setters! {
    /// `..._cache_background_update`
    set_background_update: flag => background_update,
    /// `..._cache_convert_head`
    set_convert_head: flag => convert_head,
    /// `..._cache_lock`
    set_lock: flag => lock,
    /// `..._cache_lock_age`
    set_lock_age: time => lock_age,
    /// `..._cache_lock_timeout`
    set_lock_timeout: time => lock_timeout,
    /// `..._cache_max_range_offset`
    set_max_range_offset: offset => max_range_offset,
    /// `..._cache_revalidate`
    set_revalidate: flag => revalidate,
}

/// `..._cache_min_uses`
///
/// # Errors
/// For a wrong argument, and for a second one.
pub fn set_min_uses(settings: &mut CacheSettings, arguments: &mut Arguments<'_>) -> Set {
    let number = arguments.number(0, 0..=u64::from(u32::MAX))?;
    arguments.set_once(&mut settings.min_uses, number)
}

/// `..._cache_path`
///
/// # Errors
/// As [`PathLine::read`].
pub fn add_path(settings: &mut CacheSettings, arguments: &mut Arguments<'_>) -> Set {
    settings.paths.push(PathLine::read(arguments)?);
    Ok(())
}

/// `..._cache`
///
/// # Errors
/// For an unknown variable, and for a second one.
pub fn set_cache(settings: &mut CacheSettings, arguments: &mut Arguments<'_>) -> Set {
    let word = arguments.word(0)?;
    let chosen = match word.text.as_str() {
        "off" => Chosen::Off,
        text if text.contains('$') => Chosen::Variable(setter::template(arguments, 0)?, Arc::default()),
        text => Chosen::Named(text.to_owned(), word.span),
    };
    arguments.set_once(&mut settings.cache, chosen)
}

/// `..._cache_key`
///
/// # Errors
/// For an unknown variable, and for a second one.
pub fn set_key(settings: &mut CacheSettings, arguments: &mut Arguments<'_>) -> Set {
    let template = setter::template(arguments, 0)?;
    arguments.set_once(&mut settings.key, template)
}

/// `..._cache_bypass`
///
/// # Errors
/// For an unknown variable.
pub fn add_bypass(settings: &mut CacheSettings, arguments: &mut Arguments<'_>) -> Set {
    add_templates(&mut settings.bypass, arguments)
}

/// `..._no_cache`
///
/// # Errors
/// For an unknown variable.
pub fn add_no_cache(settings: &mut CacheSettings, arguments: &mut Arguments<'_>) -> Set {
    add_templates(&mut settings.no_cache, arguments)
}

fn add_templates(list: &mut Option<Arc<Vec<Template>>>, arguments: &Arguments<'_>) -> Set {
    let list = Arc::make_mut(list.get_or_insert_default());
    for position in 0..arguments.len() {
        list.push(setter::template(arguments, position)?);
    }
    Ok(())
}

/// `..._cache_methods`; GET and HEAD are always among them.
///
/// # Errors
/// For a word that is none of nginx's.
pub fn set_methods(settings: &mut CacheSettings, arguments: &mut Arguments<'_>) -> Set {
    let mut has_post = settings.methods.unwrap_or(false);
    for position in 0..arguments.len() {
        has_post |= arguments.choice(position, &[("GET", false), ("HEAD", false), ("POST", true)])?;
    }
    settings.methods = Some(has_post);
    Ok(())
}

/// `..._cache_use_stale`
///
/// # Errors
/// For a word that is none of nginx's.
pub fn set_use_stale(settings: &mut CacheSettings, arguments: &mut Arguments<'_>) -> Set {
    let words: Vec<_> =
        Condition::WORDS.iter().filter(|(_, condition)| *condition != Condition::NonIdempotent).copied().collect();
    let mut conditions = settings.use_stale.unwrap_or(Conditions::NONE);
    for position in 0..arguments.len() {
        conditions = conditions.with(arguments.choice(position, &words)?);
    }
    settings.use_stale = Some(conditions);
    Ok(())
}

/// `..._cache_valid`: statuses, `any` among them, and a time; without a status 200, 301 and 302.
///
/// # Errors
/// For a wrong status or time.
pub fn add_valid(settings: &mut CacheSettings, arguments: &mut Arguments<'_>) -> Set {
    let last = arguments.len() - 1;
    let text = arguments.text(last)?;
    let time = daemun_conf::parse_seconds(text)
        .ok_or_else(|| ArgumentError::new(Some(last), format!("invalid time value \"{text}\"")))?;
    let list = settings.valid.get_or_insert_default();
    let list = Arc::get_mut(list).expect("a block's own list is not shared before the block is closed");
    if last == 0 {
        list.extend([200, 301, 302].map(|status| Validity { status: Some(status), time }));
    }
    for position in 0..last {
        let text = arguments.text(position)?;
        let status = match text {
            "any" => None,
            _ => {
                let status = text.parse().ok().filter(|status| (100..=599).contains(status));
                let wrong = || ArgumentError::new(Some(position), format!("invalid status \"{text}\""));
                Some(status.ok_or_else(wrong)?)
            }
        };
        list.push(Validity { status, time });
    }
    Ok(())
}
