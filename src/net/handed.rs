//! Listening sockets that a service manager has opened (systemd.socket(5)).

use super::bind::{BindError, Bound};
use super::listeners::{Listener, ListenerSet};
use super::socket_files::SocketFiles;
use crate::config::{BindAddress, Config, Server};
use crate::sys::socket::{self, SocketName};
use crate::sys::systemd::HandedSocket;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use tracing::warn;

/// Takes over the handed sockets in the place of `server.bind`.
///
/// Each is one queue for all workers: what somebody else has bound cannot be multiplied. An address that is configured but
/// not handed over is not bound, and a warning says so: the socket unit decides, as the operator who wrote it expects.
///
/// # Errors
/// [`BindError::Other`] for what is no listening stream socket, as from a unit with `Accept=yes` or `ListenDatagram=`.
pub(super) fn take(server: &Server, handed: &[HandedSocket]) -> Result<Bound, BindError> {
    let mut listeners = ListenerSet::default();
    let mut names = Vec::new();
    for HandedSocket { number, name } in handed {
        let unit = if name.is_empty() { String::new() } else { format!(" (of {name})") };
        let (socket, address) = socket::adopt(*number)
            .map_err(|source| BindError::Other { address: format!("fd://{number}{unit}"), source })?;
        names.push((*number, address.clone()));
        listeners.push(Listener::Shared { address, socket });
    }
    for configured in left_out(server, &names) {
        let units: Vec<&str> = handed.iter().map(|socket| socket.name.as_str()).collect();
        let units = units.join(", ");
        warn!(
            "server.bind: {configured} is not bound, since the service manager has handed over its own sockets ({units}); \
             name it in the socket unit, or do without the unit"
        );
    }
    Ok(Bound { listeners, files: SocketFiles::default() })
}

/// Configured addresses that none of the sockets has.
fn left_out<'a>(server: &'a Server, names: &[(i32, SocketName)]) -> Vec<&'a BindAddress> {
    // Who has configured nothing misses nothing.
    if server.bind == Config::default().server.bind {
        return Vec::new();
    }
    let is_there =
        |configured: &&BindAddress| names.iter().any(|(number, name)| is_same(configured, *number, name));
    server.bind.iter().filter(|configured| !is_there(configured)).collect()
}

fn is_same(configured: &BindAddress, number: i32, name: &SocketName) -> bool {
    match (configured, name) {
        (BindAddress::Inherited(wanted), _) => *wanted == number,
        (BindAddress::Unix(path), SocketName::Unix(Some(bound))) => path == bound,
        (BindAddress::Tcp { host, port }, SocketName::Tcp(bound)) => {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port));
            let host = if host.is_empty() { "0.0.0.0" } else { host };
            let mut found = (host, *port).to_socket_addrs().into_iter().flatten();
            // An IPv6 socket for every address takes IPv4 as well (systemd.socket(5), BindIPv6Only=).
            found.any(|address| {
                address == *bound || (address == any && bound.ip().is_unspecified() && bound.port() == *port)
            })
        }
        (BindAddress::Unix(_), SocketName::Unix(None) | SocketName::Tcp(_))
        | (BindAddress::Tcp { .. }, SocketName::Unix(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::Families;
    use std::net::UdpSocket;
    use std::os::fd::{AsFd, IntoRawFd};

    fn handed(number: i32) -> HandedSocket {
        HandedSocket { number, name: "web.socket".into() }
    }

    #[test]
    fn handed_sockets_stand_in_the_place_of_configured_ones() {
        let listener = socket::listen_tcp((Ipv4Addr::LOCALHOST, 0).into(), 16, Families::One).unwrap();
        let address = socket::local_tcp(listener.as_fd()).unwrap();
        let bound = take(&Config::default().server, &[handed(listener.into_raw_fd())]).unwrap();
        let names: Vec<_> = bound.listeners.iter().map(Listener::name).collect();
        assert_eq!(names, [SocketName::Tcp(address)]);
    }

    #[test]
    fn what_is_no_listening_stream_is_refused_by_its_units_name() {
        let number = UdpSocket::bind("127.0.0.1:0").unwrap().into_raw_fd();
        let error = take(&Config::default().server, &[handed(number)]).unwrap_err().to_string();
        let expected = format!(
            "cannot bind fd://{number} (of web.socket): descriptor {number} is no listening stream socket"
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn only_addresses_that_nobody_has_handed_over_are_missed() {
        let server = |bind: &[BindAddress]| Server { bind: bind.to_vec(), ..Config::default().server };
        let tcp = |host: &str, port| BindAddress::Tcp { host: host.into(), port };
        let unix = |path: &str| BindAddress::Unix(path.into());
        let names = [
            (3, SocketName::Unix(Some("/run/site/http.sock".into()))),
            (4, SocketName::Tcp("127.0.0.1:8000".parse().unwrap())),
            (5, SocketName::Tcp("[::]:80".parse().unwrap())),
        ];
        for there in [
            unix("/run/site/http.sock"),
            tcp("127.0.0.1", 8000),
            tcp("", 80),
            tcp("::", 80),
            BindAddress::Inherited(4),
        ] {
            assert_eq!(
                left_out(&server(std::slice::from_ref(&there)), &names),
                Vec::<&BindAddress>::new(),
                "{there}"
            );
        }
        for missing in
            [unix("/run/x"), tcp("127.0.0.1", 80), tcp("127.0.0.1", 8001), BindAddress::Inherited(6)]
        {
            assert_eq!(left_out(&server(std::slice::from_ref(&missing)), &names), [&missing]);
        }
        assert!(left_out(&Config::default().server, &names[..1]).is_empty());
    }
}
