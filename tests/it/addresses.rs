//! What a reload changes beside the workers: addresses, the log, the directory.

use crate::support::server::{Folder, config, ferricorn};
use crate::support::uploads::uploads_to_slot_one;
use crate::support::{Address, Load, Reuse, Server, Transport, on_tcp_and_unix, until};
use nix::sys::signal::Signal;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

#[test]
fn a_new_address_is_served_and_an_old_one_is_left_by_reloads() {
    let server = Server::start(Transport::Tcp, 3);
    let first = server.address().clone();
    let load = Load::start(&first, 4, &[Reuse::KeptAlive, Reuse::Closed]);
    let second = Address::Unix(server.folder().path("second"));
    rebind(&server, &format!("\"127.0.0.1:0\", \"unix:{}\"", server.folder().path("second").display()));
    reload(&server, 1);
    assert_eq!(second.ask(GET).unwrap().status, 200);
    load.goes_on();
    assert_eq!(load.stop().1, Vec::<String>::new(), "the old address has not changed");
    let load = Load::start(&second, 4, &[Reuse::KeptAlive, Reuse::Closed]);
    rebind(&server, &format!("\"unix:{}\"", server.folder().path("second").display()));
    reload(&server, 2);
    server.wait_for("no longer listening at http://127.0.0.1:");
    until("the old address is refused", || first.connect().is_err());
    load.goes_on();
    assert_eq!(load.stop().1, Vec::<String>::new());
    // Every slot serves the new port, also one that gets its worker last.
    rebind(&server, "\"127.0.0.1:0\"");
    reload(&server, 3);
    until("the path is gone", || !server.folder().path("second").exists());
    let line = server.wait_for_count("listening at http://", 3);
    let port = line.rsplit(':').next().unwrap().trim().parse().unwrap();
    let third = Address::Tcp((std::net::Ipv4Addr::LOCALHOST, port).into());
    for _ in 0..60 {
        assert_eq!(third.ask(GET).unwrap().status, 200);
    }
}

#[test]
fn a_new_port_is_answered_while_the_reload_goes_on() {
    let apps = "[[app]]\ntarget = \"echo\"\n[[app]]\nmount = \"/status\"\ntarget = \"status\"\n";
    let server = Server::configured(Transport::Unix, 4, apps);
    // Uploads that do not end keep the second wave waiting, so that slots 2 to 4 have old workers.
    let mut uploads = uploads_to_slot_one(&server);
    let path = server.folder().path("socket");
    rebind(&server, &format!("\"unix:{}\", \"127.0.0.1:0\"", path.display()));
    server.signal(Signal::SIGHUP);
    server.wait_for_count("worker ready", 5);
    let line = server.wait_for("listening at http://");
    let port = line.rsplit(':').next().unwrap().trim().parse().unwrap();
    let new = Address::Tcp((std::net::Ipv4Addr::LOCALHOST, port).into());
    for _ in 0..30 {
        assert_eq!(new.ask(GET).unwrap().status, 200);
    }
    assert_eq!(server.count("reload done"), 0, "the reload was to wait for the uploads");
    for upload in &mut uploads {
        upload.send(b"x").unwrap();
        assert_eq!(upload.answer().unwrap().status, 200);
    }
    drop(uploads);
    server.wait_for("reload done: generation");
    for _ in 0..30 {
        assert_eq!(new.ask(GET).unwrap().status, 200);
    }
}

on_tcp_and_unix! {
    fn every_connection_that_an_old_address_took_is_answered(transport) {
        leave_under_load(transport);
    }
}

fn leave_under_load(transport: Transport) {
    let server = Server::start(transport, 2);
    let old = server.address().clone();
    let stop = AtomicBool::new(false);
    let (answered, failures) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    match ask_if_connected(&old) {
                        Ok(Some(())) => _ = answered.fetch_add(1, Ordering::Relaxed),
                        // Refused: nobody listens there any more.
                        Ok(None) => break,
                        Err(_) => _ = failures.fetch_add(1, Ordering::Relaxed),
                    }
                    // The load is bounded.
                    thread::park_timeout(Duration::from_micros(200));
                }
            });
        }
        until("requests are answered", || answered.load(Ordering::Relaxed) > 100);
        rebind(&server, &format!("\"unix:{}\"", server.folder().path("other").display()));
        reload(&server, 1);
        server.wait_for("no longer listening at ");
        until("the old address is refused", || old.connect().is_err());
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(failures.load(Ordering::Relaxed), 0, "of {}", answered.load(Ordering::Relaxed));
}

#[test]
fn an_address_that_cannot_be_bound_fails_the_reload() {
    let server = Server::start(Transport::Tcp, 2);
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let path = server.folder().path("new");
    rebind(&server, &format!("\"127.0.0.1:0\", \"unix:{}\", \"{taken}\"", path.display()));
    server.signal(Signal::SIGHUP);
    let failed = server.wait_for("reload failed: ");
    assert!(
        failed.contains(&format!("cannot bind {taken}: in use by pid {}", std::process::id())),
        "{failed}"
    );
    assert!(!path.exists(), "what was bound before the failure is still there");
    assert_eq!(server.ask(GET).status, 200);
    drop(other);
    reload(&server, 1);
    assert_eq!(Address::Tcp(taken).ask(GET).unwrap().status, 200);
}

