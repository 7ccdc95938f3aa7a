//! As many workers as there is work for: grows, shrinks, keeps still, and never in the middle of something.

use super::*;
use crate::master::decide::adapt::{Hold, Picture, Span, Why, Work};

const SPAN: Span = Span { least: 2, most: 8, shrink_after: Duration::from_secs(30) };

fn adaptive() -> Pool {
    Pool { span: Some(SPAN), ..pool(2) }
}

/// A pool in virtual time, whose workers come and go as told.
struct World {
    supervisor: Supervisor,
    now: Instant,
    pids: Vec<Pid>,
    next_pid: i32,
    changes: Vec<(u16, u16, Why)>,
    picture: Option<Picture>,
    /// Whether workers get ready.
    starts: bool,
}

impl World {
    fn new(pool: Pool) -> Self {
        let mut world = Self {
            supervisor: Supervisor::new(pool, 16),
            now: Instant::now(),
            pids: Vec::new(),
            next_pid: 101,
            changes: Vec::new(),
            picture: None,
            starts: true,
        };
        world.play(Event::Tick);
        world
    }

    /// One event and whatever follows from it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most actions mean nothing in this world")]
    fn play(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.supervisor.step(self.now, event) {
                match action {
                    Action::Fork { slot, generation } => {
                        let pid = Pid(self.next_pid);
                        self.next_pid += 1;
                        self.pids.push(pid);
                        events.push_back(Event::Forked { slot, generation, pid });
                        if self.starts {
                            events.push_back(Event::Reported { pid, report: Report::Ready });
                        }
                    }
                    Action::Send { pid, order: Order::Drain(_) } => {
                        self.pids.retain(|other| *other != pid);
                        events.push_back(Event::Exited { pid, outcome: WaitOutcome::Exited(0) });
                    }
                    Action::Kill { pid } => {
                        self.pids.retain(|other| *other != pid);
                        let outcome = WaitOutcome::Signalled { signal: "SIGKILL", core: Core::NotDumped };
                        events.push_back(Event::Exited { pid, outcome });
                    }
                    Action::LoadConfig => events.push_back(Event::ConfigLoaded(Ok(adaptive()))),
                    Action::Say(Note::Adapted { workers, before, why }) => {
                        self.changes.push((before, workers, why));
                    }
                    Action::Picture(picture) => self.picture = Some(picture),
                    _ => {}
                }
            }
            let (low, high) = self.supervisor.bounds();
            let size = self.supervisor.size();
            assert!((low..=high).contains(&size), "{size} workers");
        }
    }

    /// So many seconds, with as much work at each look as this says for a number of workers.
    fn run(&mut self, seconds: u64, mut work: impl FnMut(u16) -> Work) {
        for _ in 0..seconds * 2 {
            self.now += Duration::from_millis(500);
            self.play(Event::Tick);
            let work = work(self.supervisor.size());
            self.play(Event::Surveyed(work));
        }
    }

    fn size(&self) -> u16 {
        self.supervisor.size()
    }
}

/// A load of so many thousandths of a worker: what cannot be served waits.
fn load(thousandths: u64) -> impl FnMut(u16) -> Work {
    move |workers| {
        let most = u64::from(workers) * 1000;
        let waiting = thousandths.saturating_sub(most) / 10;
        Work { busy: thousandths.min(most), waiting, memory: None }
    }
}

#[test]
fn it_looks_twice_a_second_and_only_where_the_number_may_change() {
    let mut supervisor = Supervisor::new(adaptive(), 16);
    let start = Instant::now();
    let looks = |supervisor: &mut Supervisor, ms: u64| {
        let actions = supervisor.step(start + Duration::from_millis(ms), Event::Tick);
        actions.iter().filter(|action| **action == Action::Survey).count()
    };
    let all: Vec<_> = [0, 499, 500, 999, 1000].into_iter().map(|ms| looks(&mut supervisor, ms)).collect();
    assert_eq!(all, [0, 0, 1, 0, 1]);
    assert_eq!(looks(&mut Supervisor::new(pool(2), 16), 5000), 0);
}

#[test]
fn a_load_brings_workers_until_they_are_enough_and_silence_takes_them_away_again() {
    let mut world = World::new(adaptive());
    world.run(60, load(4000));
    assert_eq!(world.size(), 5);
    assert_eq!(world.changes[0], (2, 3, Why::Waiting));
    world.run(29, load(0));
    assert_eq!(world.size(), 5, "not at once");
    world.run(300, load(0));
    assert_eq!(world.size(), 2, "and never below the least");
    assert_eq!(world.changes.last(), Some(&(3, 2, Why::Spare)));
    assert_eq!(world.changes.len(), 6);
}

