//! A connection that blocks, with a limit for everything.

use super::url::Place;
use crate::auth::store::StoreError;
use std::fmt;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, IsolationLevel, Transaction};

/// To one database. It has a runtime of its own, which runs while somebody waits: for threads that may block.
pub struct Connection {
    place: Place,
    /// What each connection begins with.
    settings: &'static str,
    runtime: Runtime,
    client: Client,
    /// When it was last heard.
    heard: Instant,
}

impl Connection {
    /// Connects to the database of a URL, and runs `settings` there. Not to be called in a runtime.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the URL is none, or the server knows no such database, name or password.
    pub fn open(url: &str, settings: &'static str) -> Result<Self, StoreError> {
        let place = Place::parse(url)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let client = connect(&runtime, &place, settings)?;
        Ok(Self { place, settings, runtime, client, heard: Instant::now() })
    }

    /// Does something within the limit of time. What was not done by then is not known: the connection is to be dropped.
    ///
    /// # Errors
    /// What it says, or [`StoreError::Unavailable`].
    pub fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.refresh()?;
        let outcome = within(&self.runtime, ANSWER, work(&mut self.client))?;
        self.heard = Instant::now();
        Ok(outcome)
    }

    /// The same in one transaction, in which what is read after a lock is as the lock's last holder has left it.
    ///
    /// # Errors
    /// As [`run`](Self::run); then nothing was changed, unless it is [`StoreError::Unavailable`].
    pub fn transact<T>(
        &mut self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.run(async |client| {
            let builder = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
            let transaction = builder.read_only(false).start().await?;
            let outcome = work(&transaction).await;
            // One that is only dropped would hold its locks until this connection is used again.
            if outcome.is_ok() {
                transaction.commit().await?;
            } else {
                let _ = transaction.rollback().await;
            }
            outcome
        })
    }

    /// Connects anew when the server has closed the connection while nobody used it. Only an idle one is asked: what
    /// has failed is never repeated, since it may have been done.
    fn refresh(&mut self) -> Result<(), StoreError> {
        if self.heard.elapsed() > IDLE {
            let check = async { Ok(self.client.check_connection().await) };
            if within(&self.runtime, ANSWER, check)?.is_err() {
                self.client = connect(&self.runtime, &self.place, self.settings)?;
            }
        }
        Ok(())
    }
}

fn connect(runtime: &Runtime, place: &Place, settings: &str) -> Result<Client, StoreError> {
    within(runtime, CONNECT, async {
        let (client, connection) = place.config.connect(place.tls.clone()).await?;
        tokio::spawn(async move {
            // Whoever waits for an answer is told of it.
            let _ = connection.await;
        });
        client.batch_execute(settings).await?;
        Ok(client)
    })
}

fn within<T>(
    runtime: &Runtime,
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    runtime.block_on(async { tokio::time::timeout(limit, work).await }).unwrap_or_else(|_| {
        Err(StoreError::Unavailable(format!("PostgreSQL has not answered within {limit:?}")))
    })
}

/// What the operator has to change is told from what passes.
impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let text = match error.as_db_error() {
            Some(said) => said.to_string(),
            None => with_sources(&error),
        };
        match error.code() {
            // SQLSTATE 28: name or password; 3D: no such database; 42: no right, or tables that are not ours.
            Some(code) if ["28", "3D", "42"].iter().any(|class| code.code().starts_with(class)) => {
                let hint = if *code == SqlState::INSUFFICIENT_PRIVILEGE {
                    "; the user must own the database, or be allowed to create tables in its schema"
                } else {
                    ""
                };
                Self::Unusable(format!("PostgreSQL: {text}{hint}"))
            }
            _ => Self::Unavailable(format!("PostgreSQL: {text}")),
        }
    }
}

fn with_sources(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// From the beginning of a connection to its end, logging in included.
const CONNECT: Duration = Duration::from_millis(1200);

/// From a question, which may be a whole transaction, to its answer. Both together are less than the pool's limit, so that
/// the answer is still waited for.
const ANSWER: Duration = Duration::from_millis(1500);

/// After that a connection is asked whether it is still one.
const IDLE: Duration = Duration::from_millis(400);