#[test]
fn a_reload_that_fails_gives_its_new_address_up() {
    let server = Server::start(Transport::Tcp, 2);
    let path = server.folder().path("new");
    rebind(&server, &format!("\"127.0.0.1:0\", \"unix:{}\"", path.display()));
    let text = server.folder().read("ferricorn.toml");
    let failing = text.replace("[workers]\n", "[workers]\nwarm_up = [{ path = \"/\", status = 500 }]\n");
    server.folder().write("ferricorn.toml", &failing);
    server.signal(Signal::SIGHUP);
    server.wait_for("reload failed: ");
    server.wait_for("no longer listening at unix:");
    assert!(!path.exists());
    assert_eq!(server.ask(GET).status, 200);
    server.folder().write("ferricorn.toml", &text);
    reload(&server, 1);
    assert_eq!(Address::Unix(path).ask(GET).unwrap().status, 200);
}

#[test]
fn the_same_port_on_all_addresses_takes_the_place_of_the_port_on_one() {
    let server = Server::start(Transport::Tcp, 2);
    let Address::Tcp(address) = *server.address() else { panic!("not TCP") };
    rebind(&server, &format!("\":{}\"", address.port()));
    reload(&server, 1);
    server.wait_for(&format!("no longer listening at http://{address}"));
    for _ in 0..20 {
        assert_eq!(server.ask(GET).status, 200);
    }
}

#[test]
fn the_log_takes_level_format_and_file_from_a_reload() {
    let server = Server::start(Transport::Tcp, 1);
    let text = server.folder().read("ferricorn.toml");
    let log = format!(
        "[log]\nlevel = \"debug\"\nformat = \"json\"\nerror = \"{}\"\n",
        server.folder().path("log").display()
    );
    let warm = text.replace("[workers]\n", "[workers]\nwarm_up = [\"/\"]\n");
    server.folder().write("ferricorn.toml", &format!("{warm}{log}"));
    server.signal(Signal::SIGHUP);
    let holds = |needle: &str| {
        server.folder().read("log").lines().any(|line| line.starts_with('{') && line.contains(needle))
    };
    // The worker is of the new generation from its first word; the master follows when the reload is done.
    until("the worker's word", || holds("a warm-up request was answered with 200"));
    until("the master's word", || holds("reload done: generation 2"));
    server.folder().write("ferricorn.toml", &text);
    server.signal(Signal::SIGHUP);
    server.wait_for("reload done: generation 3");
    assert!(!holds("reload done: generation 3"), "the old file is written on");
}

#[test]
fn a_symbolic_link_on_the_way_to_the_directory_is_followed_anew() {
    let folder = Folder::new();
    for release in ["one", "two"] {
        fs::create_dir_all(folder.path(&format!("{release}/files"))).unwrap();
        folder.write(&format!("{release}/files/a.txt"), release);
        let text = config(&folder, Transport::Tcp, 2, "[[app]]\nstatic = \"files\"\n");
        folder.write(&format!("{release}/ferricorn.toml"), &format!("{text}# {release}\n"));
    }
    let current = folder.path("current");
    symlink("one", &current).unwrap();
    let mut command = ferricorn(&folder);
    command.arg("serve").current_dir(&current).env("PWD", &current);
    let server = Server::from_command(command, folder);
    let request = "GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(server.ask(request).text(), "one");
    fs::remove_file(&current).unwrap();
    symlink("two", &current).unwrap();
    reload(&server, 1);
    until("the new release is served", || server.ask(request).text() == "two");
    until("the old workers have left", || {
        server.living_workers().iter().all(|worker| worker.generation == 2)
    });
    let two = fs::canonicalize(server.folder().path("two")).unwrap();
    for pid in server.survivors() {
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        // That of the admin process is the root.
        assert!(cwd == two || cwd == Path::new("/"), "{pid} is in {}", cwd.display());
    }
}

/// One request; `None` when nobody listens. A connection that was taken and not answered is an error.
fn ask_if_connected(address: &Address) -> io::Result<Option<()>> {
    let Ok(mut connection) = address.connect() else { return Ok(None) };
    connection.send(GET.as_bytes())?;
    let answer = connection.answer()?;
    if answer.status == 200 { Ok(Some(())) } else { Err(io::Error::other("another status")) }
}

fn rebind(server: &Server, addresses: &str) {
    let text = server.folder().read("ferricorn.toml");
    let lines = text.lines().map(|line| {
        if line.starts_with("bind = ") { format!("bind = [{addresses}]\n") } else { format!("{line}\n") }
    });
    server.folder().write("ferricorn.toml", &lines.collect::<String>());
}

fn reload(server: &Server, count: usize) {
    server.signal(Signal::SIGHUP);
    server.wait_for_count("reload done: generation", count);
}
