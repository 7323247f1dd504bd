//! The one table of the directives that every `..._pass` shares, for any prefix.

/// Declares a table of directives: those given, then the shared ones under `prefix`. The settings keep a
/// [`crate::pass::PassSettings`] in their field `pass`.
///
/// `encrypted` adds those of TLS; `basic` leaves out what a protocol without fields and large answers (memcached) has not.
macro_rules! pass_directives {
    ($(#[$doc:meta])* static $table:ident: $settings:ty = $prefix:literal, encrypted; [$($own:expr,)*]) => {
        pass_directives! { $(#[$doc])* static $table: $settings = $prefix, full; [
            $($own,)*
            pass_directives!(@one $prefix, "_ssl_certificate", Exactly(1), "none", "file: the certificate, in PEM, that is shown to a server that asks for it", set_ssl_certificate),
            pass_directives!(@one $prefix, "_ssl_certificate_cache", Between(1, 3), "off", "off|max=n [inactive=time] [valid=time]: keeps certificates whose names have variables", set_ssl_certificate_cache),
            pass_directives!(@one $prefix, "_ssl_certificate_key", Exactly(1), "none", "file: its key", set_ssl_certificate_key),
            pass_directives!(@one $prefix, "_ssl_ciphers", Exactly(1), "DEFAULT", "list: the suites of TLS 1.2, in OpenSSL's notation", set_ssl_ciphers),
            pass_directives!(@one $prefix, "_ssl_conf_command", Exactly(2), "none", "name value: a command of OpenSSL's, as far as it has a meaning here", set_ssl_conf_command),
            pass_directives!(@one $prefix, "_ssl_crl", Exactly(1), "none", "file: lists of revoked certificates", set_ssl_crl),
            pass_directives!(@one $prefix, "_ssl_name", Exactly(1), "host of the URL", "name: that a server's certificate must have, and that it is told", set_ssl_name),
            pass_directives!(@one $prefix, "_ssl_password_file", Exactly(1), "none", "file: passwords of keys, one a line", set_ssl_password_file),
            pass_directives!(@one $prefix, "_ssl_protocols", AtLeast(1), "TLSv1.2 TLSv1.3", "version ...: the versions that are spoken; older ones are not", set_ssl_protocols),
            pass_directives!(@one $prefix, "_ssl_server_name", Flag, "off", "on|off: whether a server is told which name is asked for", set_ssl_server_name),
            pass_directives!(@one $prefix, "_ssl_session_reuse", Flag, "on", "on|off: whether connections go on with sessions of earlier ones", set_ssl_session_reuse),
            pass_directives!(@one $prefix, "_ssl_trusted_certificate", Exactly(1), "none", "file: authorities of servers' certificates", set_ssl_trusted_certificate),
            pass_directives!(@one $prefix, "_ssl_verify", Flag, "off", "on|off: whether servers' certificates must be good", set_ssl_verify),
            pass_directives!(@one $prefix, "_ssl_verify_depth", Exactly(1), "1", "number: certificates between a server's and the authority's", set_ssl_verify_depth),
        ] }
    };
    ($(#[$doc:meta])* static $table:ident: $settings:ty = $prefix:literal, full; [$($own:expr,)*]) => {
        pass_directives! { $(#[$doc])* static $table: $settings = $prefix, basic; [
            $($own,)*
            pass_directives!(@one $prefix, "_buffering", Flag, "on", "on|off: whether answers are read ahead of slow clients", set_buffering),
            pass_directives!(@one $prefix, "_buffers", Exactly(2), "8 8k", "number size: memory for what is read ahead", set_buffers),
            pass_directives!(@one $prefix, "_busy_buffers_size", Exactly(1), "16k", "size: checked against the other sizes; what has come is sent at once", set_busy_buffers_size),
            pass_directives!(@one $prefix, "_force_ranges", Flag, "off", "on|off: whether parts are cut out of answers whatever their Accept-Ranges says", set_force_ranges),
            pass_directives!(@one $prefix, "_hide_header", Exactly(1), "none", "field: does not go from an answer to the client", set_hide_header),
            pass_directives!(@one $prefix, "_ignore_client_abort", Flag, "off", "on|off: whether a server goes on when the client has gone", set_ignore_client_abort),
            pass_directives!(@one $prefix, "_ignore_headers", AtLeast(1), "none", "field ...: of an answer that has no effect here", set_ignore_headers),
            pass_directives!(@one $prefix, "_intercept_errors", Flag, "off", "on|off: whether error_page stands for a server's errors", set_intercept_errors),
            pass_directives!(@one $prefix, "_limit_rate", Exactly(1), "0", "rate: octets of an answer read in a second; 0 is no limit", set_limit_rate),
            pass_directives!(@one $prefix, "_max_temp_file_size", Exactly(1), "1024m", "size: of the file for what is read ahead and memory does not hold; 0 is no file", set_max_temp_file_size),
            pass_directives!(@one $prefix, "_next_upstream", AtLeast(1), "error timeout", "condition ...: when another server is asked", set_next_upstream),
            pass_directives!(@one $prefix, "_pass_header", Exactly(1), "none", "field: goes from an answer to the client all the same", set_pass_header),
            pass_directives!(@one $prefix, "_pass_request_body", Flag, "on", "on|off: whether the request's body is passed on", set_pass_request_body),
            pass_directives!(@one $prefix, "_pass_request_headers", Flag, "on", "on|off: whether the request's fields are passed on", set_pass_request_headers),
            pass_directives!(@one $prefix, "_request_buffering", Flag, "on", "on|off: whether a server is asked only when all of the request's body is here", set_request_buffering),
            pass_directives!(@one $prefix, "_socket_rcvbuf", Exactly(1), "none", "size: SO_RCVBUF of connections to servers", set_socket_rcvbuf),
            pass_directives!(@one $prefix, "_socket_sndbuf", Exactly(1), "none", "size: SO_SNDBUF of connections to servers", set_socket_sndbuf),
            pass_directives!(@one $prefix, "_store", Exactly(1), "off", "on|off|path: whether answers are kept as files", set_store),
            pass_directives!(@one $prefix, "_store_access", Between(1, 3), "user:rw", "users:permissions ...: of files kept", set_store_access),
            pass_directives!(@one $prefix, "_temp_file_write_size", Exactly(1), "16k", "size: checked against the other sizes; files are written as octets come", set_temp_file_write_size),
            pass_directives!(@one $prefix, "_temp_path", Between(1, 4), "client_body_temp_path", "path [level ...]: folder of temporary files; they have no names, so levels have no meaning", set_temp_path),
        ] }
    };
    ($(#[$doc:meta])* static $table:ident: $settings:ty = $prefix:literal, basic; [$($own:expr,)*]) => {
        $(#[$doc])*
        static $table: &[daemun_conf::Directive<$settings>] = &[
            $($own,)*
            pass_directives!(@one $prefix, "_bind", Between(1, 2), "none", "address [transparent]|off: where connections to servers begin", set_bind),
            pass_directives!(@one $prefix, "_buffer_size", Exactly(1), "8k", "size: longest head of an answer", set_buffer_size),
            pass_directives!(@one $prefix, "_connect_timeout", Exactly(1), "60s", "time: for a connection to be made", set_connect_timeout),
            pass_directives!(@one $prefix, "_next_upstream_timeout", Exactly(1), "0", "time: in which another server may be asked; 0 is no limit", set_next_upstream_timeout),
            pass_directives!(@one $prefix, "_next_upstream_tries", Exactly(1), "0", "number: of servers that are asked; 0 is no limit", set_next_upstream_tries),
            pass_directives!(@one $prefix, "_read_timeout", Exactly(1), "60s", "time: between two reads from a server", set_read_timeout),
            pass_directives!(@one $prefix, "_send_timeout", Exactly(1), "60s", "time: between two writes to a server", set_send_timeout),
            pass_directives!(@one $prefix, "_socket_keepalive", Flag, "off", "on|off: whether the system probes idle connections to servers", set_socket_keepalive),
        ];
    };
    (@one $prefix:literal, $name:literal, $arity:ident $(($($number:expr),+))?, $default:literal, $help:literal, $set:ident) => {
        daemun_conf::Directive {
            name: concat!($prefix, $name),
            contexts: daemun_server::config::HTTP_SERVER_LOCATION,
            arity: daemun_conf::Arity::$arity $(($($number),+))?,
            default: $default,
            help: $help,
            set: |settings, arguments| $crate::pass::$set(&mut settings.pass, arguments),
        }
    };
}

pub(crate) use pass_directives;
