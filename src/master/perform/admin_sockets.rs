//! Where the server can be controlled: a socket that is always there and never a reason to complain.

use crate::config::{BindAddress, Config, ControlSocket};
use crate::master::MasterError;
use crate::master::upgrade::handover::{Luggage, WrittenAdmin, WrittenControl};
use crate::net::bind::{BindError, Holder};
use crate::sys::control_socket::{self, ControlPlace};
use crate::sys::unix_socket::{self, FileIdentity, Occupant};
use crate::sys::{inherit, privileges, process, socket, systemd};
use std::fs;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use tracing::{debug, warn};

/// The sockets of the admin process. The master has them, so that those who come while there is none wait.
#[derive(Debug, Default)]
pub(in crate::master) struct AdminSockets {
    control: Option<Control>,
    addresses: Vec<OwnedFd>,
}

#[derive(Debug)]
struct Control {
    place: ControlPlace,
    group: Option<u32>,
    listener: OwnedFd,
    identity: Option<FileIdentity>,
}

impl AdminSockets {
    /// What the configuration asks for.
    ///
    /// # Errors
    /// When a path or address that it names cannot be had; a socket whose place is ours to choose is no reason.
    pub(in crate::master) fn new(config: &Config) -> Result<Self, MasterError> {
        let group = config.admin.group.as_deref().map(privileges::group_id).transpose();
        let group = group.map_err(|error| MasterError::Config(format!("admin.group: {error}")))?;
        let control = match &config.admin.socket {
            ControlSocket::Off => None,
            ControlSocket::Auto => choose(group),
            ControlSocket::At(path) => Some(Control::at_path(path, group)?),
        };
        if let Some(control) = &control {
            debug!("control socket: {}", control.place);
        }
        let addresses = config.admin.address.as_ref().map(listen).transpose()?.unwrap_or_default();
        Ok(Self { control, addresses })
    }

    /// Those of the program before.
    pub(in crate::master) fn inherited(written: &WrittenAdmin) -> io::Result<Self> {
        let inherit = |written: &WrittenControl| {
            Ok::<_, io::Error>(Control {
                place: ControlPlace::parse(&written.place),
                group: written.group,
                listener: inherit::take(written.listener)?,
                identity: written.identity,
            })
        };
        let control = written.control.as_ref().map(inherit).transpose()?;
        let addresses = written.addresses.iter().copied().map(inherit::take).collect::<io::Result<_>>()?;
        Ok(Self { control, addresses })
    }

    /// On paper, for the program that takes this one's place.
    pub(super) fn written<'a>(&'a self, luggage: &mut Luggage<'a>) -> (Option<WrittenControl>, Vec<i32>) {
        let control = self.control.as_ref().map(|control| WrittenControl {
            place: control.place.to_string(),
            group: control.group,
            listener: luggage.pack(control.listener.as_fd()),
            identity: control.identity,
        });
        (control, self.addresses.iter().map(|socket| luggage.pack(socket.as_fd())).collect())
    }

    /// Whether there is anything to be heard.
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_none() && self.addresses.is_empty()
    }

    pub(super) fn place(&self) -> Option<&ControlPlace> {
        self.control.as_ref().map(|control| &control.place)
    }

    pub(super) fn group(&self) -> Option<u32> {
        self.control.as_ref().and_then(|control| control.group)
    }

    /// Copies for the admin process.
    pub(super) fn duplicate(&self) -> io::Result<(Option<OwnedFd>, Vec<OwnedFd>)> {
        let copy = |socket: BorrowedFd<'_>| socket.try_clone_to_owned();
        let control = self.control.as_ref().map(|control| copy(control.listener.as_fd())).transpose()?;
        Ok((control, self.addresses.iter().map(|socket| copy(socket.as_fd())).collect::<io::Result<_>>()?))
    }

    /// Makes the socket anew where somebody has removed its file.
    pub(super) fn restore(&mut self) {
        let Some(control) = self.control.as_mut().filter(|control| !control.is_in_place()) else { return };
        match Control::listen(control.place.clone(), control.group) {
            Ok(restored) => *control = restored,
            Err(error) => warn!("the control socket {} cannot be made anew: {error}", control.place),
        }
    }

    /// Removes the file, unless it is somebody else's by now.
    pub(super) fn remove(&self) {
        if let Some(Control { place: ControlPlace::File(path), .. }) =
            self.control.as_ref().filter(|control| control.is_in_place())
        {
            // One that stays is found stale.
            let _ = fs::remove_file(path);
        }
    }
}

