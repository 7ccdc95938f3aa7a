//! Random scripts in virtual time against a model of the operating system.

mod molds;
mod reloads;

use super::cancel;
use super::successor::Successor;
use crate::config::Canary;
use crate::contract::control::{Command, Pace, Scale, Ticket};
use crate::contract::message::{Order, Report, RetireReason};
use crate::contract::scoreboard::Service;
use crate::contract::slot::{Generation, Slot};
use crate::master::decide::adapt::{Span, Work};
use crate::master::decide::admin::HasAdmin;
use crate::master::decide::mold::Preload;
use crate::master::decide::supervisor::Supervisor;
use crate::master::event::{Action, Event, Finish, Note};
use crate::master::pool::Pool;
use crate::sys::process::Pid;
use crate::sys::wait::{Core, WaitOutcome};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// What a process would do if it were one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    Starting,
    Serving,
    Leaving,
    Killed,
}

/// Whether anything may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Wild,
    Calm,
}

/// A master, its processes, and what must hold of them.
pub(super) struct World {
    random: u64,
    pub(super) now: Instant,
    pub(super) supervisor: Supervisor,
    pub(super) processes: BTreeMap<Pid, (Slot, Generation, Model)>,
    pub(super) next_pid: i32,
    vacant: BTreeSet<Slot>,
    /// The check command that runs.
    check: Option<(Generation, Model)>,
    pub(super) successor: Option<Successor>,
    /// Processes that have asked for a successor.
    pub(super) retiring: BTreeSet<Pid>,
    /// How many must serve as long as the reload goes on, crashes apart.
    pub(super) floor: Option<usize>,
    pub(super) stopping: bool,
    mood: Mood,
    exit: Option<Finish>,
    pub(super) ever_served: bool,
    /// Tickets without a verdict.
    pub(super) waiting: BTreeSet<Ticket>,
    pub(super) next_ticket: u64,
    pub(super) has_admin: bool,
    pub(super) molds: molds::Molds,
    /// Those of a canary.
    answers: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Instant::now(),
            supervisor: Supervisor::new(pool(1, 1, false), SLOTS_MAX),
            processes: BTreeMap::new(),
            next_pid: 100,
            vacant: BTreeSet::new(),
            check: None,
            successor: None,
            retiring: BTreeSet::new(),
            floor: None,
            stopping: false,
            mood: Mood::Wild,
            exit: None,
            ever_served: false,
            waiting: BTreeSet::new(),
            next_ticket: 0,
            has_admin: false,
            molds: molds::Molds::default(),
            answers: 0,
        };
        let pool = world.any_pool();
        world.supervisor = Supervisor::new(pool, SLOTS_MAX).with_admin(HasAdmin::Yes);
        world.happen(Event::Tick);
        world
    }

    /// Every other worker's event loop stands still.
    fn look(&self) -> Event {
        let beat = |pid: &Pid| if pid.0 % 2 == 0 { 0 } else { self.random };
        Event::Looked(self.processes.keys().map(|pid| (*pid, beat(pid))).collect())
    }

    /// Any work, until all are left in peace: then so much that nobody is missing and nobody too many.
    fn survey(&mut self) -> Event {
        let workers = u64::from(self.supervisor.size());
        let busy =
            if self.mood == Mood::Calm { 700 * workers } else { u64::from(self.below(1000)) * workers };
        let waiting = if self.mood == Mood::Calm { 0 } else { u64::from(self.below(20)) };
        Event::Surveyed(Work { busy, waiting, memory: None })
    }

    /// It may leave for the sake of its queue, even where no successor comes.
    fn stands_still(&mut self, pid: Pid) {
        self.retiring.insert(pid);
        self.floor = self.floor.map(|floor| floor.saturating_sub(1));
    }

    /// Xorshift: the seed in a failure message plays the same script again.
    pub(super) fn below(&mut self, limit: u16) -> u16 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        u16::try_from(self.random % u64::from(limit)).unwrap()
    }

    pub(super) fn any_pool(&mut self) -> Pool {
        let checks = self.below(3) == 0;
        let preload = if self.below(3) == 0 { Preload::Yes } else { Preload::No };
        let canary = if self.below(3) == 0 { pool(1, 1, false).canary } else { Canary::default() };
        let pool = pool(self.below(4) + 1, self.below(3) + 1, checks);
        let (least, most) = (pool.workers, pool.workers + self.below(3));
        let span = Span { least, most, shrink_after: Duration::from_secs(5) };
        Pool { preload, canary, span: (self.below(3) == 0).then_some(span), ..pool }
    }

    fn happen(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            assert!(self.exit.is_none(), "nothing happens after the end");
            if matches!(event, Event::Asked { command: Command::Stop(_), .. }) {
                self.stopping = true;
            }
            let serving_before = self.serving();
            let actions = self.supervisor.step(self.now, event);
            self.check_failed_reload(&actions, &serving_before);
            self.check_forks(&actions);
            self.note_reload(&actions, serving_before.len());
            let mut answers: VecDeque<_> =
                actions.into_iter().filter_map(|action| self.perform(action)).collect();
            answers.extend(events);
            events = answers;
        }
        self.check();
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Fork { slot, generation } => return Some(self.forks(slot, generation)),
            Action::Weigh(_) => return Some(super::recycle::any_weights(self.processes.keys(), self.random)),
            Action::Look => return Some(self.look()),
            Action::Survey => return Some(self.survey()),
            Action::Compare { canary } => return Some(self.compare(canary)),
            Action::Say(Note::StandsStill(who)) => self.stands_still(who.pid),
            Action::Cast { .. } | Action::MakeMold { .. } | Action::BreakMold { .. } => {
                return self.perform_on_molds(&action);
            }
            Action::LoadConfig => return Some(self.load_config()),
            Action::Send { pid, order } => {
                let process = self.processes.get_mut(&pid).expect("orders go to processes that exist");
                if matches!(order, Order::Drain(_) | Order::Stop) {
                    assert_ne!(process.2, Model::Killed);
                    process.2 = Model::Leaving;
                }
            }
            Action::Kill { pid } => {
                self.processes.get_mut(&pid).expect("nobody else is killed").2 = Model::Killed
            }
            Action::Serve { slot, service: Service::Vacant } => assert!(self.vacant.insert(slot)),
            Action::Serve { slot, service: Service::Served } => {
                self.vacant.remove(&slot);
            }
            Action::Exit(finish) => {
                assert!(self.is_alone(), "the master is the last to leave");
                self.exit = Some(finish);
            }
            Action::ForkAdmin => {
                assert!(!self.stopping, "no fork after a stop");
                let is_good = self.below(8) != 0;
                self.has_admin = is_good;
                return Some(Event::AdminForked(if is_good { Ok(()) } else { Err("no room".into()) }));
            }
            Action::ReopenLogs => {
                let is_good = self.below(4) != 0;
                return Some(Event::LogsReopened(if is_good { Ok(()) } else { Err("full".into()) }));
            }
            Action::Answer { ticket, .. } => {
                assert!(self.waiting.remove(&ticket), "nobody gets a second verdict");
            }
            Action::Check { generation } => {
                assert!(self.check.is_none() && !self.stopping, "one check at a time, and none after a stop");
                if self.below(10) == 0 {
                    return Some(Event::Checked { generation, outcome: Err("no such program".into()) });
                }
                self.check = Some((generation, Model::Serving));
            }
            Action::EndCheck => self.check.as_mut().expect("a check that runs").1 = Model::Killed,
            Action::Adopt { .. }
            | Action::Abandon { .. }
            | Action::Settle { .. }
            | Action::RefuseClients
            | Action::EndComparison
            | Action::Picture(_)
            | Action::Publish(_)
            | Action::Mark { .. }
            | Action::Say(_)
            | Action::Tell(_) => {}
            // The admin process leaves in its own time, as at any other.
            Action::DismissAdmin | Action::KillAdmin => {}
            Action::Upgrade(step) => return self.perform_upgrade(step),
        }
        None
    }

    fn forks(&mut self, slot: Slot, generation: Generation) -> Event {
        assert!(!self.stopping, "no fork after a stop");
        if self.below(20) == 0 {
            return Event::ForkFailed { slot, generation, text: "no room".into() };
        }
        self.next_pid += 1;
        let pid = Pid(self.next_pid);
        self.processes.insert(pid, (slot, generation, Model::Starting));
        Event::Forked { slot, generation, pid }
    }

    fn is_alone(&self) -> bool {
        let children = self.check.is_some() || self.successor.is_some() || !self.molds.are_gone();
        self.processes.is_empty() && !children
    }

    fn check(&self) {
        if self.exit.is_some() {
            return;
        }
        let mut per_slot: BTreeMap<Slot, usize> = BTreeMap::new();
        for (_, (slot, _, _)) in self.processes.iter().filter(|(pid, _)| !self.molds.came_late(**pid)) {
            *per_slot.entry(*slot).or_default() += 1;
        }
        assert!(per_slot.values().all(|count| *count <= 2), "two processes per slot: {:?}", self.processes);
        let deadline = self.supervisor.deadline();
        let waits = self.processes.values().any(|(_, _, model)| *model != Model::Serving)
            || self.check.is_some()
            || self.successor.is_some()
            || self.molds.wait()
            || self.supervisor.reload.is_some()
            || !self.waiting.is_empty();
        assert!(!waits || deadline.is_some(), "whoever waits has a deadline");
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "no deadline comes round and round");
        if let Some(floor) = self.floor.filter(|_| !self.stopping) {
            assert!(self.serving().len() >= floor, "a reload leaves fewer than {floor} serving");
        }
        let wanted = usize::from(self.supervisor.size());
        let most = self.supervisor.reload.as_ref().map_or(wanted, |reload| {
            wanted.max(usize::from(reload.pool.workers)) + usize::from(reload.pool.surge)
        });
        let live = self.processes.values().filter(|(_, _, m)| matches!(m, Model::Starting | Model::Serving));
        // Those that have proven an upgrade wait for workers that molds are still forking.
        let proven = if self.supervisor.upgrade.is_proving() { self.supervisor.pool.surge } else { 0 };
        assert!(
            live.count() <= most + self.retiring.len() + usize::from(proven),
            "too many: {:?}",
            self.processes
        );
        let unserved =
            |slot: &Slot| !self.processes.values().any(|(of, _, m)| of == slot && *m == Model::Serving);
        assert!(self.stopping || self.vacant.iter().all(unserved), "a slot is vacant only without a worker");
    }

    /// One random event; `calm` leaves out signals and crashes.
    fn act(&mut self, calm: bool) {
        self.mood = if calm { Mood::Calm } else { Mood::Wild };
        let choice = if calm { self.below(5) } else { self.below(40) };
        if (calm || self.below(4) == 0) && self.act_on_molds(calm) {
            return;
        }
        let index = usize::from(self.below(8));
        let chosen = self.processes.iter().nth(index).map(|(pid, process)| (*pid, process.2));
        if let Some((generation, model)) = self.check.take_if(|_| index == 0) {
            let passes = model == Model::Serving && (calm || self.below(3) != 0);
            let outcome = if passes { Ok(()) } else { Err("unapplied".into()) };
            return self.happen(Event::Checked { generation, outcome });
        }
        if let Some(event) = if index < 3 { self.successor_acts(calm) } else { None } {
            return self.happen(event);
        }
        let event = match (choice, chosen) {
            (0..=9, Some((pid, Model::Starting))) if calm || choice > 1 => self.becomes_ready(pid),
            (0, Some((pid, Model::Starting))) => self.fails(pid),
            (0..=9, Some((pid, Model::Leaving))) => self.ends(pid, WaitOutcome::Exited(0)),
            (0..=9, Some((pid, Model::Killed))) => self.ends(pid, KILLED),
            (10..=11, Some((pid, _))) if !calm => self.ends(pid, KILLED),
            (12..=13, Some((pid, Model::Serving))) => {
                self.retiring.insert(pid);
                Event::Reported { pid, report: Report::Retiring(RetireReason::RequestTimeout) }
            }
            (14..=16, _) => self.asked(Command::Reload { canary: None }),
            (17, _) => self.asked(Command::Scale(Scale::By(1))),
            (18, _) if index < 4 => self.asked(Command::Scale(Scale::By(-1))),
            (18, _) => {
                let count = self.below(SLOTS_MAX + 2);
                self.asked(Command::Scale(Scale::To(count)))
            }
            (19, _) => self.asked(Command::ReopenLogs),
            (20, _) if index == 0 => self.asked(Command::Stop(Pace::Graceful)),
            (21, _) if index == 0 => self.asked(Command::Stop(Pace::Quick)),
            (23, _) if self.has_admin => {
                self.has_admin = false;
                Event::AdminExited(KILLED)
            }
            (22, _) => self.asked(Command::Upgrade),
            (24, Some((pid, _))) => self.asked(cancel(pid)),
            _ => {
                let deadline = self.supervisor.deadline().unwrap_or(self.now);
                self.now =
                    if index < 4 { deadline } else { self.now + Duration::from_millis(300) }.max(self.now);
                Event::Tick
            }
        };
        self.happen(event);
    }
}

