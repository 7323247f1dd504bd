//! `limit_req`: requests of one key come no faster than a rate; those beyond it wait or are refused.
//!
//! A leaky bucket per key. Its level, the excess, is counted in thousandths of a request, as in nginx.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::log::Level;
use daemun_server::variable::Variable;
use daemun_server::{Handler, Module, Outcome, Phase, Request, clock};

use super::limit::{Limit, Limits, Status, key_of};
use crate::keyed_zone::{Shard, without_zone};

/// Named once, in the program's list of modules.
pub static MODULE: Module<LimitReq> = Module {
    name: "limit_req",
    directives: &[
        Directive {
            name: "limit_req_zone",
            contexts: Context::HTTP,
            arity: Arity::Exactly(3),
            default: "none",
            help: "key zone=name:size rate=number r/s|r/m: where requests are counted by key, and how many may come",
            set: set_limit_req_zone,
        },
        Directive {
            name: "limit_req",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Between(1, 3),
            default: "none",
            help: "zone=name [burst=number] [nodelay | delay=number]: requests beyond the zone's rate wait, beyond the burst are refused",
            set: set_limit_req,
        },
        Directive {
            name: "limit_req_log_level",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "error",
            help: "info|notice|warn|error: level of the line about a refused request; of a delayed one it is one less severe",
            set: |conf, arguments| conf.limits.consequences.set_log_level(arguments),
        },
        Directive {
            name: "limit_req_status",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "503",
            help: "code: status of a refused request, 400 to 599",
            set: |conf, arguments| conf.limits.consequences.set_status(arguments),
        },
        Directive {
            name: "limit_req_dry_run",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "off",
            help: "on|off: requests beyond the rate are counted and logged, and neither wait nor are refused",
            set: |conf, arguments| conf.limits.consequences.set_dry_run(arguments),
        },
    ],
    merge: |parent, child| child.limits.merge(&parent.limits),
    finish: |conf, build| conf.limits.finish("limit_req_zone", build),
    is_active: |conf| !conf.limits.in_force().is_empty(),
    phases: &[(Phase::Preaccess, Handler::Sync(limit_req))],
    filters: &[],
    variables: &[Variable { name: "limit_req_status", evaluate: |request, _, out| ReqStatus::write(request, out) }],
};

/// Settings of one location.
#[derive(Default)]
pub struct LimitReq {
    limits: Limits<Rate, Bucket, Terms>,
}

/// What one `limit_req` allows, in thousandths of a request.
#[derive(Clone, Copy)]
struct Terms {
    /// Excess up to which a request is let in.
    burst: u64,
    /// Excess up to which it is let in at once.
    delay: u64,
}

/// Thousandths of a request that may come in a second.
#[derive(Clone, Copy)]
struct Rate(u64);

type RateLimit = Limit<Rate, Bucket, Terms>;

type ReqStatus = Status<Terms>;

/// What has come of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    /// Level of the bucket at `last_ms`.
    excess: u64,
    /// Monotonic time of the last request that was let in.
    last_ms: u64,
}

fn set_limit_req_zone(conf: &mut LimitReq, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let rate = Cell::new(Rate(THOUSAND));
    let read_rate = |at| {
        let Some(("rate", text)) = arguments.parameter(at) else { return Err(arguments.invalid_parameter(at)) };
        let (number, seconds) = match (text.strip_suffix("r/s"), text.strip_suffix("r/m")) {
            (Some(number), _) => (number, 1),
            (_, Some(number)) => (number, 60),
            _ => (text, 1),
        };
        let number = number.parse().ok().filter(|number| (1..=NUMBER_MAX).contains(number));
        let written = arguments.text(at)?;
        let number = number.ok_or_else(|| ArgumentError::new(Some(at), format!("invalid rate \"{written}\"")))?;
        rate.set(Rate(number * THOUSAND / seconds));
        Ok(())
    };
    conf.limits.zones.declare(arguments, read_rate, || rate.get())
}

