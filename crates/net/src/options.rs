//! Socket options that are set while a connection lives, and what a unix socket tells of its peer.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::sockopt;

/// Turns Nagle's delay off (`true`) or on.
///
/// # Errors
///
/// On anything but a TCP socket.
pub fn set_no_delay(socket: impl AsFd, on: bool) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(socket, on)?)
}

/// Holds back partial frames (`true`) until the option is taken off again: a head and the file after it share packets.
///
/// # Errors
///
/// On anything but a TCP socket.
pub fn set_cork(socket: impl AsFd, on: bool) -> io::Result<()> {
    Ok(sockopt::set_tcp_cork(socket, on)?)
}

/// Acknowledges at once (`true`) instead of waiting for an answer to carry the acknowledgement.
///
/// # Errors
///
/// On anything but a TCP socket.
pub fn set_quick_ack(socket: impl AsFd, on: bool) -> io::Result<()> {
    Ok(sockopt::set_tcp_quickack(socket, on)?)
}

/// Who was at the other end of a unix socket when it was connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Process id.
    pub pid: i32,
    /// Effective user id.
    pub user: u32,
    /// Effective group id.
    pub group: u32,
}

/// The peer's credentials as the kernel recorded them.
///
/// # Errors
///
/// On anything but a connected unix socket.
pub fn peer_credentials(socket: impl AsFd) -> io::Result<Credentials> {
    let peer = sockopt::socket_peercred(socket)?;
    Ok(Credentials { pid: peer.pid.as_raw_nonzero().get(), user: peer.uid.as_raw(), group: peer.gid.as_raw() })
}

/// Makes a listening TCP socket hand over connections only once they have sent something, or after `seconds`.
#[allow(unsafe_code)] // rustix has no such option
pub(crate) fn set_deferred(socket: impl AsFd, seconds: i32) -> io::Result<()> {
    let descriptor = socket.as_fd().as_raw_fd();
    let size = size_of_val(&seconds) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call, and the kernel reads `size` bytes of `seconds`.
    let result = unsafe {
        libc::setsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, (&raw const seconds).cast(), size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel knows of a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// Time of a round trip, smoothed, in microseconds.
    pub round_trip_us: u32,
    /// How much it varies, in microseconds.
    pub round_trip_variance_us: u32,
    /// The congestion window in segments.
    pub send_window: u32,
    /// Room for what is received, in octets.
    pub receive_space: u32,
}

/// What the kernel knows of the connection.
///
/// # Errors
///
/// On anything but a TCP socket.
#[allow(unsafe_code)] // rustix has no such option
pub fn tcp_info(socket: impl AsFd) -> io::Result<TcpInfo> {
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut size = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call, and the kernel writes at most `size` bytes of `info`.
    let result = unsafe {
        libc::getsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut size)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(TcpInfo {
        round_trip_us: info.tcpi_rtt,
        round_trip_variance_us: info.tcpi_rttvar,
        send_window: info.tcpi_snd_cwnd,
        receive_space: info.tcpi_rcv_space,
    })
}
