//! Finds the process that holds a busy address, by reading /proc.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::ListenAddress;

/// A process that listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its short command name.
    pub command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({})", self.pid, self.command)
    }
}

/// Names the process that listens on `address`.
///
/// `None` if nobody does, or if /proc hides it: without root, the descriptors of other users' processes are not shown.
#[must_use]
pub fn holder_of(address: &ListenAddress) -> Option<Holder> {
    let inodes = listening_inodes(address);
    if inodes.is_empty() {
        return None;
    }
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if has_descriptor(&entry.path(), &wanted) {
            let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(Holder { pid, command: command.trim_end().to_owned() });
        }
    }
    None
}

fn has_descriptor(process: &Path, wanted: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        fs::read_link(descriptor.path())
            .is_ok_and(|target| wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str()))
    })
}

fn listening_inodes(address: &ListenAddress) -> Vec<u64> {
    match address {
        ListenAddress::Tcp(address) => ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .flat_map(|table| tcp_inodes(&table, address.port()))
            .collect(),
        ListenAddress::Unix(path) => {
            fs::read_to_string("/proc/net/unix").map(|table| unix_inodes(&table, path)).unwrap_or_default()
        }
    }
}

/// Inodes of listening sockets with this port; wildcard and specific addresses conflict, so the address is not compared.
fn tcp_inodes(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let local = fields.nth(1)?;
            let state = fields.nth(1)?;
            let inode = fields.nth(5)?.parse().ok()?;
            let (_, local_port) = local.rsplit_once(':')?;
            (state == LISTEN && u16::from_str_radix(local_port, 16) == Ok(port)).then_some(inode)
        })
        .collect()
}

fn unix_inodes(table: &str, path: &Path) -> Vec<u64> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let inode = fields.nth(6)?.parse().ok()?;
            (Path::new(fields.next()?) == path).then_some(inode)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_line_gives_its_inode() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0\n   \
             1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4343 1 0 100 0 0 10 0\n";
        assert_eq!(tcp_inodes(table, 8080), [4242]);
        assert!(tcp_inodes(table, 80).is_empty());
    }

    #[test]
    fn our_own_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let holder = holder_of(&ListenAddress::Tcp(address)).expect("we hold it");
        assert_eq!(holder.pid, std::process::id());
    }
}
