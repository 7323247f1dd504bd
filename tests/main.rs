//! Black-box tests, one file per feature: real processes, real sockets, real peers.

mod access; // allow, deny, satisfy, limit_except
mod advice; // what daemun check says of configurations that would start
mod app_beside; // hooks, cron jobs, daemons, and what processes are like
mod app_crew; // how many workers there are: cheaper, idle, paused; deadlines
mod app_emperor; // a server for each file of a folder that changes
mod app_loading; // modules, files, factories, mounts; files before the application; what is open at the fork
mod app_logs; // lines of requests beside uWSGI's, encoders, sockets, files that are moved away
mod app_recycling; // workers that have had their time, and those that take too long
mod app_reload; // an application loaded anew, by whatever wish, without a request lost
mod app_start_errors; // an application that cannot start is one clear error, and nothing is left
mod app_stats; // the numbers of a pool beside uWSGI's, and uwsgitop on them
mod auth_basic; // auth_basic, its user file, auth_delay
mod autoindex; // directories listed
mod browser; // modern_browser, ancient_browser, $msie
mod cache; // answers of others that are kept
mod cgi; // cgi_pass: programs started for a request; git and gitweb
mod charset; // character sets named, and texts recoded
mod command_line; // nginx's command line beside nginx itself
mod compare; // the same requests as nginx + uWSGI answer them, in every pairing
mod compression; // brotli and zstd beside gzip
mod config_errors; // a wrong configuration is refused in its place, before anything is bound
mod core_http; // links, names, errors of error pages, variables of the connection
mod crash; // a worker that dies costs its own requests
mod dav; // files written, removed, copied and moved; litmus
mod development; // run --dev: reloads, pages of tracebacks, lines of requests; applications found without a configuration
mod draining; // graceful ends: who is served, and how long that may take
mod edge_http; // connections, framing, limits, slow clients
mod example_site; // the example visited, on SQLite and MariaDB; compose.yaml
mod explain; // which server, location and handler would answer, and why
mod fastcgi_pass; // PHP-FPM, fcgiwrap, and answers of hand-made servers
mod gateway_listeners; // FastCGI, SCGI and uwsgi as a server: nginx and Apache in front, and hand-made octets
mod geo; // variables by address
mod gzip; // compressed answers, as nginx compresses them
mod health_check; // servers that are asked whether they are well
mod http2; // frames and streams without TLS; floods
mod http_core; // kept connections, heads refused, variables of a connection, small modules
mod lifecycle; // signals, pid files, logs, what is left behind, what comes back
mod limits; // limit_req, limit_conn
mod logs; // where lines of both logs go
mod malformed_requests; // requests that are wrong in every way, and Gunicorn's
mod maps; // variables that depend on others: map, split_clients
mod memcached_pass; // values of memcached as answers
mod msie; // pages for old browsers; the status of an error within an error
mod proxy_pass; // another server's answers, and those that do not come
mod proxy_protocol; // listen ... proxy_protocol: who the client is by a proxy's header
mod pythons; // every CPython on the machine
mod real_applications; // Flask, Pyramid, Bottle, Falcon, Wagtail, Werkzeug's debugger, Flask-SocketIO
mod real_ip; // set_real_ip_from, real_ip_header, real_ip_recursive
mod referer; // valid_referers
mod reload; // HUP, and what the edge goes over to without losing a request
mod resolver; // names that are looked up while requests are served
mod rewrite; // set, rewrite, if, return and what they capture
mod scgi_pass; // uWSGI by SCGI and FastCGI
mod secure_link; // links that are signed, and that expire
mod slow_clients; // clients that are slow on purpose, hundreds of each kind
mod ssi; // commands in pages
mod static_files; // files, locations, errors and logs of the web server itself
mod sub_filter; // texts replaced in answers
mod subrequests; // auth_request, additions, mirrors
mod threads_by_need; // threads = auto
mod tls; // listen ... ssl: certificates, sessions, clients' certificates
mod tls_upstream; // proxy_pass https:// and its neighbours
mod transfer; // limit_rate, lingering_close, bodies in files
mod tunnel_pass; // connections that CONNECT asks for
mod tutorial; // nginx.conf and uwsgi.ini as a tutorial reader has them
mod upgrade; // USR2 and WINCH: another program on the same sockets
mod upstream; // groups of servers: who is asked, and who is not
mod upstream_keepalive; // connections to servers that wait for the next request
mod user_id; // cookies by which a browser is known again
mod uwsgi_configuration; // files of options in every form, beside uWSGI itself
mod uwsgi_module; // the module that applications import: caches, locks, signals, mules, spoolers
mod uwsgi_options; // options of a uwsgi.ini, obeyed or told
mod uwsgi_pass; // answers of applications, and those that do not come
mod uwsgi_socket; // the uwsgi protocol, spoken by anybody
mod waiting_connections;
mod worker_conditions; // worker_connections and what else makes the edge's process
mod worker_pep3333; // environ, start_response, bodies, input, failures
