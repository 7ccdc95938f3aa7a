//! `[admin]`: how the server is controlled and watched.

use crate::config::BindAddress;
use std::path::PathBuf;

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admin {
    /// Where commands are taken. Default: auto.
    pub socket: ControlSocket,
    /// Group whose members may use that socket, a name or number.
    pub group: Option<String>,
    /// Where health, metrics and status are told over TCP; `None`: nowhere.
    pub address: Option<BindAddress>,
    /// Path that every listener answers with 200; `None`: the apps have them all.
    pub live_path: Option<String>,
    /// Path that every listener answers with 200 while the server is ready, else 503.
    pub ready_path: Option<String>,
}

/// Where commands are taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ControlSocket {
    /// In the runtime directory of the service or user, else a socket without a file.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// There.
    At(PathBuf),
}
