//! A plan as unit files. Each line that is not plain has its reason above it: systemd.unit(5) knows no comment behind one.

use super::account::Account;
use super::plan::{Activation, Code, Plan, Ports, Reach, Reloading};
use std::fmt::Write;
use std::path::Path;

/// The service unit.
pub(super) fn service(plan: &Plan) -> String {
    let mut unit = Unit::default();
    let name = &plan.name;
    unit.section("Unit");
    unit.line(format!("Description=Ferricorn application server ({name})"));
    unit.line("After=network.target");
    if plan.activation != Activation::Server {
        unit.why("A start by hand uses systemd's sockets as well.");
        unit.line(format!("Requires={name}.socket"));
        unit.line(format!("After={name}.socket"));
    }
    unit.why("Restarts are never given up: a database that is not there may come back.");
    unit.line("StartLimitIntervalSec=0");

    unit.section("Service");
    life(&mut unit, plan);
    identity(&mut unit, plan);
    places(&mut unit, plan);
    hardening(&mut unit, plan);

    unit.section("Install");
    unit.line("WantedBy=multi-user.target");
    unit.0
}

/// The socket unit; that of the default address where the server itself was to listen.
pub(super) fn socket(plan: &Plan) -> String {
    let mut unit = Unit::default();
    unit.section("Unit");
    unit.line(format!("Description=Sockets of {}.service", plan.name));
    unit.section("Socket");
    if let Activation::Socket(sockets) = &plan.activation {
        for address in &sockets.listen {
            unit.line(format!("ListenStream={}", address.replace('%', "%%")));
        }
        unit.line(format!("Backlog={}", sockets.backlog));
        if sockets.listen.iter().any(|address| address.starts_with('/')) {
            unit.line(format!("SocketMode={}", sockets.mode));
            for (key, value) in [("SocketUser", &sockets.owner), ("SocketGroup", &sockets.group)] {
                unit.lines(value.iter().map(|value| format!("{key}={value}")));
            }
            unit.line("RemoveOnStop=yes");
        }
    }
    unit.section("Install");
    unit.line("WantedBy=sockets.target");
    unit.0
}

fn life(unit: &mut Unit, plan: &Plan) {
    unit.why("The server says itself when it is ready, reloads or stops, and how it is (STATUS).");
    unit.line("Type=notify");
    unit.line(format!("WorkingDirectory={}", place(&plan.directory)));
    unit.line(format!("ExecStart={}", command_line(&plan.command)));
    match &plan.reload {
        Reloading::Command(words) => {
            unit.why(
                "Waits for the outcome: broken code makes `systemctl reload` fail, and the service goes on.",
            );
            // Behind what tells which server, so that the variable stays one.
            let timeout = (plan.reloading + REPLY).as_secs();
            unit.line(format!(
                "ExecReload={} --pid $MAINPID --timeout {timeout} reload --wait",
                command_line(words)
            ));
        }
        Reloading::Signal => {
            unit.why("Returns at once; whether the new code was taken is in `systemctl status` and the log.");
            unit.line("ExecReload=/bin/kill -HUP $MAINPID");
        }
    }
    unit.why("Workers are told by the master when to leave; what is left at the end is killed.");
    unit.line("KillMode=mixed");
    unit.why("timeouts.boot or timeouts.reload (systemd has one limit for both), and time for what follows.");
    unit.line(format!("TimeoutStartSec={}", (plan.start + MARGIN).as_secs()));
    unit.why("timeouts.lame_duck and the longest of the times to drain, and time for what follows.");
    unit.line(format!("TimeoutStopSec={}", (plan.stop + MARGIN).as_secs()));
    if plan.activation == Activation::Server {
        unit.why("Listening sockets are kept over a restart: clients wait and are not refused.");
        unit.line(format!("FileDescriptorStoreMax={STORED}"));
        unit.why("systemd 254 and later say this themselves.");
        unit.line(format!("Environment={}={STORED}", crate::sys::fd_store::PLACES));
    }
    unit.why("A master that hangs, or under which no worker comes up, is started anew.");
    unit.line("WatchdogSec=30");
    unit.line("Restart=on-failure");
    unit.line("RestartSec=2");
    unit.why("Exit code 2: the configuration is wrong, and will be at the next start too.");
    unit.line("RestartPreventExitStatus=2");
    unit.why("A worker that the kernel kills for its memory is replaced; the others go on.");
    unit.line("OOMPolicy=continue");
}

fn identity(unit: &mut Unit, plan: &Plan) {
    unit.gap();
    match &plan.account {
        Account::Dynamic => {
            unit.why("A user that exists only while the service runs, and owns its directories below.");
            unit.line("DynamicUser=yes");
        }
        Account::Named { user, group } => {
            unit.line(format!("User={user}"));
            unit.lines(group.iter().map(|group| format!("Group={group}")));
        }
    }
}

fn places(unit: &mut Unit, plan: &Plan) {
    let (name, writable) = (&plan.name, &plan.writable);
    unit.gap();
    match plan.activation {
        Activation::Server => {
            unit.why("For sockets and pid files; others, such as nginx, may enter.");
            unit.line(format!("RuntimeDirectory={}", writable.runtime.join(" ")));
            unit.line("RuntimeDirectoryMode=0755");
            unit.why("The paths of kept sockets stay as well.");
            unit.line("RuntimeDirectoryPreserve=restart");
        }
        // A runtime directory goes with the service, and the socket in it with the directory.
        Activation::Socket(_) => {}
    }
    let state = match &plan.account {
        // systemd.exec(5), DynamicUser=: what is left of one user must not be open to the next who gets its number.
        Account::Dynamic => format!("/var/lib/{name}, in /var/lib/private, which root alone may enter"),
        Account::Named { .. } => format!("/var/lib/{name}"),
    };
    unit.why(&format!("{state}: the service's own, for data that no other place is named for."));
    unit.line(format!("StateDirectory={name}"));
    unit.lines(writable.logs.iter().map(|name| format!("LogsDirectory={name}")));
    if !writable.paths.is_empty() {
        unit.why("Databases, uploads, logs: all else is read-only. \"-\": it may be missing.");
        unit.lines(writable.paths.iter().map(|path| format!("ReadWritePaths={}", quoted_path(path))));
    }
}

