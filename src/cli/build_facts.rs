//! `-V`: which of nginx's modules this program stands for, in the words of nginx's `configure`.

use daemun_conf::Context;
use daemun_server::config::{DirectiveTable, Reader};

use crate::modules::MODULES;

/// The line `configure arguments: ...`. A module counts as built when the directive that is its purpose is.
pub fn configure_arguments() -> String {
    let table = DirectiveTable::new(MODULES);
    let is_built = |directive: &str, context: Context| {
        table
            .find(directive, context)
            .is_some_and(|entry| entry.entry.contexts.intersects(context) && !matches!(entry.reader, Reader::Known(_)))
    };
    let added = ADDED.iter().filter(|(_, directive, context)| is_built(directive, *context));
    let missing = DEFAULT.iter().filter(|(_, directive, context)| !is_built(directive, *context));
    let words = added
        .map(|(option, ..)| format!(" --with-{option}"))
        .chain(missing.map(|(option, ..)| format!(" --without-{option}")));
    words.fold("configure arguments:".to_owned(), |line, word| line + &word)
}

type Entry = (&'static str, &'static str, Context);

/// What nginx has unless it is told otherwise.
const DEFAULT: &[Entry] = &[
    ("http_charset_module", "charset_map", Context::HTTP),
    ("http_gzip_module", "gzip", Context::HTTP),
    ("http_ssi_module", "ssi", Context::HTTP),
    ("http_userid_module", "userid", Context::HTTP),
    ("http_access_module", "allow", Context::HTTP),
    ("http_auth_basic_module", "auth_basic", Context::HTTP),
    ("http_mirror_module", "mirror", Context::HTTP),
    ("http_autoindex_module", "autoindex", Context::HTTP),
    ("http_status_module", "status_zone", Context::SERVER),
    ("http_geo_module", "geo", Context::HTTP),
    ("http_map_module", "map", Context::HTTP),
    ("http_split_clients_module", "split_clients", Context::HTTP),
    ("http_referer_module", "valid_referers", Context::SERVER),
    ("http_rewrite_module", "rewrite", Context::SERVER),
    ("http_proxy_module", "proxy_pass", Context::LOCATION),
    ("http_fastcgi_module", "fastcgi_pass", Context::LOCATION),
    ("http_uwsgi_module", "uwsgi_pass", Context::LOCATION),
    ("http_scgi_module", "scgi_pass", Context::LOCATION),
    ("http_grpc_module", "grpc_pass", Context::LOCATION),
    ("http_memcached_module", "memcached_pass", Context::LOCATION),
    ("http_tunnel_module", "tunnel_pass", Context::LOCATION),
    ("http_limit_conn_module", "limit_conn", Context::HTTP),
    ("http_limit_req_module", "limit_req", Context::HTTP),
    ("http_empty_gif_module", "empty_gif", Context::LOCATION),
    ("http_browser_module", "modern_browser", Context::HTTP),
    ("http_upstream_hash_module", "hash", Context::UPSTREAM),
    ("http_upstream_ip_hash_module", "ip_hash", Context::UPSTREAM),
    ("http_upstream_least_conn_module", "least_conn", Context::UPSTREAM),
    ("http_upstream_least_time_module", "least_time", Context::UPSTREAM),
    ("http_upstream_random_module", "random", Context::UPSTREAM),
    ("http_upstream_keepalive_module", "keepalive", Context::UPSTREAM),
    ("http_upstream_zone_module", "zone", Context::UPSTREAM),
    ("http_upstream_sticky_module", "sticky", Context::UPSTREAM),
    ("http-cache", "proxy_cache", Context::HTTP),
];

/// What nginx has when it is told so.
const ADDED: &[Entry] = &[
    ("http_ssl_module", "ssl_certificate", Context::HTTP),
    ("http_v2_module", "http2", Context::HTTP),
    ("http_v3_module", "http3", Context::HTTP),
    ("http_realip_module", "set_real_ip_from", Context::HTTP),
    ("http_addition_module", "add_after_body", Context::HTTP),
    ("http_sub_module", "sub_filter", Context::HTTP),
    ("http_dav_module", "dav_methods", Context::HTTP),
    ("http_gunzip_module", "gunzip", Context::HTTP),
    ("http_gzip_static_module", "gzip_static", Context::HTTP),
    ("http_auth_request_module", "auth_request", Context::HTTP),
    ("http_random_index_module", "random_index", Context::LOCATION),
    ("http_secure_link_module", "secure_link", Context::HTTP),
    ("http_slice_module", "slice", Context::HTTP),
    ("http_stub_status_module", "stub_status", Context::LOCATION),
    ("stream", "stream", Context::MAIN),
    ("mail", "mail", Context::MAIN),
];

#[cfg(test)]
mod tests {
    use super::configure_arguments;

    #[test]
    fn what_is_missing_is_said_and_what_is_built_is_not_missing() {
        let line = configure_arguments();
        assert!(line.starts_with("configure arguments: --with-"), "{line}");
        assert!(line.contains("--with-http_random_index_module"), "{line}");
        assert!(!line.contains("--without-http_uwsgi_module"), "{line}");
        assert!(!line.contains("--without-http_empty_gif_module"), "{line}");
    }
}
