//! TLS as a virtual server has it: a feature makes it of directives, the connection obeys it.

pub mod certificates;
mod choice;
pub mod command;
pub mod status;

use daemun_net::tls::{CertifiedKey, ServerTls, Trust};

pub use choice::OfferChoice;

use crate::request::Request;

/// How a virtual server speaks TLS.
#[derive(Default)]
pub struct VirtualTls {
    /// What it shows and offers; `None` where it has no certificate.
    pub server: Option<ServerTls>,
    /// Whether whoever asks for it is turned away in the handshake.
    pub rejects_handshake: bool,
    /// Where certificates come from whose names have variables, in place of those of `server`.
    pub keys: Option<Box<dyn KeySource>>,
    /// What is asked of clients; `None`: nothing.
    pub clients: Option<Clients>,
}

/// Finds certificates for a connection.
pub trait KeySource: Send + Sync {
    /// The chains and keys; `request` stands for the connection.
    ///
    /// # Errors
    /// Why there are none, in words.
    fn keys(&self, request: &Request) -> Result<Vec<CertifiedKey>, String>;
}

/// Which certificates clients must show.
pub struct Clients {
    /// Whether they must.
    pub verification: ClientVerification,
    /// Whom they must come from.
    pub trust: Trust,
    /// Whether and where their statuses are asked for.
    pub status: Option<status::StatusCheck>,
}

/// `ssl_verify_client`, where it is not `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientVerification {
    /// A client must have one, and it must be good.
    On,
    /// Where it has one, it must be good.
    Optional,
    /// Where it has one, whoever it comes from is somebody else's concern.
    OptionalNoAuthority,
}