fn hardening(unit: &mut Unit, plan: &Plan) {
    unit.gap();
    match plan.ports {
        Ports::Low => {
            unit.why("A port below 1024 is bound; nothing else of root's is needed.");
            unit.line("AmbientCapabilities=CAP_NET_BIND_SERVICE");
            unit.line("CapabilityBoundingSet=CAP_NET_BIND_SERVICE");
        }
        Ports::High => {
            unit.why("Nothing of root's is needed.");
            unit.line("CapabilityBoundingSet=");
        }
    }
    unit.pairs(&PRIVILEGES);
    match plan.home {
        Reach::Hidden => {
            unit.why("Nothing of it is in a home directory, and nobody's keys are its business.");
            unit.line("ProtectHome=yes");
        }
        Reach::Seen => {
            unit.why("Part of it is in a home directory: seen, not changed.");
            unit.line("ProtectHome=read-only");
        }
    }
    match plan.temporary {
        Reach::Hidden => {
            unit.why("Nobody else's files in /tmp, and its own go with it.");
            unit.line("PrivateTmp=yes");
        }
        Reach::Seen => {}
    }
    unit.pairs(&KERNEL);
    match plan.code {
        Code::Native => {
            unit.why("Compiled code only: no memory is both written and run.");
            unit.line("MemoryDenyWriteExecute=yes");
        }
        Code::Python => {
            // Without "=": a reader who searches for the setting should find why it is not there.
            unit.why("No MemoryDenyWriteExecute: callbacks of ctypes and cffi and every JIT write code.");
        }
    }
}

/// A unit file as it grows.
#[derive(Debug, Default)]
struct Unit(String);

impl Unit {
    fn section(&mut self, name: &str) {
        self.gap();
        self.line(format!("[{name}]"));
    }

    fn gap(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
    }

    fn why(&mut self, reason: &str) {
        self.line(format!("# {reason}"));
    }

    fn line(&mut self, line: impl AsRef<str>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{}", line.as_ref());
    }

    fn lines(&mut self, lines: impl Iterator<Item = String>) {
        lines.for_each(|line| self.line(line));
    }

    fn pairs(&mut self, pairs: &[(&str, &str)]) {
        for (reason, setting) in pairs {
            self.why(reason);
            self.line(setting);
        }
    }
}

/// A program and its arguments.
fn command_line(words: &[String]) -> String {
    let word = |(number, word): (usize, &String)| match number {
        // systemd looks for the program before it looks for variables.
        0 => quoted(word).replace("$$", "$"),
        _ => quoted(word),
    };
    words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

/// A word of a command line (systemd.service(5), "COMMAND LINES"; systemd.syntax(7), "QUOTING").
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@,+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut out = String::from("\"");
    for character in word.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '%' | '$' => out.extend([character, character]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// A path that is one word of several; `$` means nothing there.
fn quoted_path(path: &Path) -> String {
    quoted(&format!("-{}", path.display())).replace("$$", "$")
}

/// A path that is the whole value.
fn place(path: &Path) -> String {
    path.display().to_string().replace('%', "%%")
}

/// For the answer that a reload has taken too long, before systemd loses patience.
const REPLY: std::time::Duration = std::time::Duration::from_secs(5);

/// More than a pool has slots and addresses.
const STORED: u32 = 512;

/// For killing and reaping what is overdue.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(15);

const PRIVILEGES: [(&str, &str); 3] = [
    ("No program that it starts gets more than it has, whatever its mode bits say.", "NoNewPrivileges=yes"),
    ("New files cannot be made to run as somebody else.", "RestrictSUIDSGID=yes"),
    (
        "The whole file system is read-only, except for the places above, /dev, /proc and /sys.",
        "ProtectSystem=strict",
    ),
];

const KERNEL: [(&str, &str); 15] = [
    (
        "Of devices only null, zero, random and the like. An app that computes on a GPU needs \"no\".",
        "PrivateDevices=yes",
    ),
    ("Kernel variables in /proc and /sys are for the administrator.", "ProtectKernelTunables=yes"),
    ("It loads no kernel modules,", "ProtectKernelModules=yes"),
    ("reads no kernel log,", "ProtectKernelLogs=yes"),
    ("changes no cgroups (their limits can still be read),", "ProtectControlGroups=yes"),
    ("sets no clock", "ProtectClock=yes"),
    ("and no host name.", "ProtectHostname=yes"),
    ("Processes of other users are not to be seen.", "ProtectProc=invisible"),
    (
        "It speaks HTTP, to databases and to the journal: no raw packets, no netlink.",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    ),
    ("It makes no containers.", "RestrictNamespaces=yes"),
    ("It must not be able to starve the machine.", "RestrictRealtime=yes"),
    ("No emulation of other kernels, whose calls are less looked after,", "LockPersonality=yes"),
    ("nor calls of other architectures.", "SystemCallArchitectures=native"),
    ("What services need; no mounting, tracing, swapping, rebooting.", "SystemCallFilter=@system-service"),
    (
        "A call that is refused fails, instead of ending the process: libraries try and do without.",
        "SystemCallErrorNumber=EPERM",
    ),
];

#[cfg(test)]
mod tests;