fn set_limit_req(conf: &mut LimitReq, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let (mut zone, mut burst, mut delay) = (None, 0, 0);
    let number = |what: &str, text: &str, at| {
        let number = text.parse().ok().filter(|number| (1..=NUMBER_MAX).contains(number));
        let written = arguments.text(at)?;
        number.ok_or_else(|| ArgumentError::new(Some(at), format!("invalid {what} value \"{written}\"")))
    };
    for at in 0..arguments.len() {
        match arguments.parameter(at) {
            Some(("zone", name)) => zone = Some(name),
            Some(("burst", text)) => burst = number("burst", text, at)?,
            Some(("delay", text)) => delay = number("delay", text, at)?,
            _ if arguments.text(at)? == "nodelay" => delay = u64::MAX / THOUSAND,
            _ => return Err(arguments.invalid_parameter(at)),
        }
    }
    let zone = zone.ok_or_else(|| without_zone(arguments))?;
    conf.limits.add(zone, Terms { burst: burst * THOUSAND, delay: delay * THOUSAND }, arguments)
}

fn limit_req(conf: &LimitReq, request: &mut Request) -> Outcome {
    if ReqStatus::is_kept(request) {
        return Outcome::Continue;
    }
    let now_ms = clock::monotonic_ms();
    // Only the last limit counts at once: a request that it refuses has used up nothing of the others.
    let mut judged = Vec::new();
    let limits = conf.limits.in_force();
    for (at, limit) in limits.iter().enumerate() {
        let Some(key) = key_of(&limit.zone, request, KEY_OCTETS_MAX) else { continue };
        let is_last = at + 1 == limits.len();
        match limit.judge(&key, now_ms, is_last) {
            Verdict::Within(excess) if is_last => judged.push((limit, key, Some(excess))),
            Verdict::Within(_) => judged.push((limit, key, None)),
            Verdict::Over(excess) => return refuse(conf, limit, excess, request),
            Verdict::NoRoom => {
                let name = &limit.zone.name;
                request.log(Level::Alert, format_args!("could not allocate node in limit_req zone \"{name}\""));
                return ReqStatus::turn_away(&conf.limits.consequences, request);
            }
        }
    }
    if judged.is_empty() {
        return Outcome::Continue;
    }
    let excesses =
        judged.iter().map(|(limit, key, counted)| (*limit, counted.unwrap_or_else(|| limit.count(key, now_ms))));
    let longest =
        excesses.map(|(limit, excess)| (limit.wait_ms(excess), limit, excess)).max_by_key(|(wait_ms, ..)| *wait_ms);
    match longest {
        Some((wait_ms, limit, excess)) if wait_ms > 0 => delay(conf, limit, excess, wait_ms, request),
        _ => {
            ReqStatus::keep(request, "PASSED");
            Outcome::Continue
        }
    }
}

fn refuse(conf: &LimitReq, limit: &RateLimit, excess: u64, request: &mut Request) -> Outcome {
    let (zone, excess) = (&limit.zone.name, Thousandths(excess));
    let dry_run = conf.dry_run_text();
    request.log(
        conf.limits.consequences.log_level(),
        format_args!("limiting requests{dry_run}, excess: {excess} by zone \"{zone}\""),
    );
    ReqStatus::turn_away(&conf.limits.consequences, request)
}

fn delay(conf: &LimitReq, limit: &RateLimit, excess: u64, wait_ms: u64, request: &mut Request) -> Outcome {
    let (zone, excess) = (&limit.zone.name, Thousandths(excess));
    let dry_run = conf.dry_run_text();
    request.log(
        one_less_severe(conf.limits.consequences.log_level()),
        format_args!("delaying request{dry_run}, excess: {excess}, by zone \"{zone}\""),
    );
    if conf.limits.consequences.is_dry_run() {
        ReqStatus::keep(request, "DELAYED_DRY_RUN");
        return Outcome::Continue;
    }
    ReqStatus::keep(request, "DELAYED");
    Outcome::Delay(Duration::from_millis(wait_ms))
}

fn one_less_severe(level: Level) -> Level {
    match level {
        Level::Error => Level::Warn,
        Level::Warn => Level::Notice,
        _ => Level::Info,
    }
}

impl LimitReq {
    fn dry_run_text(&self) -> &'static str {
        if self.limits.consequences.is_dry_run() { ", dry run" } else { "" }
    }
}

