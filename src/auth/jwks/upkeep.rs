//! Keeps the key sets of a table up to date.

use super::client::{FetchError, Fetched, fetch, usable_in};
use super::report::{Notes, Report};
use super::schedule::{Schedule, stale_at_the_latest};
use super::source::Source;
use crate::contract::key_table::{Age, KeyTable, SourceIndex, now_ms};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

/// The one who fetches.
#[derive(Debug)]
pub struct Upkeep {
    table: KeyTable,
    /// Somebody has put something into the table.
    wake: Notify,
    orders: Mutex<Vec<oneshot::Sender<Refreshed>>>,
    /// Of each source, with its name, as of the last turn.
    notes: Mutex<Vec<(String, Notes)>>,
}

/// What became of an operator's order to fetch everything: the failures, each with its source.
pub type Refreshed = Vec<String>;

/// What is known of one source here.
struct Keeper {
    description: Vec<u8>,
    source: Arc<Source>,
    schedule: Schedule,
    activity: Activity,
    /// What was published last, so that nothing is published twice.
    published: Vec<u8>,
    notes: Notes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Waiting,
    Fetching,
}

/// Somebody who waits until all sources have been fetched.
struct Order {
    answer: oneshot::Sender<Refreshed>,
    left: Vec<SourceIndex>,
    failures: Refreshed,
}

type Done = (SourceIndex, Result<Fetched, FetchError>);

impl Upkeep {
    /// Nothing happens before [`run`](Self::run).
    pub fn new(table: KeyTable) -> Arc<Self> {
        Arc::new(Self { table, wake: Notify::new(), orders: Mutex::default(), notes: Mutex::default() })
    }

    /// Says that there may be something new in the table.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Fetches all sources now; the answer comes when all attempts have ended.
    pub fn refresh(&self) -> oneshot::Receiver<Refreshed> {
        let (answer, answered) = oneshot::channel();
        self.orders().push(answer);
        self.wake();
        answered
    }

    /// How it stands with each source.
    pub fn reports(&self) -> Vec<Report> {
        let (notes, now) = (self.notes(), now_ms());
        notes.iter().map(|(source, notes)| notes.report(source, now)).collect()
    }

