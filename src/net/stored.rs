//! Listening sockets that the service manager keeps while the server is started anew: no client is refused meanwhile.

use super::listeners::{Listener, ListenerSet};
use crate::config::BindAddress;
use crate::contract::slot::Slot;
use crate::sys::socket::{self, Families, SocketName};
use crate::sys::systemd::{Handed, HandedSocket, Manager};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use tracing::{info, warn};

/// What a kept socket is for. It is found again by this, which is its name at the manager.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A slot's, at a TCP address.
    Slot(SocketAddr, Slot),
    /// The one at a path. The socket itself knows only the name that it had before it was renamed.
    Path(PathBuf),
}

/// Sockets of an earlier run, until they are taken.
#[derive(Debug, Default)]
pub(super) struct Stored<'a> {
    sockets: BTreeMap<Place, OwnedFd>,
    manager: Option<&'a Manager>,
}

impl Place {
    fn name(&self) -> String {
        match self {
            Self::Slot(address, slot) => format!("{SLOT}{slot}-{}", escaped(address.to_string().as_bytes())),
            Self::Path(path) => format!("{PATH}{}", escaped(path.as_os_str().as_bytes())),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        if let Some(path) = name.strip_prefix(PATH) {
            return Some(Self::Path(OsString::from_vec(unescaped(path)?).into()));
        }
        let (slot, address) = name.strip_prefix(SLOT)?.split_once('-')?;
        let slot = slot.parse().ok().filter(|slot| *slot > 0)?;
        let address = String::from_utf8(unescaped(address)?).ok()?;
        Some(Self::Slot(address.parse().ok()?, Slot(slot)))
    }
}

/// The sockets that are to be kept, each by its name: those that this server has bound itself.
pub(super) fn sockets(listeners: &ListenerSet) -> Vec<(String, BorrowedFd<'_>)> {
    let configured = |wanted: &BindAddress| !matches!(wanted, BindAddress::Inherited(_));
    let ours = listeners.select(|origin| origin.configured.as_ref().is_some_and(configured));
    let mut all = Vec::new();
    for listener in ours.into_iter().filter_map(|index| listeners.get(index)) {
        match listener {
            Listener::PerSlot { address, sockets, .. } => {
                let named = |(slot, socket)| (Place::Slot(*address, slot).name(), socket);
                all.extend(sockets.iter().map(|(slot, socket)| named((*slot, socket.as_fd()))));
            }
            Listener::Shared { address: SocketName::Unix(Some(path)), socket } => {
                // Without a working directory there is none to come back to either.
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                all.push((Place::Path(path).name(), socket.as_fd()));
            }
            Listener::Shared { .. } | Listener::Closed(_) => {}
        }
    }
    all.retain(|(name, _)| name.len() <= NAME_MAX);
    all
}

/// Whether a socket has been kept for this server, and not been opened for it by a socket unit.
pub(super) fn is_kept(handed: &HandedSocket) -> bool {
    handed.name.starts_with(SLOT) || handed.name.starts_with(PATH)
}

impl<'a> Stored<'a> {
    /// Takes over the kept ones among the handed sockets; what is no such socket is forgotten.
    pub(super) fn take(handed: &'a Handed) -> Self {
        let mut stored = Self { sockets: BTreeMap::new(), manager: handed.manager.as_ref() };
        for HandedSocket { number, name } in handed.sockets.iter().filter(|socket| is_kept(socket)) {
            match (Place::parse(name), socket::adopt(*number)) {
                (Some(place), Ok((socket, address))) if is_as_named(&place, &address) => {
                    stored.sockets.insert(place, socket);
                }
                _ => stored.forget(name),
            }
        }
        stored
    }

    /// Whether there is none (any more).
    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Closes what is not wanted, here and at the manager; the addresses are free then.
    pub(super) fn retain(&mut self, wanted: impl Fn(&Place, Option<Families>) -> bool) {
        let families = |socket: &OwnedFd| socket::families(socket.as_fd()).ok();
        let unwanted = self.sockets.extract_if(.., |place, socket| !wanted(place, families(socket)));
        let unwanted: Vec<String> = unwanted.map(|(place, _)| place.name()).collect();
        for name in &unwanted {
            info!("a listening socket of the last run is not configured any more: {name}");
            self.forget(name);
        }
        if !unwanted.is_empty()
            && let Some(Err(error)) = self.manager.map(Manager::settle)
        {
            warn!("the service manager may still hold sockets that are not configured any more: {error}");
        }
    }

    /// The sockets of an address.
    pub(super) fn take_address(&mut self, wanted: SocketAddr) -> BTreeMap<Slot, OwnedFd> {
        let is_of = |place: &Place| matches!(place, Place::Slot(address, _) if *address == wanted);
        let found = self.sockets.extract_if(.., |place, _| is_of(place));
        let slots = found.filter_map(|(place, socket)| match place {
            Place::Slot(_, slot) => Some((slot, socket)),
            Place::Path(_) => None,
        });
        slots.collect()
    }

    /// The socket of an absolute path.
    pub(super) fn take_path(&mut self, path: &Path) -> Option<OwnedFd> {
        self.sockets.remove(&Place::Path(path.to_path_buf()))
    }

    /// Has the manager close its copy of a path's socket.
    pub(super) fn forget_path(&self, path: &Path) {
        self.forget(&Place::Path(path.to_path_buf()).name());
    }

    fn forget(&self, name: &str) {
        if let Some(Err(error)) = self.manager.map(|manager| manager.forget(name)) {
            warn!("the service manager may still hold sockets that are not configured any more: {error}");
        }
    }
}

fn is_as_named(place: &Place, found: &SocketName) -> bool {
    match (place, found) {
        (Place::Slot(address, _), SocketName::Tcp(bound)) => address == bound,
        (Place::Path(_), SocketName::Unix(_)) => true,
        (Place::Slot(..), SocketName::Unix(_)) | (Place::Path(_), SocketName::Tcp(_)) => false,
    }
}

/// Names may hold neither `:` nor control characters nor anything beyond ASCII (sd_pid_notify_with_fds(3)).
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b':' | b'%' => {}
            b'!'..=b'~' => {
                text.push(char::from(*byte));
                continue;
            }
            _ => {}
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "%{byte:02X}");
    }
    text
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

const SLOT: &str = "ferricorn-slot-";
const PATH: &str = "ferricorn-path-";

/// sd_pid_notify_with_fds(3).
const NAME_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_by_its_name() {
        for (place, name) in [
            (Place::Slot("127.0.0.1:8000".parse().unwrap(), Slot(12)), "ferricorn-slot-12-127.0.0.1%3A8000"),
            (Place::Slot("[::1]:80".parse().unwrap(), Slot(1)), "ferricorn-slot-1-[%3A%3A1]%3A80"),
            (Place::Path("/run/a b/100%:\u{e9}".into()), "ferricorn-path-/run/a%20b/100%25%3A%C3%A9"),
        ] {
            assert_eq!(place.name(), name);
            assert_eq!(Place::parse(name), Some(place));
        }
        for name in [
            "web.socket",
            "ferricorn-slot-",
            "ferricorn-slot-0-127.0.0.1%3A80",
            "ferricorn-slot-1-127.0.0.1",
            "ferricorn-slot-1-%",
            "ferricorn-path-%zz",
        ] {
            assert_eq!(Place::parse(name), None, "{name}");
        }
    }
}