impl Control {
    fn listen(place: ControlPlace, group: Option<u32>) -> io::Result<Self> {
        if let ControlPlace::File(path) = &place
            && unix_socket::probe(path)? == Occupant::Stale
        {
            fs::remove_file(path)?;
        }
        let listener = place.listen(group)?;
        let identity = match &place {
            ControlPlace::File(path) => Some(unix_socket::identity(path)?),
            ControlPlace::Abstract(_) => None,
        };
        Ok(Self { place, group, listener, identity })
    }

    /// At the place that the operator has named.
    fn at_path(path: &Path, group: Option<u32>) -> Result<Self, MasterError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let address = format!("the control socket {}", path.display());
        let occupant = unix_socket::probe(&path);
        Self::listen(ControlPlace::File(path), group).map_err(|source| {
            let error = match occupant {
                Ok(Occupant::Live(pid)) => {
                    BindError::AdminInUse { address, key: "admin.socket", holder: Holder::of(pid) }
                }
                Ok(Occupant::NoSocket) => {
                    BindError::NoSocket { address: format!("{address} (admin.socket)") }
                }
                Ok(Occupant::Nobody | Occupant::Stale) | Err(_) => {
                    BindError::Other { address: format!("{address} (admin.socket)"), source }
                }
            };
            error.into()
        })
    }

    fn is_in_place(&self) -> bool {
        match (&self.place, self.identity) {
            (ControlPlace::File(path), Some(ours)) => {
                unix_socket::identity(path).is_ok_and(|found| found == ours)
            }
            (ControlPlace::File(_) | ControlPlace::Abstract(_), _) => true,
        }
    }
}

/// The first place that can be had; a file tells by its mode who may connect, a name says nothing.
fn choose(group: Option<u32>) -> Option<Control> {
    let pid = process::own_pid();
    let files = directories().into_iter().filter_map(|directory| {
        clean(&directory);
        let place = ControlPlace::File(directory.join(format!("control-{pid}.sock")));
        Control::listen(place, group).inspect_err(|error| debug!("{}: {error}", directory.display())).ok()
    });
    // In another PID namespace somebody may have the same number.
    let names = (0..NAMES).filter_map(|number| {
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        let place = ControlPlace::Abstract(format!("ferricorn/control-{pid}{suffix}"));
        Control::listen(place, group).inspect_err(|error| debug!("control socket: {error}")).ok()
    });
    files.chain(names).next()
}

/// Directories in which this process may keep a socket, the best first.
fn directories() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = systemd::runtime_directory().into_iter().collect();
    if privileges::effective_user() == 0 {
        directories.push("/run/ferricorn".into());
    }
    if let Some(own) = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()) {
        directories.push(Path::new(&own).join("ferricorn"));
    }
    directories.retain(|directory| control_socket::own_directory(directory).is_ok());
    directories
}

/// Removes what servers have left that were killed.
fn clean(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours =
            name.to_str().is_some_and(|name| name.starts_with("control-") && name.ends_with(".sock"));
        if is_ours && unix_socket::probe(&entry.path()).is_ok_and(|found| found == Occupant::Stale) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Listens at `admin.address`.
fn listen(address: &BindAddress) -> Result<Vec<OwnedFd>, MasterError> {
    let fail = |source| BindError::Other { address: format!("{address} (admin.address)"), source };
    let BindAddress::Tcp { host, port } = address else { return Ok(Vec::new()) };
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let found = (host, *port).to_socket_addrs().map_err(fail)?.next();
    let Some(found) = found else { return Ok(Vec::new()) };
    let listener = TcpListener::bind(found).map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            let holder = Holder::of(socket::tcp_holder(found));
            BindError::AdminInUse { address: address.to_string(), key: "admin.address", holder }
        } else {
            fail(source)
        }
    })?;
    listener.set_nonblocking(true).map_err(fail)?;
    tracing::info!("health, metrics and status at http://{}", listener.local_addr().map_err(fail)?);
    Ok(vec![listener.into()])
}

/// Names tried.
const NAMES: u8 = 10;
