//! Sockets: where clients come in, and the system calls that move their bytes.
//!
//! The master binds a [`ListenerSet`] while it is still root; the edge inherits the descriptors, turns each into an
//! [`Acceptor`] per event-loop thread and gets [`Stream`]s with the [`PeerAddress`] of the client from it. Beside that stand
//! the few calls tokio lacks: [`send_file`], descriptor passing and socket options.
//!
//! Left to others: what is read from a stream (`http`), which address to listen on (`conf`, `server`), when to stop
//! accepting (`server`), when to remove a socket file (`master`). This crate parses no protocol but the header of PROXY, which says
//! who a client is, and TLS ([`tls`]), and keeps no state but TLS sessions.

mod acceptor;
mod address;
mod connect;
mod courier;
mod datagrams;
mod error;
mod holder;
mod inheritance;
pub mod limits;
mod listener;
mod listener_set;
pub mod local_time;
mod options;
mod passing;
mod proxy_protocol;
mod socket_file;
mod stream;
pub mod tls;
mod transfer;
mod waiting_sockets;
mod watched;

pub use acceptor::Acceptor;
pub use address::{ListenAddress, PeerAddress};
pub use connect::ConnectOptions;
pub use courier::{Courier, Parcel};
pub use datagrams::{DatagramAddressError, Datagrams};
pub use error::{BindError, SystemCause};
pub use holder::{Holder, holder_of};
pub use inheritance::{INHERITANCE_VARIABLE, Inheritance, bequest, inherit};
pub use listener::{BindOptions, Listener};
pub use listener_set::ListenerSet;
pub use options::{Credentials, TcpInfo, peer_credentials, set_cork, set_no_delay, set_quick_ack, tcp_info};
pub use passing::{DESCRIPTORS_MAX, Received, receive_with_descriptors, send_with_descriptors};
pub use proxy_protocol::{ProxyEndpoint, ProxyHeader, ProxyHeaderError, ProxyHeaderStep, TlvError, read_proxy_header};
pub use socket_file::{SocketFile, refusal_on_path};
pub use stream::Stream;
pub use transfer::send_file;
pub use waiting_sockets::{Socket, WaitingSockets};
pub use watched::{watch_for_reading, watch_for_writing};
