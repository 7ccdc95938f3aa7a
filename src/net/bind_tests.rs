use super::*;
use crate::config::Config;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

fn bind(server: &Server, workers: u16) -> Result<Bound, BindError> {
    super::bind(server, workers, &Handed::default())
}

fn server(bind: Vec<BindAddress>) -> Server {
    Server { bind, ..Config::default().server }
}

fn tcp(host: &str, port: u16) -> BindAddress {
    BindAddress::Tcp { host: host.into(), port }
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ferricorn-bind-{name}-{}", process::own_pid()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn all_slots_share_the_port_that_the_kernel_chose() {
    let bound = bind(&server(vec![tcp("127.0.0.1", 0)]), 3).unwrap();
    let [Listener::PerSlot { address, sockets, .. }] = bound.listeners.iter().as_slice() else {
        panic!("not one TCP listener: {bound:?}")
    };
    assert_ne!(address.port(), 0);
    assert_eq!(sockets.keys().copied().collect::<Vec<_>>(), [Slot(1), Slot(2), Slot(3)]);
    for socket in sockets.values() {
        assert_eq!(socket::local_tcp(socket.as_fd()).unwrap(), *address);
    }
}

#[test]
fn a_second_server_on_a_port_is_refused_and_the_first_named() {
    let first = bind(&server(vec![tcp("127.0.0.1", 0)]), 2).unwrap();
    let SocketName::Tcp(address) = first.listeners.get(0).unwrap().name() else { panic!("not TCP") };
    for host in ["127.0.0.1", "0.0.0.0", ""] {
        let error = bind(&server(vec![tcp(host, address.port())]), 2).unwrap_err().to_string();
        let expected = format!("in use by pid {} (", process::own_pid());
        assert!(error.contains(&expected), "{host}: {error}");
    }
}

#[test]
fn two_starts_at_once_cannot_both_pass() {
    let free = bind(&server(vec![tcp("127.0.0.1", 0)]), 1).unwrap();
    let SocketName::Tcp(address) = free.listeners.get(0).unwrap().name() else { panic!("not TCP") };
    drop(free);
    let _other = lock(&address.to_string()).unwrap();
    let error = bind(&server(vec![tcp("127.0.0.1", address.port())]), 1).unwrap_err();
    assert!(matches!(error, BindError::BeingTaken { .. }), "{error}");
}

#[test]
fn a_name_is_bound_and_a_wrong_one_refused() {
    let bound = bind(&server(vec![tcp("localhost", 0)]), 1).unwrap();
    assert!(bound.listeners.iter().count() >= 1);
    let error = bind(&server(vec![tcp("no-such-name.invalid", 0)]), 1).unwrap_err();
    assert!(matches!(error, BindError::Resolve { .. }), "{error}");
    let error = bind(&server(vec![tcp("192.0.2.1", 0)]), 1).unwrap_err();
    assert!(matches!(error, BindError::Other { .. }), "{error}");
}

#[test]
fn both_families_can_have_the_same_port() {
    let probe = bind(&server(vec![tcp("127.0.0.1", 0)]), 1).unwrap();
    let SocketName::Tcp(address) = probe.listeners.get(0).unwrap().name() else { panic!("not TCP") };
    drop(probe);
    if socket::probe_tcp("[::1]:0".parse().unwrap(), Families::One).is_err() {
        println!("skipped: no IPv6 on this machine");
        return;
    }
    let both = bind(&server(vec![tcp("0.0.0.0", address.port()), tcp("::", address.port())]), 2).unwrap();
    assert_eq!(both.listeners.iter().count(), 2);
    drop(both);
    let dual = bind(&server(vec![tcp("::", 0)]), 1).unwrap();
    let SocketName::Tcp(address) = dual.listeners.get(0).unwrap().name() else { panic!("not TCP") };
    std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).unwrap();
}

