//! One worker more, one worker less: by hand, and by the load.

use crate::cancel::{asked, waiting_in};
use crate::support::server::Folder;
use crate::support::{Load, Reuse, Server, Transport, on_tcp_and_unix, until};
use nix::sys::signal::Signal;

on_tcp_and_unix! {
    fn ttin_and_ttou_change_the_number_of_workers_under_load(transport) {
        let server = Server::start(transport, 2);
        let load = Load::start(server.address(), 3, &[Reuse::KeptAlive, Reuse::Closed]);
        for _ in 0..2 {
            let ready = server.count("worker ready");
            server.signal(Signal::SIGTTIN);
            server.wait_for_count("worker ready", ready + 1);
            assert_eq!(server.living_workers().len(), 3);
            load.goes_on();
            server.signal(Signal::SIGTTOU);
            until("one worker has left", || server.living_workers().len() == 2);
            load.goes_on();
        }
        let (answered, failures) = load.stop();
        assert!(failures.is_empty(), "{} of {answered} failed: {failures:?}", failures.len());
    }
}

on_tcp_and_unix! {
    fn the_last_worker_stays(transport) {
        let server = Server::start(transport, 2);
        server.signal(Signal::SIGTTOU);
        until("one worker has left", || server.living_workers().len() == 1);
        let last = server.living_workers();
        server.signal(Signal::SIGTTOU);
        server.wait_for("stays at 1 worker");
        assert_eq!(server.living_workers(), last);
        assert_eq!(server.ask("GET / HTTP/1.0\r\n\r\n").status, 200);
    }
}

#[test]
fn busy_event_loops_bring_workers_and_idle_ones_let_them_go() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", "[workers]\ncount = { min = 1, max = 2 }\nshrink_after = \"500ms\"\n");
    let server = waiting_in(folder, "-c ferricorn.toml");
    assert_eq!(server.living_workers().len(), 1);
    // While one reads its answer, the others keep the loop busy.
    let mut clients = [(); 3].map(|()| asked(&server, "/computes"));
    while server.count("2 workers: nearly all app threads are busy") == 0 {
        for client in &mut clients {
            assert_eq!(client.answer().unwrap().text(), "computed");
            client.send(b"GET /computes HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        }
    }
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().text(), "computed");
    }
    server.wait_for_count("worker ready", 2);
    server.wait_for("1 worker: one less has been enough for workers.shrink_after");
    until("one worker has left", || server.living_workers().len() == 1);
    for client in &mut clients {
        client.send(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(client.answer().unwrap().status, 200);
    }
}
