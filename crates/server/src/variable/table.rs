//! The http core's variables.

use std::cell::Cell;
use std::net::IpAddr;

use daemun_http::credentials::BasicCredentials;
use daemun_http::{Framing, HeaderId, Headers, StatusCode, date};
use daemun_net::ProxyHeader;
use daemun_net::TcpInfo;

use super::Variable;
use crate::clock;
use crate::log::Level;
use crate::request::Request;

/// Variables of the http core, by name.
pub static CORE_VARIABLES: &[Variable] = &[
    Variable {
        name: "arg_",
        evaluate: |request, name, out| request.argument(name.as_bytes()).is_some_and(|value| put(out, value)),
    },
    Variable { name: "args", evaluate: |request, _, out| put(out, &request.args) },
    Variable { name: "binary_remote_addr", evaluate: binary_remote_addr },
    Variable { name: "body_bytes_sent", evaluate: |request, _, out| number(out, request.sent.body_bytes) },
    Variable { name: "bytes_sent", evaluate: |request, _, out| number(out, request.sent.bytes) },
    Variable { name: "connection", evaluate: |request, _, out| number(out, request.client.serial) },
    Variable {
        name: "connection_requests",
        evaluate: |request, _, out| number(out, u64::from(request.client.requests.get())),
    },
    Variable {
        name: "connection_time",
        evaluate: |request, _, out| seconds(out, clock::monotonic_ms().saturating_sub(request.client.started_ms)),
    },
    Variable { name: "content_length", evaluate: content_length },
    Variable {
        name: "content_type",
        evaluate: |request, _, out| header_by_name(request.headers(), "content_type", out),
    },
    Variable {
        name: "cookie_",
        evaluate: |request, name, out| request.cookie(name.as_bytes()).is_some_and(|value| put(out, value)),
    },
    Variable { name: "document_root", evaluate: |request, _, out| all(out, |out| request.document_root(out)) },
    Variable { name: "document_uri", evaluate: |request, _, out| put(out, &request.uri) },
    Variable { name: "host", evaluate: |request, _, out| put(out, request.host()) },
    Variable { name: "hostname", evaluate: |_, _, out| put(out, rustix::system::uname().nodename().to_bytes()) },
    Variable { name: "http_", evaluate: |request, name, out| header_by_name(request.headers(), name, out) },
    Variable { name: "https", evaluate: |request, _, out| request.is_https && put(out, b"on") },
    Variable {
        name: "is_args",
        evaluate: |request, _, out| put(out, if request.args.is_empty() { b"" } else { b"?" }),
    },
    Variable {
        name: "is_request_port",
        evaluate: |request, _, out| put(out, if request.head.port().is_some() { b":" } else { b"" }),
    },
    Variable {
        name: "limit_rate",
        evaluate: |request, _, out| {
            number(out, request.limit_rate.unwrap_or_else(|| request.core().transfer.limit_rate(request)))
        },
    },
    Variable { name: "msec", evaluate: |_, _, out| seconds(out, clock::unix_ms().unsigned_abs()) },
    Variable { name: "nginx_version", evaluate: |_, _, out| put(out, env!("CARGO_PKG_VERSION").as_bytes()) },
    Variable { name: "pid", evaluate: |_, _, out| number(out, u64::from(std::process::id())) },
    Variable { name: "pipe", evaluate: |request, _, out| put(out, if request.is_pipelined { b"p" } else { b"." }) },
    Variable {
        name: "proxy_protocol_addr",
        evaluate: |request, _, out| proxied(request).is_some_and(|header| put(out, header.source.text.as_bytes())),
    },
    Variable {
        name: "proxy_protocol_port",
        evaluate: |request, _, out| proxied(request).is_some_and(|header| port(out, header.source.port)),
    },
    Variable {
        name: "proxy_protocol_server_addr",
        evaluate: |request, _, out| proxied(request).is_some_and(|header| put(out, header.destination.text.as_bytes())),
    },
    Variable {
        name: "proxy_protocol_server_port",
        evaluate: |request, _, out| proxied(request).is_some_and(|header| port(out, header.destination.port)),
    },
    Variable { name: "proxy_protocol_tlv_", evaluate: proxy_protocol_tlv },
    Variable { name: "query_string", evaluate: |request, _, out| put(out, &request.args) },
    Variable { name: "realpath_root", evaluate: |request, _, out| realpath(request, out) },
    Variable { name: "remote_addr", evaluate: |request, _, out| put(out, request.remote.address.as_bytes()) },
    Variable {
        name: "remote_port",
        evaluate: |request, _, out| request.remote.port.is_some_and(|port| number(out, u64::from(port))),
    },
    Variable { name: "remote_user", evaluate: remote_user },
    Variable { name: "request", evaluate: |request, _, out| put(out, request.head.request_line()) },
    Variable { name: "request_body", evaluate: |request, _, out| request.body.write_text(out) },
    Variable {
        name: "request_body_file",
        evaluate: |request, _, out| {
            request.body.file_path().is_some_and(|path| put(out, path.as_os_str().as_encoded_bytes()))
        },
    },
    Variable {
        name: "request_completion",
        evaluate: |request, _, out| put(out, if request.sent.status == 0 { b"" } else { b"OK" }),
    },
    Variable { name: "request_filename", evaluate: |request, _, out| request.map_path(&request.uri, out) },
    Variable { name: "request_id", evaluate: |request, _, out| put(out, request_id(request).as_bytes()) },
    Variable {
        name: "request_length",
        evaluate: |request, _, out| number(out, request.head.octets() as u64 + request.body.octets_read()),
    },
    Variable {
        name: "request_method",
        evaluate: |request, _, out| put(out, request.clients_method().as_str().as_bytes()),
    },
    Variable {
        name: "request_port",
        evaluate: |request, _, out| request.head.port().is_none_or(|port| number(out, u64::from(port))),
    },
    Variable { name: "request_scheme", evaluate: |request, _, out| put(out, request.scheme().as_bytes()) },
    Variable { name: "request_time", evaluate: |request, _, out| seconds(out, request.elapsed_ms()) },
    Variable { name: "request_uri", evaluate: |request, _, out| put(out, request.head.target()) },
    Variable { name: "scheme", evaluate: |request, _, out| put(out, request.scheme().as_bytes()) },
    Variable { name: "sent_http_", evaluate: |request, name, out| header_by_name(&request.sent.headers, name, out) },
    Variable {
        name: "sent_http_connection",
        evaluate: |request, _, out| {
            if request.client.is_http2() {
                return false;
            }
            let is_upgrade = request.sent.status == StatusCode::SWITCHING_PROTOCOLS.as_u16();
            let value: &[u8] = match request.keep_alive {
                _ if is_upgrade => b"upgrade",
                true => b"keep-alive",
                false => b"close",
            };
            put(out, value)
        },
    },
    Variable {
        name: "sent_trailer_",
        evaluate: |request, name, out| header_by_name(&request.sent.trailers.borrow(), name, out),
    },
    Variable {
        name: "sent_http_content_length",
        evaluate: |request, _, out| request.sent.framing.length.is_some_and(|length| number(out, length)),
    },
    Variable {
        name: "sent_http_keep_alive",
        evaluate: |request, _, out| {
            let time = request.sent.framing.keep_alive;
            time.is_some_and(|seconds| put(out, b"timeout=") && number(out, seconds))
        },
    },
    Variable {
        name: "sent_http_transfer_encoding",
        evaluate: |request, _, out| request.sent.framing.is_chunked && put(out, b"chunked"),
    },
    Variable {
        name: "http2",
        evaluate: |request, _, out| {
            request.client.is_http2() && put(out, if request.client.tls().is_some() { b"h2" } else { b"h2c" })
        },
    },
    Variable { name: "server_addr", evaluate: |request, _, out| put(out, request.client.local_address().as_bytes()) },
    Variable { name: "server_name", evaluate: |request, _, out| put(out, request.server().first_name()) },
    Variable {
        name: "server_port",
        evaluate: |request, _, out| request.client.local_port.is_some_and(|port| number(out, u64::from(port))),
    },
    Variable {
        name: "server_protocol",
        evaluate: |request, _, out| put(out, request.head.version.as_str().as_bytes()),
    },
    Variable { name: "status", evaluate: |request, _, out| status(request, out) },
    Variable {
        name: "tcpinfo_rcv_space",
        evaluate: |request, _, out| tcp_info(request, |info| info.receive_space, out),
    },
    Variable { name: "tcpinfo_rtt", evaluate: |request, _, out| tcp_info(request, |info| info.round_trip_us, out) },
    Variable {
        name: "tcpinfo_rttvar",
        evaluate: |request, _, out| tcp_info(request, |info| info.round_trip_variance_us, out),
    },
    Variable { name: "tcpinfo_snd_cwnd", evaluate: |request, _, out| tcp_info(request, |info| info.send_window, out) },
    Variable { name: "time_iso8601", evaluate: |_, _, out| time_iso8601(out) },
    Variable { name: "time_local", evaluate: |_, _, out| time_local(out) },
    Variable { name: "uri", evaluate: |request, _, out| put(out, &request.uri) },
];

