//! Threads for what blocks, each with a connection of its own: never the threads that serve requests.

use super::StoreError;
use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A bounded queue, and the threads that work it off.
pub struct Pool<R> {
    jobs: SyncSender<Job<R>>,
    limit: Duration,
}

/// Makes what a thread works with: a connection.
pub type Open<R> = Arc<dyn Fn() -> Result<R, StoreError> + Send + Sync>;

/// What is done with the connection, or with the reason why there is none.
type Run<R> = dyn FnOnce(Result<&mut R, StoreError>) -> Fate + Send;

struct Job<R> {
    /// After that nobody waits for it any more.
    until: Instant,
    run: Box<Run<R>>,
}

/// Whether what the job worked with can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
}

/// How much may wait, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Threads.
    pub threads: usize,
    /// Jobs that may wait.
    pub queue: usize,
    /// From the asking to the answer.
    pub limit: Duration,
}

impl<R: Send + 'static> Pool<R> {
    /// Begins the threads; each opens its connection when it has something to do, and anew after a failure.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(name: &str, bounds: Bounds, open: &Open<R>) -> io::Result<Self> {
        let (jobs, queue) = sync_channel::<Job<R>>(bounds.queue);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..bounds.threads {
            let (queue, open) = (Arc::clone(&queue), Arc::clone(open));
            std::thread::Builder::new().name(name.into()).spawn(move || work(&queue, &open))?;
        }
        Ok(Self { jobs, limit: bounds.limit })
    }

    /// Has a thread do something.
    ///
    /// # Errors
    /// What it says, or [`StoreError::Busy`], or [`StoreError::TooSlow`]: then it may still have been done.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut R) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let run = Box::new(move |resource: Result<&mut R, StoreError>| {
            let outcome = resource.and_then(job);
            let fate = match outcome {
                Err(StoreError::Unavailable(_)) => Fate::Dropped,
                Ok(_) | Err(StoreError::Busy | StoreError::TooSlow | StoreError::Unusable(_)) => Fate::Kept,
            };
            // Who does not wait any more does not want to know.
            let _ = answer.send(outcome);
            fate
        });
        match self.jobs.try_send(Job { until: Instant::now() + self.limit, run }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(StoreError::Busy),
            Err(TrySendError::Disconnected(_)) => return Err(gone()),
        }
        match tokio::time::timeout(self.limit, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(StoreError::TooSlow),
        }
    }
}

/// A job panicked, and its thread is gone with it.
fn gone() -> StoreError {
    StoreError::Unavailable("the thread that uses the store has ended".into())
}

fn work<R>(queue: &Mutex<Receiver<Job<R>>>, open: &Open<R>) {
    let mut resource: Option<R> = None;
    loop {
        // The lock is held while waiting: who gets it next takes the next job.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // What it would do now would be done behind the back of who was told that it was not.
        if Instant::now() >= job.until {
            continue;
        }
        if resource.is_none() {
            match open() {
                Ok(opened) => resource = Some(opened),
                Err(error) => {
                    (job.run)(Err(error));
                    continue;
                }
            }
        }
        let Some(usable) = resource.as_mut() else { continue };
        if (job.run)(Ok(usable)) == Fate::Dropped {
            resource = None;
        }
    }
}

impl<R> fmt::Debug for Pool<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    fn pool(bounds: (usize, usize), limit: Duration, open: &Open<usize>) -> Pool<usize> {
        Pool::new("test", Bounds { threads: bounds.0, queue: bounds.1, limit }, open).unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_connection_is_opened_anew_after_a_failure() {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let pool = pool((1, 1), LONG, &(Arc::new(move || Ok(count.fetch_add(1, Ordering::Relaxed))) as _));
        assert_eq!(pool.run(|number| Ok(*number)).await, Ok(0));
        assert_eq!(pool.run(|number| Ok(*number)).await, Ok(0));
        let failed = StoreError::Unavailable("away".into());
        let fails = failed.clone();
        assert_eq!(pool.run(move |_| Err::<(), _>(fails)).await, Err(failed));
        assert_eq!(pool.run(|number| Ok(*number)).await, Ok(1));
    }

    #[tokio::test]
    async fn what_cannot_be_opened_is_said() {
        let refused = || StoreError::Unusable("no".into());
        let pool = pool((1, 1), LONG, &(Arc::new(move || Err(refused())) as _));
        assert_eq!(pool.run(|number| Ok(*number)).await, Err(refused()));
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_what_nobody_waits_for_is_not_done() {
        let pool = Arc::new(pool((1, 1), Duration::from_millis(50), &(Arc::new(|| Ok(0_usize)) as _)));
        let (release, released) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let blocked = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move {
                pool.run(move |_| {
                    let _ = begun.send(());
                    let _ = released.recv();
                    Ok(())
                })
                .await
            }
        });
        tokio::task::spawn_blocking(move || begins.recv()).await.unwrap().unwrap();
        let late = pool.run(|number| {
            *number += 1;
            Ok(())
        });
        let second = async { pool.run(|_| Ok(())).await };
        let (late, second) = tokio::join!(late, second);
        assert_eq!((late, second), (Err(StoreError::TooSlow), Err(StoreError::Busy)));
        assert_eq!(blocked.await.unwrap(), Err(StoreError::TooSlow));
        release.send(()).unwrap();
        let number = loop {
            match pool.run(|number| Ok(*number)).await {
                Ok(number) => break number,
                Err(error) => assert_eq!(error, StoreError::Busy),
            }
        };
        assert_eq!(number, 0, "a job was done after its answer had been given up");
    }
}
