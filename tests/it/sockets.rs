//! Addresses: who may have them, and what they look like.

use crate::support::server::{Folder, config, ferricorn, run};
use crate::support::{Address, Load, Reuse, Server, Transport, on_tcp_and_unix};
use nix::sys::signal::Signal;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

on_tcp_and_unix! {
    fn a_second_server_on_the_same_address_is_refused(transport) {
        let server = Server::start(transport, 1);
        let (code, errors) = start_on(&bind_of(server.address()));
        assert_eq!(code, Some(4), "{errors}");
        let holder = server.pid().to_string();
        assert!(errors.contains(&holder), "the holder {holder} is not named: {errors}");
        assert_eq!(server.ask(GET).status, 200);
    }
}

#[test]
fn a_second_server_on_every_address_is_refused_and_the_first_loses_nothing() {
    let server = Server::start(Transport::Tcp, 2);
    let Address::Tcp(address) = server.address() else { panic!("not TCP") };
    let load = Load::start(server.address(), 2, &[Reuse::KeptAlive, Reuse::Closed]);
    for bind in [format!("0.0.0.0:{}", address.port()), format!("127.0.0.1:{}", address.port())] {
        let (code, errors) = start_on(&bind);
        assert_eq!(code, Some(4), "{errors}");
        assert!(errors.contains(&format!("in use by pid {}", server.pid())), "{errors}");
        load.goes_on();
    }
    assert_eq!(load.stop().1, Vec::<String>::new());
}

#[test]
fn a_port_of_another_program_is_refused() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, errors) = start_on(&other.local_addr().unwrap().to_string());
    assert_eq!(code, Some(4), "{errors}");
    assert!(errors.contains(&std::process::id().to_string()), "the holder is not named: {errors}");
}

#[test]
fn a_socket_of_another_program_is_refused_and_kept() {
    let folder = Folder::new();
    let path = folder.path("other");
    let _other = UnixListener::bind(&path).unwrap();
    let (code, errors) = start_on(&format!("unix:{}", path.display()));
    assert_eq!(code, Some(4), "{errors}");
    assert!(errors.contains(&std::process::id().to_string()), "the holder is not named: {errors}");
    assert!(path.exists(), "the other program's socket is gone");
}

#[test]
fn a_path_that_is_no_socket_is_refused_and_kept() {
    let folder = Folder::new();
    folder.write("socket", "precious");
    let (code, errors) = start_on(&format!("unix:{}", folder.path("socket").display()));
    assert_eq!(code, Some(4), "{errors}");
    assert_eq!(folder.read("socket"), "precious");
}

#[test]
fn a_stale_socket_is_replaced() {
    let folder = Folder::new();
    drop(UnixListener::bind(folder.path("socket")).unwrap());
    folder.write("ferricorn.toml", &config(&folder, Transport::Unix, 1, ""));
    let server = Server::in_folder(folder);
    assert_eq!(server.ask(GET).status, 200);
}

#[test]
fn the_socket_a_killed_master_left_is_replaced() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", &config(&folder, Transport::Unix, 1, ""));
    let text = folder.read("ferricorn.toml");
    let mut first = Server::in_folder(folder);
    first.signal(Signal::SIGKILL);
    assert_eq!(first.exit_code(), None, "killed by a signal");
    crate::support::until("the workers have left", || first.survivors().is_empty());
    assert!(first.folder().path("socket").exists(), "nobody was left to remove it");
    let second = Folder::new();
    second.write("ferricorn.toml", &text);
    let second = Server::in_folder(second);
    assert_eq!(second.ask(GET).status, 200);
}

#[test]
fn a_unix_socket_has_the_mode_that_is_set() {
    for (setting, mode) in [("", 0o666), ("unix_mode = \"0600\"\n", 0o600), ("unix_mode = \"0660\"\n", 0o660)]
    {
        let folder = Folder::new();
        let text = config(&folder, Transport::Unix, 1, "");
        folder.write(
            "ferricorn.toml",
            &text.replace("[server]\n", &format!("[server]\numask = \"0077\"\n{setting}")),
        );
        let server = Server::in_folder(folder);
        let found = fs::metadata(server.folder().path("socket")).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{setting:?}: {found:o}");
    }
}

#[test]
fn a_unix_socket_stays_in_place_over_a_reload_and_goes_at_the_end() {
    let mut server = Server::start(Transport::Unix, 1);
    let path = server.folder().path("socket");
    let before = fs::metadata(&path).unwrap().ino();
    server.signal(Signal::SIGHUP);
    server.wait_for("reload done: generation");
    assert_eq!(fs::metadata(&path).unwrap().ino(), before, "another socket after the reload");
    assert_eq!(server.stop(Signal::SIGTERM), Some(0));
    assert!(!path.exists(), "the socket stays after the end");
}

#[test]
fn a_socket_that_somebody_put_in_our_place_is_not_removed() {
    let mut server = Server::start(Transport::Unix, 1);
    let path = server.folder().path("socket");
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    assert_eq!(server.stop(Signal::SIGTERM), Some(0));
    assert!(path.exists(), "another program's socket is gone");
}

#[test]
fn several_addresses_are_served_at_once() {
    let folder = Folder::new();
    let text = config(&folder, Transport::Tcp, 2, "");
    let path = folder.path("socket");
    let ipv6 = TcpListener::bind("[::1]:0").is_ok();
    if !ipv6 {
        eprintln!("skipped: IPv6, which this machine's loopback does not have");
    }
    let ipv6_bind = if ipv6 { "\"[::1]:0\", " } else { "" };
    let more = format!("\"127.0.0.1:0\", \"127.0.0.2:0\", {ipv6_bind}\"unix:{}\"", path.display());
    folder.write("ferricorn.toml", &text.replace("\"127.0.0.1:0\"", &more));
    let server = Server::in_folder(folder);
    let addresses = server.addresses();
    assert_eq!(addresses.len(), if ipv6 { 4 } else { 3 }, "{addresses:?}");
    assert_ne!(addresses[0], addresses[1]);
    let is_ipv6 = |address: &Address| matches!(address, Address::Tcp(address) if address.is_ipv6());
    assert_eq!(addresses.iter().any(is_ipv6), ipv6);
    for address in addresses {
        assert_eq!(address.ask(GET).unwrap().status, 200, "{address:?}");
    }
}

fn bind_of(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// Starts a server that is not expected to live; its exit code and what it said.
fn start_on(bind: &str) -> (Option<i32>, String) {
    let folder = Folder::new();
    folder.write("ferricorn.toml", &format!("[server]\nbind = [\"{bind}\"]\n[[app]]\ntarget = \"echo\"\n"));
    let mut command = ferricorn(&folder);
    command.arg("serve");
    let (code, output, errors) = run(command);
    (code, output + &errors)
}