fn put(out: &mut Vec<u8>, value: &[u8]) -> bool {
    out.extend_from_slice(value);
    true
}

fn all(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    write(out);
    true
}

fn number(out: &mut Vec<u8>, value: u64) -> bool {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    put(out, &digits[at..])
}

/// What a proxy in front has said of the connection.
fn proxied(request: &Request) -> Option<&ProxyHeader> {
    request.client.proxy_header()
}

/// A port; nothing for 0, which none has.
fn port(out: &mut Vec<u8>, port: u16) -> bool {
    port == 0 || number(out, u64::from(port))
}

fn proxy_protocol_tlv(request: &Request, name: &str, out: &mut Vec<u8>) -> bool {
    match proxied(request).map(|header| header.tlv(name)) {
        None | Some(Ok(None)) => false,
        Some(Ok(Some(value))) => put(out, &value),
        Some(Err(error)) => {
            request.log(Level::Error, format_args!("{error} \"{name}\""));
            false
        }
    }
}

/// Milliseconds as seconds with three digits behind the point.
fn seconds(out: &mut Vec<u8>, milliseconds: u64) -> bool {
    put(out, format!("{}.{:03}", milliseconds / 1_000, milliseconds % 1_000).as_bytes())
}

fn status(request: &Request, out: &mut Vec<u8>) -> bool {
    let status = request.sent.status.min(999);
    put(out, &[b'0' + (status / 100) as u8, b'0' + (status / 10 % 10) as u8, b'0' + (status % 10) as u8])
}