#[test]
fn unix_paths_are_replaced_when_stale_and_refused_when_live() {
    let folder = scratch("unix");
    let path = folder.join("app.sock");
    let server = server(vec![BindAddress::Unix(path.clone())]);
    let first = bind(&server, 2).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    let error = bind(&server, 2).unwrap_err().to_string();
    assert!(error.contains(&format!("in use by pid {}", process::own_pid())), "{error}");
    let Bound { listeners, files } = first;
    drop(listeners);
    let second = bind(&server, 2).unwrap();
    files.remove();
    assert!(path.exists(), "another server's path is left alone");
    second.files.remove();
    assert!(!path.exists());
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let folder = scratch("file");
    let path = folder.join("notes.txt");
    fs::write(&path, "precious").unwrap();
    let error = bind(&server(vec![BindAddress::Unix(path.clone())]), 1).unwrap_err();
    assert!(matches!(error, BindError::NoSocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_failed_start_removes_its_paths() {
    let folder = scratch("undo");
    let path = folder.join("app.sock");
    let both = server(vec![BindAddress::Unix(path.clone()), BindAddress::Inherited(54_321)]);
    assert!(bind(&both, 1).is_err());
    assert!(!path.exists());
    fs::remove_dir_all(&folder).unwrap();
}

/// A descriptor of the same socket, as a service manager hands it over under this name.
fn handed_again(name: String, socket: BorrowedFd<'_>) -> HandedSocket {
    HandedSocket { number: socket.try_clone_to_owned().unwrap().into_raw_fd(), name }
}

/// What the manager hands over when it has kept the sockets of a server.
fn kept(bound: &Bound) -> Handed {
    let sockets = stored::sockets(&bound.listeners);
    let sockets = sockets.into_iter().map(|(name, socket)| handed_again(name, socket)).collect();
    Handed { sockets, ..Handed::default() }
}

#[test]
fn kept_sockets_are_the_next_servers_with_all_that_waits_in_them() {
    let folder = scratch("kept");
    let path = folder.join("app:1 \u{e9}.sock");
    let first = bind(&server(vec![tcp("127.0.0.1", 0), BindAddress::Unix(path.clone())]), 2).unwrap();
    let SocketName::Tcp(address) = first.listeners.get(0).unwrap().name() else { panic!("not TCP") };
    let handed = kept(&first);
    drop(first);
    let identity = unix_socket::identity(&path).unwrap();
    let waiting: Vec<_> = (0..8).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let same = server(vec![tcp("127.0.0.1", address.port()), BindAddress::Unix(path.clone())]);
    let second = super::bind(&same, 3, &handed).unwrap();
    let [Listener::PerSlot { sockets, .. }, Listener::Shared { socket, .. }] =
        second.listeners.iter().as_slice()
    else {
        panic!("not TCP and UNIX: {second:?}")
    };
    assert_eq!(sockets.keys().copied().collect::<Vec<_>>(), [Slot(1), Slot(2), Slot(3)]);
    let mut accepted = 0;
    for socket in sockets.values() {
        let listener = std::net::TcpListener::from(socket.try_clone().unwrap());
        accepted += std::iter::from_fn(|| listener.accept().ok()).count();
    }
    assert_eq!(accepted, waiting.len());
    let listener = std::os::unix::net::UnixListener::from(socket.try_clone().unwrap());
    listener.accept().unwrap();
    assert_eq!(unix_socket::identity(&path).unwrap(), identity, "the path is another one");
    second.files.remove();
    assert!(!path.exists());
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn kept_sockets_that_are_not_wanted_any_more_are_closed() {
    let folder = scratch("unwanted");
    let path = folder.join("app.sock");
    let first = bind(&server(vec![tcp("127.0.0.1", 0), BindAddress::Unix(path.clone())]), 1).unwrap();
    let SocketName::Tcp(address) = first.listeners.get(0).unwrap().name() else { panic!("not TCP") };
    let handed = kept(&first);
    drop(first);
    // It stands in the way of the kept one, which must be gone by then.
    let other = super::bind(&server(vec![tcp("0.0.0.0", address.port())]), 1, &handed).unwrap();
    assert_eq!(other.listeners.iter().len(), 1);
    assert_eq!(unix_socket::probe(&path).unwrap(), Occupant::Stale);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_kept_socket_whose_path_is_gone_is_replaced() {
    let folder = scratch("gone");
    let path = folder.join("app.sock");
    let server = server(vec![BindAddress::Unix(path.clone())]);
    let first = bind(&server, 1).unwrap();
    let handed = kept(&first);
    drop(first);
    fs::remove_file(&path).unwrap();
    let _second = super::bind(&server, 1, &handed).unwrap();
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    fs::remove_dir_all(&folder).unwrap();
}
