//! One worker more, one worker less.

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