#[test]
fn it_grows_to_the_most_and_says_that_it_is_held_there() {
    let mut world = World::new(adaptive());
    world.run(60, load(50_000));
    assert_eq!((world.size(), world.picture.unwrap().hold), (8, Hold::Most));
}

#[test]
fn one_busy_look_is_no_reason() {
    let mut world = World::new(adaptive());
    let mut turn = 0;
    world.run(120, |workers| {
        turn += 1;
        load(if turn % 2 == 0 { 5000 } else { 500 })(workers)
    });
    assert_eq!(world.changes, []);
}

#[test]
fn memory_that_would_not_be_enough_stops_it() {
    let mut world = World::new(adaptive());
    // Two workers use 60 %, so a third would bring it to 90.
    world.run(60, |workers| Work { memory: Some(60), ..load(9000)(workers) });
    assert_eq!((world.size(), world.picture.unwrap().hold), (2, Hold::Memory));
    world.run(5, |workers| Work { memory: Some(40), ..load(9000)(workers) });
    assert!(world.size() > 2);
}

#[test]
fn nothing_changes_while_something_else_does() {
    // Workers that do not get ready: no further ones before these serve.
    let mut world = World::new(adaptive());
    world.starts = false;
    world.run(20, load(9000));
    assert_eq!((world.size(), world.picture.unwrap().hold), (3, Hold::Unsettled));
    // A reload whose workers do not get ready; then one that has failed, with the broken code on disk.
    let mut world = World::new(adaptive());
    world.starts = false;
    world.play(RELOAD);
    world.run(20, load(9000));
    assert_eq!((world.changes.len(), world.picture.unwrap().hold), (0, Hold::Unsettled));
    let trial = *world.pids.last().unwrap();
    world.play(failed(trial.0));
    world.run(20, load(9000));
    assert_eq!((world.changes.len(), world.picture.unwrap().hold), (0, Hold::Unsettled));
    assert_eq!(world.size(), 2);
    // And a server that stops.
    let mut world = World::new(adaptive());
    world.starts = false;
    world.play(TERM);
    world.run(20, load(9000));
    assert_eq!(world.changes, []);
}

#[test]
fn a_reload_keeps_the_number_that_has_come_about() {
    let mut world = World::new(adaptive());
    world.run(60, load(4000));
    assert_eq!(world.size(), 5);
    world.play(RELOAD);
    world.run(5, load(4000));
    assert_eq!(world.size(), 5);
    assert!(world.pids.iter().all(|pid| pid.0 > 105), "{:?}", world.pids);
}

#[test]
fn scaling_by_hand_stays_within_the_bounds() {
    let mut world = World::new(adaptive());
    world.play(by_signal(Command::Scale(Scale::To(6))));
    assert_eq!(world.size(), 6);
    world.play(by_signal(Command::Scale(Scale::To(20))));
    assert_eq!(world.size(), 8);
    world.play(by_signal(Command::Scale(Scale::To(1))));
    assert_eq!(world.size(), 2);
    world.play(LESS);
    assert_eq!(world.size(), 2);
    world.play(MORE);
    assert_eq!(world.size(), 3);
}

/// Xorshift: the seed in a failure message plays the same script again.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |limit| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % limit
    }
}

#[test]
fn a_steady_load_does_not_make_it_flap_however_its_looks_scatter() {
    for seed in 1..=200 {
        let mut random = dice(seed);
        let least = u16::try_from(random(3)).unwrap() + 1;
        let (steady, scatter) = (random(9000), random(80));
        let mut world = World::new(Pool { span: Some(Span { least, ..SPAN }), ..pool(least) });
        let mut work = |workers: u16| load(steady + steady * scatter / 1000 * random(1000) / 1000)(workers);
        world.run(600, &mut work);
        let found = world.changes.len();
        world.run(3600, &mut work);
        assert!(world.changes.len() - found <= 1, "seed {seed}: {:?}", &world.changes[found..]);
        let turns =
            world.changes.windows(2).filter(|pair| (pair[0].0 < pair[0].1) != (pair[1].0 < pair[1].1));
        assert!(turns.count() <= 1, "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn it_never_leaves_its_bounds_whatever_happens() {
    for seed in 1..=200 {
        println!("seed {seed}");
        let mut random = dice(seed);
        let mut world = World::new(adaptive());
        for _ in 0..60 {
            let amount = random(20_000);
            match random(8) {
                0 => world.play(RELOAD),
                1 => world.play(MORE),
                2 => world.play(LESS),
                3 => world.starts = !amount.is_multiple_of(3),
                4 => world.run(amount % 100, load(0)),
                _ => world.run(amount % 10, load(amount)),
            }
        }
    }
}
