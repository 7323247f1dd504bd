//! Real sockets: binding, stale files, busy addresses, what is left behind.
#![allow(clippy::unwrap_used)] // a failing call is a failing test

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use daemun_net::{BindError, BindOptions, ListenAddress, Listener, ListenerSet};

fn free_port() -> ListenAddress {
    ListenAddress::Tcp("127.0.0.1:0".parse().unwrap())
}

fn unix(path: &Path) -> ListenAddress {
    ListenAddress::Unix(path.to_path_buf())
}

#[test]
fn port_zero_is_replaced_by_the_port_given() {
    let listener = Listener::bind(&free_port(), &BindOptions::default()).unwrap();
    let ListenAddress::Tcp(address) = listener.address() else { panic!("a TCP address") };
    assert_ne!(address.port(), 0);
    TcpStream::connect(address).unwrap();
}

#[test]
fn every_tcp_option_is_taken() {
    let options = BindOptions {
        reuse_port: true,
        keep_alive: true,
        deferred: true,
        receive_buffer_bytes: Some(65536),
        send_buffer_bytes: Some(65536),
        ..BindOptions::default()
    };
    let first = Listener::bind(&free_port(), &options).unwrap();
    Listener::bind(first.address(), &options).expect("reuseport allows a second socket");
}

#[test]
fn a_busy_port_names_address_and_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ListenAddress::Tcp(holder.local_addr().unwrap());
    let error = Listener::bind(&address, &BindOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("bind() to {address} failed (98: Address already in use)")), "{error}");
    assert!(error.contains(&format!("held by pid {} (", std::process::id())), "{error}");
}

#[test]
fn a_unix_socket_has_its_mode_and_takes_clients() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let options = BindOptions { mode: Some(0o666), ..BindOptions::default() };
    let listener = Listener::bind(&unix(&path), &options).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o666);
    UnixStream::connect(&path).unwrap();
    drop(listener);
    assert!(path.exists(), "dropping a copy does not remove the file");
}

#[test]
fn a_stale_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    drop(UnixListener::bind(&path).unwrap());
    Listener::bind(&unix(&path), &BindOptions::default()).unwrap();
}

#[test]
fn a_socket_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let _holder = UnixListener::bind(&path).unwrap();
    let error = Listener::bind(&unix(&path), &BindOptions::default()).unwrap_err();
    assert!(
        matches!(&error, BindError::InUse { holder: Some(holder), .. } if holder.pid == std::process::id()),
        "{error}"
    );
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_plain_file_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    std::fs::write(&path, "precious").unwrap();
    let error = Listener::bind(&unix(&path), &BindOptions::default()).unwrap_err();
    assert!(matches!(error, BindError::NotASocket { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_missing_folder_and_a_long_path_are_named() {
    let error = Listener::bind(&unix(Path::new("/run/no-such-folder/x.sock")), &BindOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bind() to unix:/run/no-such-folder/x.sock failed (2: No such file or directory), \"/run/no-such-folder\" does not exist"
    );
    let long = format!("/tmp/{}", "x".repeat(120));
    let error = Listener::bind(&unix(Path::new(&long)), &BindOptions::default()).unwrap_err();
    assert!(error.to_string().ends_with("the path is longer than 107 bytes"), "{error}");
}

#[test]
fn a_set_is_bound_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let wanted = [unix(&path), ListenAddress::Tcp(busy.local_addr().unwrap()), unix(Path::new("/no/where"))];
    let options = BindOptions::default();
    let errors = ListenerSet::bind(wanted.iter().map(|address| (address, &options))).unwrap_err();
    assert_eq!(errors.len(), 2, "every error is reported");
    assert!(!path.exists(), "the socket file of the good one is gone");

    let set = ListenerSet::bind([(&wanted[0], &options), (&free_port(), &options)]).unwrap();
    assert_eq!(set.len(), 2);
    assert!(set.find(&wanted[0]).is_some());
    assert_eq!(set.socket_files()[0].path(), path);
}

#[test]
fn an_inherited_socket_can_be_adopted() {
    let listener = Listener::bind(&free_port(), &BindOptions::default()).unwrap();
    let address = listener.address().clone();
    let adopted = Listener::adopt(listener.into()).unwrap();
    assert_eq!(*adopted.address(), address);
    let (one, _other) = UnixStream::pair().unwrap();
    Listener::adopt(one.into()).expect_err("a nameless socket is not a listener");
}

#[test]
fn a_file_is_sent_from_an_offset() {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, b"0123456789").unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut offset = 4;
    assert_eq!(daemun_net::send_file(&near, &file, &mut offset, 3).unwrap(), 3);
    assert_eq!(offset, 7);
    assert_eq!(daemun_net::send_file(&near, &file, &mut offset, 100).unwrap(), 3);
    assert_eq!(daemun_net::send_file(&near, &file, &mut offset, 100).unwrap(), 0, "the end of the file");
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text).unwrap();
    assert_eq!(text, "456789");
}

#[test]
fn descriptors_travel() {
    use std::os::fd::AsFd;
    let (near, far) = UnixStream::pair().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    daemun_net::send_with_descriptors(&near, b"take this", &[writer.as_fd()]).unwrap();
    drop(writer);
    let mut buffer = [0; 64];
    let received = daemun_net::receive_with_descriptors(&far, &mut buffer).unwrap();
    assert_eq!(&buffer[..received.length], b"take this");
    assert_eq!(received.descriptors.len(), 1);
    assert!(!received.truncated);
    drop(received);
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0, "the last writer is closed");

    let many = vec![near.as_fd(); daemun_net::DESCRIPTORS_MAX + 1];
    daemun_net::send_with_descriptors(&near, b"x", &many).expect_err("too many");
    assert_eq!(daemun_net::peer_credentials(&far).unwrap().pid as u32, std::process::id());
}

#[tokio::test(flavor = "current_thread")]
async fn an_acceptor_gives_streams_with_their_peer() {
    use tokio::io::AsyncReadExt;
    let acceptor = {
        let listener = Listener::bind(&free_port(), &BindOptions::default()).unwrap();
        daemun_net::Acceptor::new(listener).unwrap()
    };
    let ListenAddress::Tcp(address) = *acceptor.address() else { panic!("a TCP address") };
    let client = TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut &client, b"hello").unwrap();
    let (mut stream, peer) = acceptor.accept().await.unwrap();
    assert_eq!(peer, client.local_addr().unwrap().into());
    daemun_net::set_no_delay(&stream, true).unwrap();
    daemun_net::set_cork(&stream, true).unwrap();
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
}