/// What the kernel knows of the client's connection; nothing over a unix socket.
fn tcp_info(request: &Request, of: fn(&TcpInfo) -> u32, out: &mut Vec<u8>) -> bool {
    request.client.tcp_info().is_some_and(|info| number(out, u64::from(of(&info))))
}

/// The octets of the address.
fn binary_remote_addr(request: &Request, _: &str, out: &mut Vec<u8>) -> bool {
    match request.remote.ip {
        Some(IpAddr::V4(address)) => put(out, &address.octets()),
        Some(IpAddr::V6(address)) => put(out, &address.octets()),
        None => put(out, request.remote.address.as_bytes()),
    }
}

/// The name in `Authorization: Basic`, whether or not its password was looked at.
fn remote_user(request: &Request, _: &str, out: &mut Vec<u8>) -> bool {
    let credentials = request.authorization().and_then(BasicCredentials::parse);
    credentials.is_some_and(|credentials| put(out, credentials.user()))
}

/// As received; of a chunked body, once it has been read.
fn content_length(request: &Request, _: &str, out: &mut Vec<u8>) -> bool {
    header(request.headers(), HeaderId::ContentLength, out)
        || (request.head.framing() == Framing::Chunked
            && request.body.length().is_some_and(|length| number(out, length)))
}

fn header(headers: &Headers, id: HeaderId, out: &mut Vec<u8>) -> bool {
    headers.first(id).is_some_and(|value| put(out, value))
}

/// Appends the value of the field that a variable names; false where there is none.
///
/// `name` is the variable's part: lower case, `_` for `-`. Repeated fields are joined by a comma.
pub fn header_by_name(headers: &Headers, name: &str, out: &mut Vec<u8>) -> bool {
    let is_named = |field: &[u8]| {
        field.len() == name.len()
            && field
                .iter()
                .zip(name.bytes())
                .all(|(octet, wanted)| octet.to_ascii_lowercase() == wanted || (*octet == b'-' && wanted == b'_'))
    };
    let separator: &[u8] = if name == "cookie" { b"; " } else { b", " };
    let mut found = false;
    for field in headers.iter().filter(|field| is_named(field.name)) {
        if found {
            out.extend_from_slice(separator);
        }
        found = put(out, field.value);
    }
    found
}

fn realpath(request: &Request, out: &mut Vec<u8>) -> bool {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut root = Vec::new();
    request.document_root(&mut root);
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(&root));
    std::fs::canonicalize(path).is_ok_and(|real| put(out, &real.into_os_string().into_vec()))
}

/// 32 hexadecimal digits: the process's seed, then the request's number.
fn request_id(request: &Request) -> String {
    format!("{:016x}{:016x}", crate::thread::process_seed(), request.serial)
}

fn time_local(out: &mut Vec<u8>) -> bool {
    thread_local! {
        /// The text of one second: many requests fall into it.
        static TEXT: Cell<(i64, [u8; 26])> = const { Cell::new((i64::MIN, [0; 26])) };
    }
    let now = clock::unix_seconds();
    let (mut second, mut text) = TEXT.get();
    if second != now {
        (second, text) = (now, date::format_log_time(now, clock::utc_offset_minutes(now)));
        TEXT.set((second, text));
    }
    put(out, &text)
}

fn time_iso8601(out: &mut Vec<u8>) -> bool {
    let now = clock::unix_seconds();
    put(out, date::format_iso8601(now, clock::utc_offset_minutes(now)).as_ref())
}
