use super::*;
use crate::sys::{poll, process};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, IntoRawFd};
use std::time::Duration;

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[test]
fn acknowledgements_that_wait_for_answers_leave_at_once_when_told_to() {
    let listener = std::net::TcpListener::bind(loopback(0)).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let acknowledges = |socket: &TcpStream| SockRef::from(socket).tcp_quickack().unwrap();
    // A conversation: from some turn on the kernel lets answers carry the acknowledgements.
    let turns = (0..100).take_while(|_| {
        client.write_all(b"a").unwrap();
        server.read_exact(&mut [0]).unwrap();
        server.write_all(b"b").unwrap();
        client.read_exact(&mut [0]).unwrap();
        acknowledges(&server)
    });
    assert!(turns.count() < 100, "the kernel never delays an acknowledgement");
    acknowledge(server.as_fd()).unwrap();
    assert!(acknowledges(&server));
}

#[test]
fn clients_on_loopback_are_neither_paced_nor_modelled() {
    let congestion = |at: SocketAddr| {
        let listener = std::net::TcpListener::from(listen_tcp(at, 16, Families::One).unwrap());
        let _client = TcpStream::connect(loopback(listener.local_addr().unwrap().port())).unwrap();
        poll::wait_readable(&[listener.as_fd()], None).unwrap();
        let name = SockRef::from(&listener.accept().unwrap().0).tcp_congestion().unwrap();
        String::from_utf8(name).unwrap().trim_end_matches('\0').to_owned()
    };
    assert_eq!(congestion(loopback(0)), "reno");
    let of_the_system = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap();
    assert_eq!(congestion((Ipv4Addr::UNSPECIFIED, 0).into()), of_the_system.trim());
}

#[test]
fn slots_share_an_address_that_others_are_refused() {
    let first = listen_tcp(loopback(0), 16, Families::One).unwrap();
    let address = local_tcp(first.as_fd()).unwrap();
    let second = listen_tcp(address, 16, Families::One).unwrap();
    assert_eq!(local_tcp(second.as_fd()).unwrap(), address);
    assert_eq!(probe_tcp(address, Families::One).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(tcp_holder(address), Some(process::own_pid()));
    drop((first, second));
    probe_tcp(address, Families::One).unwrap();
}

#[test]
fn a_socket_that_refuses_clients_keeps_those_it_has() {
    let listener = std::net::TcpListener::from(listen_tcp(loopback(0), 16, Families::One).unwrap());
    let address = listener.local_addr().unwrap();
    let _before = TcpStream::connect(address).unwrap();
    refuse_clients(listener.as_fd()).unwrap();
    let patience = Duration::from_millis(50);
    let error = TcpStream::connect_timeout(&address, patience).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    listener.accept().unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);

    let path = std::env::temp_dir().join(format!("ferricorn-refuse-{}", process::own_pid()));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let _before = std::os::unix::net::UnixStream::connect(&path).unwrap();
    refuse_clients(listener.as_fd()).unwrap();
    let error = std::os::unix::net::UnixStream::connect(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    listener.accept().unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_name_is_held_once() {
    let name = format!("ferricorn-test-{}", process::own_pid());
    let held = lock_name(&name).unwrap();
    assert_eq!(lock_name(&name).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(held);
    lock_name(&name).unwrap();
}

#[test]
fn only_listening_sockets_are_adopted() {
    assert!(adopt(0).is_err());
    assert!(adopt(99_999).is_err());
    let (file, _other) = io::pipe().unwrap();
    let number = OwnedFd::from(file).into_raw_fd();
    assert!(adopt(number).is_err());
    let listener = listen_tcp(loopback(0), 16, Families::One).unwrap();
    let address = local_tcp(listener.as_fd()).unwrap();
    let (adopted, name) = adopt(listener.into_raw_fd()).unwrap();
    assert_eq!(name, SocketName::Tcp(address));
    assert_eq!(local_tcp(adopted.as_fd()).unwrap(), address);
}

#[test]
fn listeners_in_the_way_are_found_in_the_kernels_table() {
    let line = |address: &str, state: &str| {
        format!(
            "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1"
        )
    };
    let port = 8000;
    let rows = [
        ("0100007F:1F40", "0A", Some(4711)),
        ("00000000:1F40", "0A", Some(4711)),
        ("0200007F:1F40", "0A", None),
        ("0100007F:1F41", "0A", None),
        ("0100007F:1F40", "01", None),
        ("00000000000000000000000000000000:1F40", "0A", Some(4711)),
        ("0000000000000000FFFF00000100007F:1F40", "0A", Some(4711)),
    ];
    for (address, state, expected) in rows {
        assert_eq!(listener_inode(&line(address, state), loopback(port)), expected, "{address} {state}");
    }
    assert_eq!(listener_inode("  sl  local_address rem_address   st", loopback(port)), None);
}

#[test]
fn a_socket_that_takes_no_more_keeps_what_it_has() {
    let listener = listen_tcp((Ipv4Addr::LOCALHOST, 0).into(), 16, Families::One).unwrap();
    let address = local_tcp(listener.as_fd()).unwrap();
    let mut waiting = TcpStream::connect(address).unwrap();
    take_no_more(listener.as_fd()).unwrap();
    let late = TcpStream::connect_timeout(&address, Duration::from_millis(50));
    assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    waiting.write_all(b"x").unwrap();
    poll::wait_readable(&[listener.as_fd()], Some(Duration::from_secs(20))).unwrap();
    let (mut taken, _) = Socket::from(listener).accept().unwrap();
    taken.set_nonblocking(false).unwrap();
    let mut byte = [0];
    taken.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"x");
}