fn pool(workers: u16, surge: u16, checks: bool) -> Pool {
    let seconds = Duration::from_secs;
    Pool {
        workers,
        span: None,
        surge,
        drain: seconds(30),
        lame_duck: Duration::ZERO,
        boot: seconds(60),
        canary: Canary { time: seconds(20), ..Canary::default() },
        preload: Preload::No,
        check: checks.then_some(seconds(60)),
        reload: seconds(200),
        recycling: super::recycle::any_plan(surge),
        heartbeat: Some(seconds(60)),
    }
}

#[test]
fn the_invariants_hold_over_random_scripts() {
    for seed in 1..=2000 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..150 {
            if world.exit.is_some() {
                break;
            }
            world.act(false);
        }
        if let Some(Finish::StartFailed { .. }) = world.exit {
            assert!(!world.ever_served, "who has served never gives up");
        }
        // Left in peace, a server that goes on has a worker in every slot in the end.
        for _ in 0..2000 {
            if world.exit.is_none() {
                world.act(true);
            }
        }
        if world.exit.is_none() {
            assert!(world.waiting.is_empty(), "every ticket gets a verdict: {:?}", world.waiting);
            assert!(!world.serving().is_empty(), "somebody serves: {:?}", world.processes);
            assert!(world.supervisor.reload.is_none(), "a reload comes to an end");
            assert!(world.has_admin, "the admin process comes back");
            let count = world.serving().len();
            // With code that a canary was refused for, slots wait as long as anybody serves, whose own recycling goes on.
            let waits = world.supervisor.is_degraded();
            let size = usize::from(world.supervisor.size());
            assert!(count == size || (waits && count < size), "every slot is served once: {count} of {size}");
            let end = world.asked(Command::Stop(Pace::Quick));
            world.happen(end);
            for _ in 0..500 {
                if world.exit.is_none() {
                    world.act(true);
                }
            }
        }
        assert!(world.exit.is_some(), "a stop comes to an end");
        assert!(world.waiting.is_empty(), "every ticket gets a verdict: {:?}", world.waiting);
    }
}

pub(super) const SLOTS_MAX: u16 = 6;

const KILLED: WaitOutcome = WaitOutcome::Signalled { signal: "SIGKILL", core: Core::NotDumped };
