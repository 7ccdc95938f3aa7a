//! What `ferricorn ctl` takes.

use super::find::Selection;
use crate::config::{self, Canary};
use clap::ArgAction;
use std::path::PathBuf;
use std::time::Duration;

/// `ferricorn ctl`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(subcommand)]
    pub(super) action: Action,
    /// Control socket of the server: a path, or @NAME
    #[arg(long, global = true, value_name = "PLACE")]
    socket: Option<String>,
    /// Pid of the server's master
    #[arg(long, global = true, value_name = "PID")]
    pid: Option<i32>,
    /// Configuration file that the server was started with
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true, action = ArgAction::SetTrue)]
    pub(super) json: bool,
    /// Wait for the outcome of a reload, an upgrade or a stop, as without this flag
    #[arg(long, global = true, action = ArgAction::SetTrue)]
    wait: bool,
    /// Leave when the master has been told; what becomes of it is in the log
    #[arg(long, global = true, action = ArgAction::SetTrue, conflicts_with = "wait")]
    no_wait: bool,
    /// Give up after so many seconds; 0 = never
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Show the state of the server and its workers
    Status,
    /// Show the workers
    Workers,
    /// Show the requests in flight: where each is, since when, from whom
    Requests,
    /// Show where the thread is that serves a request
    Stack {
        /// The request's id, as `requests` shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
    },
    /// End a request: its client is answered, its worker lives
    Cancel {
        /// The request's id, as `requests` shows it
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
    },
    /// Take configuration and apps anew
    Reload {
        /// Try one new worker for so long beside the old ones, such as 10s, whatever workers.canary says; 0s: do not
        #[arg(long, value_name = "TIME", value_parser = canary_time)]
        canary: Option<Duration>,
    },
    /// Read all keys of [auth] anew, fetched ones included
    ReloadKeys,
    /// Have N workers, N more (+N) or N fewer (-N); waits until they are ready
    Scale {
        /// N, +N or -N
        #[arg(value_name = "N", allow_hyphen_values = true, value_parser = scale)]
        count: String,
    },
    /// Open the log files anew
    Reopen,
    /// Stop when the running requests have ended
    Stop,
    /// Stop at once
    Quit,
    /// Put a new program in the place of the running one
    Upgrade,
}

impl Arguments {
    pub(super) fn selection(&self) -> Selection {
        Selection { socket: self.socket.clone(), pid: self.pid, config: self.config.clone() }
    }

    /// Whether the outcome is waited for: an exit code of 0 should mean that it has happened.
    pub(super) fn waits(&self) -> bool {
        self.wait || !self.no_wait
    }

    /// `None`: as long as it takes.
    pub(super) fn timeout(&self) -> Option<Duration> {
        (self.timeout > 0).then(|| Duration::from_secs(self.timeout))
    }
}

impl Action {
    /// Method and target of the request that asks for it.
    pub(super) fn request(&self, wait: bool) -> (&'static str, String) {
        let wait = if wait { "yes" } else { "no" };
        match self {
            Self::Status | Self::Workers => ("GET", "/status".into()),
            Self::Requests => ("GET", "/requests".into()),
            Self::Reload { canary: None } => ("POST", format!("/reload?wait={wait}")),
            Self::Reload { canary: Some(time) } => {
                ("POST", format!("/reload?wait={wait}&canary_ms={}", time.as_millis()))
            }
            Self::ReloadKeys => ("POST", "/reload-keys".into()),
            Self::Stop => ("POST", format!("/stop?wait={wait}")),
            Self::Quit => ("POST", format!("/quit?wait={wait}")),
            // It is known at once, or soon, whether these have taken effect.
            Self::Scale { count } => ("POST", format!("/scale?{}", query(count))),
            Self::Stack { id } => ("POST", format!("/stack?id={id}")),
            Self::Cancel { id } => ("POST", format!("/cancel?id={id}")),
            Self::Reopen => ("POST", "/reopen".into()),
            Self::Upgrade => ("POST", format!("/upgrade?wait={wait}")),
        }
    }

    pub(super) fn ends_the_server(&self) -> bool {
        matches!(self, Self::Stop | Self::Quit)
    }
}

fn canary_time(text: &str) -> Result<Duration, String> {
    let time = config::parse_duration(text)?;
    if time > Canary::LONGEST {
        return Err("expected at most 1d: other reloads wait for it".into());
    }
    Ok(time)
}

fn scale(text: &str) -> Result<String, String> {
    let fits = match text.strip_prefix(['+', '-']) {
        Some(change) => change.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i16>().is_ok(),
        None => text.parse::<u16>().is_ok_and(|count| count > 0),
    };
    if fits { Ok(text.to_owned()) } else { Err("expected a number of workers such as 4, +1 or -1".into()) }
}

fn id(text: &str) -> Result<String, String> {
    let is_id = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id {
        Ok(text.to_owned())
    } else {
        Err("expected an id as `ferricorn ctl requests` shows it".into())
    }
}

fn query(count: &str) -> String {
    if count.starts_with(['+', '-']) {
        format!("by={}", count.trim_start_matches('+'))
    } else {
        format!("to={count}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_workers_are_understood() {
        for (text, expected) in [("4", "to=4"), ("+2", "by=2"), ("-1", "by=-1")] {
            assert_eq!(query(&scale(text).unwrap()), expected);
        }
        for text in ["", "0", "+", "-", "--1", "+-1", "x", "1.5", "70000", "+40000"] {
            assert!(scale(text).is_err(), "{text}");
        }
    }
}
