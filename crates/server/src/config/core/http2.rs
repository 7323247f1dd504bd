//! `http2` and its neighbours.

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};

use super::{Core, HTTP_SERVER, HTTP_SERVER_LOCATION};
use crate::config::inherit;

/// HTTP/2 with the clients of one server. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Http2 {
    is_on: Option<bool>,
    max_concurrent_streams: Option<u64>,
    body_preread_size: Option<u64>,
    chunk_size: Option<u64>,
    recv_buffer_size: Option<u64>,
    /// What is read and says nothing here.
    pool_size: Option<u64>,
    streams_index_size: Option<u64>,
}

pub(super) const DIRECTIVES: &[Directive<Core>] = &[
    Directive {
        name: "http2",
        contexts: HTTP_SERVER,
        arity: Arity::Flag,
        default: "off",
        help: "on|off: HTTP/2 is spoken to clients that begin with it, or choose it by ALPN",
        set: |core, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut core.http2.is_on, flag)
        },
    },
    Directive {
        name: "http2_max_concurrent_streams",
        contexts: HTTP_SERVER,
        arity: Arity::Exactly(1),
        default: "128",
        help: "number: requests of one connection that are answered at the same time",
        set: |core, arguments| {
            let number = arguments.number(0, 1..=u64::from(u32::MAX / 4))?;
            arguments.set_once(&mut core.http2.max_concurrent_streams, number)
        },
    },
    Directive {
        name: "http2_body_preread_size",
        contexts: HTTP_SERVER,
        arity: Arity::Exactly(1),
        default: "64k",
        help: "size: octets of a request body that a client may send before anybody reads them",
        set: |core, arguments| {
            let size = arguments.size(0)?;
            if size > u64::from(daemun_http::http2::frame::WINDOW_MAX) {
                return Err(ArgumentError::new(
                    Some(0),
                    "the maximum body preread buffer size is 2147483647".to_owned(),
                ));
            }
            arguments.set_once(&mut core.http2.body_preread_size, size)
        },
    },
    Directive {
        name: "http2_chunk_size",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "8k",
        help: "size: the largest piece of an answer that goes out at once",
        set: |core, arguments| {
            let size = arguments.size(0)?;
            if !(1..=CHUNK_SIZE_MAX).contains(&size) {
                let text = match size {
                    0 => "the http2 chunk size cannot be zero".to_owned(),
                    _ => format!("the maximum http2 chunk size is {CHUNK_SIZE_MAX}"),
                };
                return Err(ArgumentError::new(Some(0), text));
            }
            arguments.set_once(&mut core.http2.chunk_size, size)
        },
    },
    Directive {
        name: "http2_recv_buffer_size",
        contexts: Context::HTTP,
        arity: Arity::Exactly(1),
        default: "256k",
        help: "size: octets that are taken from one connection before others have their turn",
        set: |core, arguments| {
            let size = arguments.size(0)?;
            if size < RECV_BUFFER_SIZE_MIN {
                return Err(ArgumentError::new(
                    Some(0),
                    format!("the http2 recv buffer size must be at least {RECV_BUFFER_SIZE_MIN}"),
                ));
            }
            arguments.set_once(&mut core.http2.recv_buffer_size, size)
        },
    },
    Directive {
        name: "http2_pool_size",
        contexts: HTTP_SERVER,
        arity: Arity::Exactly(1),
        default: "4k",
        help: "size: read and not used, there are no pools here",
        set: |core, arguments| {
            let size = arguments.size(0)?;
            arguments.set_once(&mut core.http2.pool_size, size)
        },
    },
    Directive {
        name: "http2_streams_index_size",
        contexts: HTTP_SERVER,
        arity: Arity::Exactly(1),
        default: "32",
        help: "number: read and not used, streams are found without",
        set: |core, arguments| {
            let size = arguments.number(0, 1..=u64::from(u32::MAX))?;
            arguments.set_once(&mut core.http2.streams_index_size, size)
        },
    },
    obsolete("http2_max_requests", HTTP_SERVER, Arity::Exactly(1), |_, arguments| {
        superseded(arguments, "keepalive_requests")
    }),
    obsolete("http2_idle_timeout", HTTP_SERVER, Arity::Exactly(1), |_, arguments| {
        superseded(arguments, "keepalive_timeout")
    }),
    obsolete("http2_recv_timeout", HTTP_SERVER, Arity::Exactly(1), |_, arguments| {
        superseded(arguments, "client_header_timeout")
    }),
    obsolete("http2_max_field_size", HTTP_SERVER, Arity::Exactly(1), |_, arguments| {
        superseded(arguments, "large_client_header_buffers")
    }),
    obsolete("http2_max_header_size", HTTP_SERVER, Arity::Exactly(1), |_, arguments| {
        superseded(arguments, "large_client_header_buffers")
    }),
    obsolete("http2_max_concurrent_pushes", HTTP_SERVER, Arity::Exactly(1), |_, arguments| ignored(arguments)),
    obsolete("http2_push", HTTP_SERVER_LOCATION, Arity::Exactly(1), |_, arguments| ignored(arguments)),
    obsolete("http2_push_preload", HTTP_SERVER_LOCATION, Arity::Exactly(1), |_, arguments| ignored(arguments)),
];

type Setter = fn(&mut Core, &mut Arguments<'_>) -> Result<(), ArgumentError>;

const fn obsolete(name: &'static str, contexts: Context, arity: Arity, set: Setter) -> Directive<Core> {
    Directive { name, contexts, arity, default: "none", help: "obsolete: a warning, and nothing else", set }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of every setter")]
fn superseded(arguments: &mut Arguments<'_>, by: &str) -> Result<(), ArgumentError> {
    let text = format!("the \"{}\" directive is obsolete, use the \"{by}\" directive instead", arguments.name());
    arguments.warn(text);
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of every setter")]
fn ignored(arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let text = format!("the \"{}\" directive is obsolete, ignored", arguments.name());
    arguments.warn(text);
    Ok(())
}

impl Http2 {
    pub(super) fn merge(parent: &Self, child: &mut Self) {
        inherit!(parent, child;
            is_on, max_concurrent_streams, body_preread_size, chunk_size, recv_buffer_size, pool_size, streams_index_size);
    }

    /// Whether it is spoken.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.is_on.unwrap_or(false)
    }

    /// Requests of one connection at the same time.
    #[must_use]
    pub fn max_concurrent_streams(&self) -> u32 {
        u32::try_from(self.max_concurrent_streams.unwrap_or(128)).unwrap_or(u32::MAX / 4)
    }

    /// The window of a new stream, in octets.
    #[must_use]
    pub fn body_preread_size(&self) -> u32 {
        u32::try_from(self.body_preread_size.unwrap_or(64 * 1024)).unwrap_or(daemun_http::http2::frame::WINDOW_MAX)
    }

    /// Octets of the largest DATA frame.
    #[must_use]
    pub fn chunk_size(&self) -> usize {
        usize::try_from(self.chunk_size.unwrap_or(8 * 1024)).unwrap_or(8 * 1024)
    }

    /// Octets that one turn takes from a connection.
    #[must_use]
    pub fn recv_buffer_size(&self) -> usize {
        usize::try_from(self.recv_buffer_size.unwrap_or(256 * 1024)).unwrap_or(usize::MAX)
    }
}

const CHUNK_SIZE_MAX: u64 = daemun_http::http2::frame::FRAME_BYTES_MAX as u64;
const RECV_BUFFER_SIZE_MIN: u64 = 16 * 2;
