//! The one table of the cache's directives, for every protocol whose answers are kept.

use std::sync::Arc;

use daemun_conf::{Arity, Context, Directive};
use daemun_server::Module;
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::module::Holder;
use daemun_server::phase::Step;

use crate::holding::Caching;
use crate::settings::{self, CacheSettings, Protocol};

/// Declares the module of one protocol: its directives under `prefix`, and whose answers it keeps.
macro_rules! cache_module {
    ($(#[$doc:meta])* $name:ident = $prefix:literal, $module:literal, $holds:literal, $default_key:literal) => {
        $(#[$doc])*
        pub static $name: Holder<CacheSettings> = Holder {
            module: Module {
                name: $module,
                directives: &[
                    cache_module!(@one $prefix, "_cache", Arity::Exactly(1), "off", "zone|off: where answers are kept; may have variables", set_cache),
                    cache_module!(@one $prefix, "_cache_background_update", Arity::Flag, "off", "on|off: whether a stale answer that may be given is got anew after it was", set_background_update),
                    cache_module!(@one $prefix, "_cache_bypass", Arity::AtLeast(1), "none", "string ...: where one of them is neither empty nor 0, the answer is got anew", add_bypass),
                    cache_module!(@one $prefix, "_cache_convert_head", Arity::Flag, "on", "on|off: whether HEAD is asked for as GET, so that the answer can be kept", set_convert_head),
                    cache_module!(@one $prefix, "_cache_key", Arity::Exactly(1), $default_key, "string: what an answer is found by", set_key),
                    cache_module!(@one $prefix, "_cache_lock", Arity::Flag, "off", "on|off: whether one request alone gets an answer that is not there, and the others wait for it", set_lock),
                    cache_module!(@one $prefix, "_cache_lock_age", Arity::Exactly(1), "5s", "time: after which another request may get the answer too", set_lock_age),
                    cache_module!(@one $prefix, "_cache_lock_timeout", Arity::Exactly(1), "5s", "time: for which requests wait; whoever waited so long is answered without the cache", set_lock_timeout),
                    cache_module!(@one $prefix, "_cache_max_range_offset", Arity::Exactly(1), "none", "number: of octets before a range; where more are asked to be left out, the range is passed on and not kept", set_max_range_offset),
                    cache_module!(@one $prefix, "_cache_methods", Arity::AtLeast(1), "GET HEAD", "GET|HEAD|POST ...: whose answers are kept", set_methods),
                    cache_module!(@one $prefix, "_cache_min_uses", Arity::Exactly(1), "1", "number: of requests after which an answer is kept", set_min_uses),
                    Directive {
                        name: concat!($prefix, "_cache_path"),
                        contexts: Context::HTTP,
                        arity: Arity::AtLeast(2),
                        default: "none",
                        help: "path keys_zone=name:size [levels=n[:n[:n]]] [inactive=time] [max_size=size] [min_free=size] [manager_files=n] [manager_sleep=time] [manager_threshold=time] [loader_files=n] [loader_sleep=time] [loader_threshold=time] [use_temp_path=on|off]: a cache; files are always written beside their place, so use_temp_path has no meaning",
                        set: settings::add_path,
                    },
                    cache_module!(@one $prefix, "_cache_revalidate", Arity::Flag, "off", "on|off: whether a stale answer is got anew only if it has changed", set_revalidate),
                    cache_module!(@one $prefix, "_cache_use_stale", Arity::AtLeast(1), "off", "condition ...: when a stale answer is given: error, timeout, invalid_header, updating, http_500, http_502, http_503, http_504, http_403, http_404, http_429, off", set_use_stale),
                    cache_module!(@one $prefix, "_cache_valid", Arity::AtLeast(1), "none", "[status ...|any] time: how long an answer is fresh that does not say so itself; without a status 200, 301 and 302", add_valid),
                    cache_module!(@one $prefix, "_no_cache", Arity::AtLeast(1), "none", "string ...: where one of them is neither empty nor 0, the answer is not kept", add_no_cache),
                ],
                merge: CacheSettings::merge,
                finish: |settings, build| {
                    let path_directive = concat!($prefix, "_cache_path");
                    settings.finish(&Protocol { prefix: $prefix, path_directive }, build)
                },
                is_active: CacheSettings::is_active,
                phases: &[],
                filters: &[],
                variables: &[],
            },
            holds: $holds,
            hold,
        };
    };
    (@one $prefix:literal, $name:literal, $arity:expr, $default:literal, $help:literal, $set:ident) => {
        Directive {
            name: concat!($prefix, $name),
            contexts: HTTP_SERVER_LOCATION,
            arity: $arity,
            default: $default,
            help: $help,
            set: settings::$set,
        }
    };
}

fn hold(settings: Arc<CacheSettings>, held: Box<dyn Step>) -> Box<dyn Step> {
    Box::new(Caching::new(settings, held))
}

cache_module! {
    /// Answers of `proxy_pass`. Named once, in the program's list of modules, behind whose answers it keeps.
    PROXY = "proxy", "http_proxy_cache", "http_proxy", "$scheme$proxy_host$request_uri"
}

cache_module! {
    /// Answers of `fastcgi_pass`. Named once, in the program's list of modules, behind whose answers it keeps.
    FASTCGI = "fastcgi", "http_fastcgi_cache", "http_fastcgi", "$scheme$host$request_uri"
}

cache_module! {
    /// Answers of `uwsgi_pass`, of applications of ours among them. Named once, in the program's list of modules, behind whose
    /// answers it keeps.
    UWSGI = "uwsgi", "http_uwsgi_cache", "http_uwsgi", "$scheme$host$request_uri"
}

cache_module! {
    /// Answers of `scgi_pass`. Named once, in the program's list of modules, behind whose answers it keeps.
    SCGI = "scgi", "http_scgi_cache", "http_scgi", "$scheme$host$request_uri"
}

cache_module! {
    /// Answers of `cgi_pass`. Named once, in the program's list of modules, behind whose answers it keeps.
    CGI = "cgi", "http_cgi_cache", "http_cgi", "$scheme$host$request_uri"
}