    /// Fetches until it is dropped; `tell` is called after each attempt, when all that wait may look again.
    pub async fn run(&self, tell: impl Fn()) {
        let mut keepers: BTreeMap<SourceIndex, Keeper> = BTreeMap::new();
        let mut running: JoinSet<Done> = JoinSet::new();
        let mut orders: Vec<Order> = Vec::new();
        loop {
            let now = now_ms();
            self.survey(&mut keepers, now);
            self.take_orders(&mut keepers, &mut orders, now);
            for (index, keeper) in &mut keepers {
                if keeper.schedule.take_stale(now) {
                    tracing::error!(
                        "the keys of {} are too old to be used; its tokens are answered with 503 until they can be fetched",
                        keeper.source.name()
                    );
                    keeper.published.clear();
                    keeper.notes.put_away();
                    self.table.publish(*index, b"");
                    tell();
                }
                if keeper.schedule.is_due(now) && keeper.activity == Activity::Waiting {
                    keeper.activity = Activity::Fetching;
                    let (index, source) = (*index, Arc::clone(&keeper.source));
                    running.spawn(async move { (index, fetch(&source).await) });
                }
            }
            *self.notes() = (keepers.values())
                .map(|keeper| (keeper.source.name().to_owned(), keeper.notes.clone()))
                .collect();
            let waiting = keepers.values().filter(|keeper| keeper.activity == Activity::Waiting);
            let next = waiting.map(|keeper| keeper.schedule.next()).min();
            // Looked at now and then also without a reason: sources that nobody needs any more are forgotten.
            let pause = next.map_or(LOOK, |next| Duration::from_millis(next.saturating_sub(now)).min(LOOK));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
                Some(done) = running.join_next(), if !running.is_empty() => {
                    if let Ok((index, fetched)) = done {
                        self.settle(&mut keepers, &mut orders, (index, fetched));
                        tell();
                    }
                }
            }
        }
    }

    /// Looks at what is needed, and what is asked for.
    fn survey(&self, keepers: &mut BTreeMap<SourceIndex, Keeper>, now: u64) {
        keepers.retain(|index, keeper| {
            keeper.activity == Activity::Fetching || !self.table.release_unused(*index)
        });
        for (index, description) in self.table.sources() {
            if keepers.get(&index).is_none_or(|keeper| keeper.description != description) {
                let Some(source) = Source::read(&description) else { continue };
                keepers.insert(index, self.keeper((index, description), source, now));
            }
            if let Some(keeper) = keepers.get_mut(&index).filter(|_| self.table.take_wish(index)) {
                keeper.schedule.wish(now, &keeper.source);
            }
        }
    }

    /// Goes on with what the one before this process has published, if there was one: a set becomes no younger by that.
    fn keeper(&self, (index, description): (SourceIndex, Vec<u8>), source: Source, now: u64) -> Keeper {
        let mut published = self.table.read(index).text;
        if published.is_empty()
            && let Some((text, age)) = self.by_other_rules(&source, now)
        {
            self.table.publish(index, &text);
            self.table.note_age(index, age);
            published = text;
        }
        let (schedule, notes) = if published.is_empty() {
            (Schedule::new(now), Notes::default())
        } else {
            let unknown = || Age { fetched_ms: now, stale_ms: stale_at_the_latest(now, &source) };
            let age = self.table.age(index).unwrap_or_else(unknown);
            self.table.note_age(index, age);
            let notes = Notes::resumed(usable_in(&published, &source), age.fetched_ms);
            (Schedule::resumed(now, age.stale_ms), notes)
        };
        Keeper {
            description,
            source: Arc::new(source),
            schedule,
            activity: Activity::Waiting,
            published,
            notes,
        }
    }

    /// What was fetched last from the same place by other rules: a reload that changes them needs no provider that answers.
    fn by_other_rules(&self, source: &Source, now: u64) -> Option<(Vec<u8>, Age)> {
        let usable = self.table.sources().into_iter().filter_map(|(index, description)| {
            let other = Source::read(&description)?;
            let is_same = other.place == source.place && other.ca_file == source.ca_file;
            let fetched_ms = self.table.age(index).filter(|_| is_same)?.fetched_ms;
            let stale_ms = stale_at_the_latest(fetched_ms, source);
            let text = self.table.read(index).text;
            let is_good = now < stale_ms && text.len() <= source.max_bytes && usable_in(&text, source) > 0;
            is_good.then_some((text, Age { fetched_ms, stale_ms }))
        });
        usable.max_by_key(|(_, age)| age.fetched_ms)
    }

    fn take_orders(&self, keepers: &mut BTreeMap<SourceIndex, Keeper>, orders: &mut Vec<Order>, now: u64) {
        for answer in self.orders().drain(..) {
            keepers.values_mut().for_each(|keeper| keeper.schedule.order(now));
            orders.push(Order { answer, left: keepers.keys().copied().collect(), failures: Vec::new() });
        }
        answer_complete(orders);
    }

    fn settle(
        &self,
        keepers: &mut BTreeMap<SourceIndex, Keeper>,
        orders: &mut Vec<Order>,
        (index, fetched): Done,
    ) {
        let Some(keeper) = keepers.get_mut(&index) else { return };
        keeper.activity = Activity::Waiting;
        let (now, random, name) = (now_ms(), random(), keeper.source.name().to_owned());
        let failure = match fetched {
            Ok(Fetched { text, keys, fresh, skipped }) => {
                keeper.notes.succeeded(now, keys);
                if keeper.schedule.failures() > 0 {
                    tracing::info!("the keys of {name} can be fetched again");
                }
                keeper.schedule.succeeded(now, &keeper.source, fresh, random);
                let stale_ms = keeper.schedule.stale().unwrap_or(now);
                if keeper.published != text {
                    for why in skipped {
                        tracing::info!("of the keys of {name} one is not used: {why}");
                    }
                    keeper.published = text.to_vec();
                    self.table.publish(index, &text);
                }
                self.table.note_age(index, Age { fetched_ms: now, stale_ms });
                None
            }
            Err(error) => {
                if keeper.schedule.failures() == 0 {
                    tracing::warn!("the keys of {name} cannot be fetched: {error}");
                }
                keeper.schedule.failed(now, &keeper.source, random);
                keeper.notes.failed(&error);
                Some(format!("{name}: {error}"))
            }
        };
        // Whoever wished for keys while they were fetched looks at what has come.
        self.table.take_wish(index);
        self.table.attempted(index, keeper.schedule.next_wish());
        for order in orders.iter_mut().filter(|order| order.left.contains(&index)) {
            order.left.retain(|left| *left != index);
            order.failures.extend(failure.clone());
        }
        answer_complete(orders);
    }

    fn notes(&self) -> MutexGuard<'_, Vec<(String, Notes)>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orders(&self) -> MutexGuard<'_, Vec<oneshot::Sender<Refreshed>>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer_complete(orders: &mut Vec<Order>) {
    for order in orders.extract_if(.., |order| order.left.is_empty()) {
        // Who has gone meanwhile does not want to know.
        let _ = order.answer.send(order.failures);
    }
}

/// From 0 to 1.
fn random() -> f64 {
    let mut byte = [0];
    // Without randomness servers ask at the same time, which is bearable.
    let _ = SystemRandom::new().fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

/// Between two looks at the table, at most.
const LOOK: Duration = Duration::from_secs(30);

#[cfg(test)]
#[path = "upkeep_tests.rs"]
mod tests;