/// What a limit says of a request, with its excess.
enum Verdict {
    Within(u64),
    Over(u64),
    /// The zone is full of keys that are all in use.
    NoRoom,
}

impl RateLimit {
    /// Judges a request at `now_ms`, and counts it if it is let in and `counts`.
    fn judge(&self, key: &[u8], now_ms: u64, counts: bool) -> Verdict {
        let rate = self.zone.setting;
        let mut shard = self.zone.state.shard(key);
        if let Some(bucket) = shard.values.ask(key) {
            let next = bucket.next(now_ms, rate);
            if next.excess > self.terms.burst {
                return Verdict::Over(next.excess);
            }
            if counts {
                *bucket = next;
            }
            return Verdict::Within(next.excess);
        }
        drop_empty(&mut shard, now_ms, rate);
        let bucket = Bucket { excess: 0, last_ms: if counts { now_ms } else { 0 } };
        if !shard.insert(key, bucket) {
            shard.remove_oldest();
            drop_empty(&mut shard, now_ms, rate);
            if !shard.insert(key, bucket) {
                return Verdict::NoRoom;
            }
        }
        Verdict::Within(0)
    }

    /// Counts a request that all limits let in.
    fn count(&self, key: &[u8], now_ms: u64) -> u64 {
        let mut shard = self.zone.state.shard(key);
        // A key that was dropped meanwhile has nothing to count.
        let Some(bucket) = shard.values.ask(key) else { return 0 };
        *bucket = bucket.next(now_ms, self.zone.setting);
        bucket.excess
    }

    /// How long a request waits that brings the bucket to `excess`.
    fn wait_ms(&self, excess: u64) -> u64 {
        excess.saturating_sub(self.terms.delay) * 1_000 / self.zone.setting.0.max(1)
    }
}

impl Bucket {
    /// The bucket with one more request at `now_ms`.
    fn next(self, now_ms: u64, rate: Rate) -> Self {
        let excess = (self.excess + THOUSAND).saturating_sub(self.gone(now_ms, rate));
        Self { excess, last_ms: self.last_ms.max(now_ms) }
    }

    /// What has run out since the last request.
    fn gone(self, now_ms: u64, rate: Rate) -> u64 {
        rate.0.saturating_mul(now_ms.saturating_sub(self.last_ms)) / 1_000
    }
}

/// Drops up to two keys whose buckets have been empty for a while.
fn drop_empty(shard: &mut Shard<Bucket>, now_ms: u64, rate: Rate) {
    for _ in 0..EMPTY_DROPPED {
        match shard.values.oldest() {
            Some((_, bucket))
                if now_ms.saturating_sub(bucket.last_ms) >= EMPTY_KEPT_MS
                    && bucket.excess <= bucket.gone(now_ms, rate) =>
            {
                shard.remove_oldest();
            }
            _ => return,
        }
    }
}

/// A number of thousandths as a decimal fraction.
struct Thousandths(u64);

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / THOUSAND, self.0 % THOUSAND)
    }
}

/// A whole request.
const THOUSAND: u64 = 1_000;

/// Largest number in a rate, a burst or a delay.
const NUMBER_MAX: u64 = u32::MAX as u64;

/// Octets of a key.
const KEY_OCTETS_MAX: usize = 65_535;

/// Keys with empty buckets dropped at most whenever a new one comes.
const EMPTY_DROPPED: usize = 2;

/// How long an empty bucket is kept.
const EMPTY_KEPT_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::{Bucket, Rate};

    #[test]
    fn a_bucket_fills_with_requests_and_runs_out_with_time() {
        let rate = Rate(2_000); // Two a second.
        let mut bucket = Bucket { excess: 0, last_ms: 1_000 };
        for (now_ms, excess) in
            [(1_000, 1_000), (1_000, 2_000), (1_250, 2_500), (1_500, 3_000), (9_000, 0), (8_000, 1_000)]
        {
            bucket = bucket.next(now_ms, rate);
            assert_eq!(bucket.excess, excess, "at {now_ms}");
        }
        assert_eq!(bucket.last_ms, 9_000);
    }
}
