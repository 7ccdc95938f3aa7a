//! Who asks, and whether they may command.

use crate::contract::admin::Facts;
use crate::sys::{control_socket, privileges};
use std::os::fd::BorrowedFd;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// Somebody at the admin address: may look.
    Anybody,
    /// Somebody at the control socket who may command.
    Trusted,
    /// Somebody at the control socket who may do nothing; why.
    Stranger(String),
}

impl Caller {
    /// Who has connected to the control socket.
    ///
    /// The user that the workers run as is no reason to be trusted: an app must not command its server.
    pub(super) fn of(socket: BorrowedFd<'_>, facts: &Facts) -> Self {
        let peer = match control_socket::peer(socket) {
            Ok(peer) => peer,
            Err(error) => return Self::Stranger(format!("it is not known who you are: {error}")),
        };
        let in_group = facts.group.is_some_and(|group| peer.groups.contains(&group));
        if peer.user == 0 || peer.user == facts.user || in_group {
            return Self::Trusted;
        }
        let name = |user| privileges::user_name(user).unwrap_or_else(|_| user.to_string());
        Self::Stranger(format!(
            "user {} may not control this server, which is user {}'s; see admin.group",
            name(peer.user),
            name(facts.user)
        ))
    }
}
