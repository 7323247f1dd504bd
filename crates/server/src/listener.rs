//! Where connections come in, as the configuration says it.

use daemun_net::{BindOptions, ListenAddress};

/// A listener: address, socket options, protocol.
#[derive(Clone, Debug)]
pub struct ListenerSetting {
    /// Where it listens.
    pub address: ListenAddress,
    /// How the socket is bound.
    pub options: BindOptions,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Whether each connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Whether connections are encrypted.
    pub is_tls: bool,
    /// Whether HTTP/2 is spoken, whatever the servers say.
    pub http2: bool,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.
    Http,
    /// The uwsgi protocol.
    Uwsgi,
    /// SCGI.
    Scgi,
    /// FastCGI.
    FastCgi,
}

impl Protocol {
    /// Its name as `listen` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Uwsgi => "uwsgi",
            Self::Scgi => "scgi",
            Self::FastCgi => "fastcgi",
        }
    }

    /// The protocol that `listen` calls by this name; HTTP needs none.
    #[must_use]
    pub fn of_gateway(name: &str) -> Option<Self> {
        [Self::Uwsgi, Self::Scgi, Self::FastCgi].into_iter().find(|protocol| protocol.name() == name)
    }
}
