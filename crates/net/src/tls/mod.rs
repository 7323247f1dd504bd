//! TLS, on rustls and aws-lc-rs: the handshake, the stream, what both sides show and offer.
//!
//! A client that comes in is read up to its hello ([`Greeting`]); whoever serves its name ([`ServerTls`]) finishes the handshake,
//! and what comes of it is a [`crate::Stream`] like any other, with [`TlsFacts`] beside it. Certificates are read by this crate's own
//! reader, [`Certificate`], since OpenSSL's users have some that stricter readers refuse.
//!
//! Left to others: which name is whose, which files texts come from, and what is said to a client whose certificate is not believed.

mod certificate;
mod certified_key;
mod chain;
mod client;
pub mod der;
pub mod distinguished_name;
mod handshake;
mod issue;
pub mod limits;
mod ocsp;
mod offer;
mod peer_signature;
pub mod pem;
mod private_key;
mod revocation;
mod server;
mod sessions;
mod stream;
mod tickets;

pub use certificate::{Certificate, CertificateExtensions, certificates, fingerprint};
pub use certified_key::{CertifiedKey, CertifiedKeyError};
pub use chain::{Purpose, Trust, VerifyError, is_for_host};
pub use client::{ClientTls, ClientTlsSettings, ConnectError};
pub use handshake::{Greeting, HandshakeError, TlsFacts, begins_handshake};
pub use issue::{Authority, IssueError, Issued};
pub use ocsp::{CertificateStatus, StatusAnswer, StatusError, StatusQuestion};
pub use offer::{Offer, Unavailable};
pub use private_key::PrivateKeyError;
pub use revocation::RevocationList;
pub use server::{ServerTls, ServerTlsSettings};
pub use sessions::SessionCache;
pub use stream::TlsStream;
pub use tickets::{TicketKey, TicketKeys};
