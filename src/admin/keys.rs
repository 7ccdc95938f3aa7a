//! Keys, on behalf of the workers: sets are fetched here, and `ctl reload-keys` is seen to.

use super::desk::Desk;
use crate::auth::jwks::Upkeep;
use crate::contract::control::{Command, Verdict};
use crate::contract::inquiry::{Inquiry, Wish};
use crate::contract::scoreboard::{Scoreboard, WorkerState};
use crate::sys::process::Pid;
use std::sync::Arc;

/// Has all workers look for new keys: after a fetch sets alone, for an operator files too.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) desk: Arc<Desk>,
    pub(super) scoreboard: Scoreboard,
    pub(super) upkeep: Arc<Upkeep>,
}

impl Keys {
    /// Fetches sets as long as the server runs.
    pub(super) async fn keep(self) {
        let told = self.clone();
        self.upkeep.run(|| told.tell()).await;
    }

    /// Tells the workers that there may be another set. One who does not hear of it looks by itself within seconds.
    fn tell(&self) {
        for pid in self.workers() {
            let _verdict = self.desk.ask(inquire(pid, Wish::TakeKeys));
        }
    }

    /// Reads all key files and fetches all sets anew.
    ///
    /// # Errors
    /// What keeps its old keys, and why.
    pub(super) async fn reload(&self) -> Result<String, String> {
        let mut failures = self.upkeep.refresh().await.unwrap_or_default();
        let mut asked = Vec::new();
        for pid in self.workers() {
            asked.push((pid, self.desk.ask(inquire(pid, Wish::ReadKeys))?));
        }
        let mut told = 0;
        for (pid, verdict) in asked {
            match verdict.await {
                Ok(Verdict::Done(_)) => told += 1,
                // Its successor has read them when it was started.
                Ok(Verdict::Failed(_)) if !self.workers().contains(&pid) => {}
                Ok(Verdict::Failed(reason)) if failures.contains(&reason) => {}
                Ok(Verdict::Failed(reason)) => failures.push(reason),
                Err(_) => return Err(super::desk::ENDED.into()),
            }
        }
        failures.dedup();
        if failures.is_empty() {
            Ok(format!("{told} workers have read their keys anew"))
        } else {
            Err(format!("old keys stay in use: {}", failures.join("; ")))
        }
    }

    fn workers(&self) -> Vec<Pid> {
        let ready = self.scoreboard.records().filter(|record| record.state() == WorkerState::Ready);
        ready.map(|record| record.pid()).filter(|pid| pid.0 != 0).collect()
    }
}

fn inquire(pid: Pid, wish: Wish) -> Command {
    Command::Inquire { pid, inquiry: Inquiry { request: 0, wish } }
}
