//! Requests that have ended workers are refused for a while: `workers.quarantine`.

use crate::contract::quarantine::{Standing, Suspect};
use crate::contract::scoreboard::{RecordIndex, Scoreboard};
use crate::protocol::{RequestHead, Substitute};
use http::StatusCode;
use std::time::Duration;

/// What this worker does about such requests.
#[derive(Debug)]
pub struct Quarantine {
    scoreboard: Scoreboard,
    record: RecordIndex,
}

/// A suspect that this worker serves; whoever else comes with the same request waits meanwhile.
#[derive(Debug)]
pub struct Attempt<'a> {
    quarantine: &'a Quarantine,
    suspect: Suspect,
}

impl Quarantine {
    /// That of the worker with this record.
    pub fn new(scoreboard: Scoreboard, record: RecordIndex) -> Self {
        Self { scoreboard, record }
    }

    /// How a request stands; the error is the answer.
    ///
    /// # Errors
    /// The answer to a request that is refused.
    pub fn judge(&self, head: &RequestHead) -> Result<Option<Suspect>, Substitute> {
        match self.scoreboard.standing(head.method.as_str().as_bytes(), head.target.raw()) {
            Standing::Clear => Ok(None),
            Standing::Suspect(suspect) => Ok(Some(suspect)),
            Standing::Quarantined(left) => Err(refusal(left)),
        }
    }

    /// Waits until nobody else serves the suspect; `None` when it is none any more.
    ///
    /// # Errors
    /// The answer, when the wait was in vain.
    pub async fn attempt(&self, suspect: Suspect) -> Result<Option<Attempt<'_>>, Substitute> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.scoreboard.standing_of(suspect) {
                Standing::Clear => return Ok(None),
                Standing::Quarantined(left) => return Err(refusal(left)),
                Standing::Suspect(_) => {}
            }
            if self.scoreboard.try_suspect(suspect, self.record) {
                return Ok(Some(Attempt { quarantine: self, suspect }));
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(refusal(Duration::from_secs(1)));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Attempt<'_> {
    /// It was answered, and the worker is there.
    pub fn succeeded(self) {
        self.quarantine.scoreboard.acquit(self.suspect);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.quarantine.scoreboard.leave_suspect(self.suspect, self.quarantine.record);
    }
}

fn refusal(left: Duration) -> Substitute {
    Substitute::new(StatusCode::SERVICE_UNAVAILABLE, "This request is not answered at present.")
        .retry_after(left.as_secs().saturating_add(1))
}

/// How long a request waits for another one like it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks, which are in memory that other processes write.
const PAUSE: Duration = Duration::from_millis(2);
