//! THE list of modules. Its order is the order of steps within a phase, and of filters on an answer's way out.

use daemun_cache as cache;
use daemun_cgi as cgi;
use daemun_modules as modules;
use daemun_proxy as proxy;
use daemun_server::AnyModule;
use daemun_server::module::BoundFilter;

/// All modules of the program.
pub static MODULES: &[&dyn AnyModule] = &[
    // Tables that others look names up in: closed before whoever asks.
    &proxy::resolver::MODULE,
    &proxy::upstream::MODULE,
    // Variables that are computed from others.
    &modules::variable::map::MODULE,
    &modules::variable::geo::MODULE,
    &modules::variable::split_clients::MODULE,
    // Variables by what a location says.
    &modules::variable::referer::MODULE,
    &modules::variable::secure_link::MODULE,
    &modules::variable::browser::MODULE,
    // What servers show, offer and ask for in a TLS handshake.
    &modules::tls::MODULE,
    // Post-read.
    &modules::post_read::real_ip::MODULE,
    // Rewrite.
    &modules::rewrite::MODULE,
    // Preaccess: a request that waits for its turn takes no place meanwhile.
    &modules::preaccess::limit_req::MODULE,
    &modules::preaccess::limit_conn::MODULE,
    // Access.
    &modules::access::address::MODULE,
    &modules::access::auth_basic::MODULE,
    &modules::access::auth_request::MODULE,
    // Precontent.
    &modules::precontent::try_files::MODULE,
    &modules::precontent::mirror::MODULE,
    // Content: a location that passes requests on has no files of its own, so passing stands first; `index` turns
    // a folder into a file before the file is looked for.
    &proxy::proxy_pass::MODULE,
    &proxy::uwsgi_pass::MODULE,
    &proxy::fastcgi_pass::MODULE,
    &proxy::scgi_pass::MODULE,
    &proxy::memcached_pass::MODULE,
    &proxy::tunnel_pass::MODULE,
    &cgi::cgi_pass::MODULE,
    // Each holds the handler of one of those.
    &cache::PROXY,
    &cache::UWSGI,
    &cache::FASTCGI,
    &cache::SCGI,
    &cache::CGI,
    &cache::VARIABLES,
    // Checks the group that the location passes requests on to.
    &proxy::health_check::MODULE,
    &modules::content::empty_gif::MODULE,
    &modules::content::stub_status::MODULE,
    &modules::content::random_index::MODULE,
    &modules::content::index::MODULE,
    &modules::content::autoindex::MODULE,
    &modules::content::dav::MODULE,
    &modules::content::precompressed::MODULE,
    &modules::content::static_file::MODULE,
    // Filters, in nginx's order: not_modified judges what the content gave, before `add_header` changes its validators, and
    // what it makes of it, 304 or 412, gets the fields of that status, and no charset without a type. charset stands behind
    // whatever changes a text and before whatever compresses it. compression stands after `add_header`, whose Cache-Control
    // `gzip_proxied` reads, and before ranges, which are not for compressed answers: a client that asks for a part gets the whole,
    // neither 206 nor 416. A range that cannot be is refused by a page that has its charset too; range, last, repeats the
    // whole type in each part.
    // ssi and addition stand behind what changes a body: the parts that they put in went through their own location's filters,
    // and are recoded there.
    // slice stands first: behind it an answer is whole again.
    &modules::filter::slice::MODULE,
    &modules::filter::msie::MODULE,
    &modules::filter::not_modified::MODULE,
    &modules::filter::headers::MODULE,
    &modules::filter::user_id::MODULE,
    &modules::filter::gunzip::MODULE,
    &modules::filter::sub::MODULE,
    &modules::filter::charset::MODULE,
    &modules::filter::ssi::MODULE,
    &modules::filter::addition::MODULE,
    &modules::filter::compression::MODULE,
    &modules::filter::range::REFUSAL,
    &modules::filter::charset::OF_REFUSAL,
    &modules::filter::range::MODULE,
    // Log, the last phase.
    &modules::log::access_log::MODULE,
    &modules::log::post_action::MODULE,
];

/// What files go through where no location says what their answers go through.
pub fn filters_of_files() -> Vec<Box<dyn BoundFilter>> {
    let filters = [
        modules::filter::not_modified::MODULE.unset_filters(),
        modules::filter::range::REFUSAL.unset_filters(),
        modules::filter::range::MODULE.unset_filters(),
    ];
    filters.into_iter().flatten().collect()
}
