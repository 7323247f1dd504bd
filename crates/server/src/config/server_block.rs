//! What a `server` block says of itself: where it listens and how it is called.

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive, Span};

use super::listen::{self, Listen};

/// `listen` and `server_name` of one server.
#[derive(Default)]
pub struct ServerBlock {
    /// Where it listens; empty means port 80, or 8000 without root.
    pub listens: Vec<(Listen, Span)>,
    /// Its names as written.
    pub names: Vec<(String, Span)>,
}

/// Directives that stand in `server` alone.
pub static DIRECTIVES: &[Directive<ServerBlock>] = &[
    Directive {
        name: "listen",
        contexts: Context::SERVER,
        arity: Arity::AtLeast(1),
        default: "*:80 | *:8000",
        help: "address[:port]|port|unix:path [default_server] [proxy_protocol] [uwsgi|scgi|fastcgi] [backlog=n] ...: where the server listens, and what is spoken there if not HTTP",
        set: set_listen,
    },
    Directive {
        name: "server_name",
        contexts: Context::SERVER,
        arity: Arity::AtLeast(1),
        default: "\"\"",
        help: "name ...: exact, *.wildcard, wildcard.*, .both, or ~regular expression",
        set: set_server_name,
    },
];

fn set_listen(server: &mut ServerBlock, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let listen = listen::parse(arguments)?;
    for earlier in &server.listens {
        if earlier.0.addresses.iter().any(|address| listen.addresses.contains(address)) {
            return Err(ArgumentError::new(Some(0), format!("a duplicate listen {}", arguments.text(0)?)));
        }
    }
    server.listens.push((listen, arguments.span()));
    Ok(())
}

fn set_server_name(server: &mut ServerBlock, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    for word in arguments.words() {
        let name = if word.text == "$hostname" {
            rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase()
        } else {
            word.text.clone()
        };
        server.names.push((name, word.span));
    }
    Ok(())
}
