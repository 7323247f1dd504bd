//! Where a pool listens: names for `uwsgi_pass`, listeners for the edge.

use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use daemun_master::Identity;
use daemun_net::{BindOptions, ListenAddress};
use daemun_server::backend::{BackendId, BodyTransfer, SocketName};
use daemun_server::config::PoolListener;
use daemun_server::listener::Protocol as ListenerProtocol;
use daemun_server::phase::Step;
use daemun_server::{LocalFuture, Outcome, Request};

use crate::definition::Definition;
use crate::environment::ListenerEnvironment;
use crate::error::PoolError;
use crate::options::{Protocol, SocketAddress};

/// Where a pool is to be found: all that a build of the configuration needs of it, in whatever process.
#[derive(Clone, Debug)]
pub struct PoolPlace {
    /// Its number.
    pub id: BackendId,
    /// The names by which `uwsgi_pass` finds it.
    pub names: Vec<SocketName>,
    listeners: Vec<(ListenAddress, BindOptions, ListenerProtocol)>,
}

impl PoolPlace {
    /// The pool's own listeners.
    #[must_use]
    pub fn listeners(&self) -> Vec<PoolListener> {
        let of = |(address, options, protocol): &(ListenAddress, BindOptions, ListenerProtocol)| PoolListener {
            address: address.clone(),
            options: options.clone(),
            protocol: *protocol,
            content: Box::new(PoolContent { id: self.id }),
            filters: Vec::new(),
            log: None,
        };
        self.listeners.iter().map(of).collect()
    }
}

impl Definition {
    /// Where the pool is to be found.
    ///
    /// # Errors
    /// [`PoolError::Address`], and [`PoolError::Identity`] for the owner of a socket.
    pub fn place(&self) -> Result<PoolPlace, PoolError> {
        let mut names = vec![SocketName::Pool(self.name.clone())];
        let mut listeners = Vec::new();
        for socket in &self.options.sockets {
            let protocol = match socket.protocol.unwrap_or(self.options.protocol) {
                Protocol::Uwsgi => ListenerProtocol::Uwsgi,
                Protocol::Http => ListenerProtocol::Http,
                Protocol::Scgi => ListenerProtocol::Scgi,
                Protocol::FastCgi => ListenerProtocol::FastCgi,
            };
            for address in self.listen_addresses(&socket.address)? {
                names.push(match &address {
                    ListenAddress::Tcp(address) => SocketName::Inet(*address),
                    ListenAddress::Unix(path) => SocketName::Unix(path.clone()),
                });
                listeners.push((address, self.bind_options()?, protocol));
            }
        }
        Ok(PoolPlace { id: self.id, names, listeners })
    }

    fn bind_options(&self) -> Result<BindOptions, PoolError> {
        let owner = if Identity::can_switch() { self.socket_owner()? } else { None };
        let owner = owner.map(|identity| (identity.user, identity.group));
        let (backlog, mode) = (self.options.listen, self.options.chmod_socket);
        Ok(BindOptions { backlog, mode, owner, ..BindOptions::default() })
    }

    fn listen_addresses(&self, address: &SocketAddress) -> Result<Vec<ListenAddress>, PoolError> {
        let error = |reason: &str| PoolError::Address { address: address.to_string(), reason: reason.to_owned() };
        match address {
            SocketAddress::Unix(path) => Ok(vec![ListenAddress::Unix(self.below_chdir(path))]),
            SocketAddress::Tcp { host, port } => match address.tcp() {
                Some(address) => Ok(vec![ListenAddress::Tcp(address)]),
                None => {
                    let found =
                        (host.as_str(), *port).to_socket_addrs().map_err(|reason| error(&reason.to_string()))?;
                    Ok(found.take(1).map(ListenAddress::Tcp).collect())
                }
            },
            SocketAddress::Abstract(_) => Err(error("abstract sockets are not supported by daemun yet")),
            SocketAddress::Descriptor(_) => Err(error("inherited sockets are not supported by daemun yet")),
        }
    }

    fn below_chdir(&self, path: &Path) -> PathBuf {
        match &self.options.chdir {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        }
    }
}

/// The content handler of a pool's own listeners.
struct PoolContent {
    id: BackendId,
}

impl Step for PoolContent {
    fn name(&self) -> &'static str {
        "application"
    }

    fn run(&self, _: &mut Request) -> Option<Outcome> {
        None
    }

    fn start<'a>(&'a self, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
        Rc::clone(&request.runtime.backends[self.id.0]).call(request, &ListenerEnvironment, BodyTransfer::Buffered)
    }
}
