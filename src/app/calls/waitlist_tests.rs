//! The waitlist in virtual time.

use super::*;
use std::collections::BTreeSet;

const MS: u64 = 1_000_000;
const RULES: QueueRules = QueueRules { length: 1000, overload: Duration::from_millis(500) };

fn there(_: &u64) -> Presence {
    Presence::There
}

/// A list of those who came at these milliseconds; each is named by when it came.
fn list(rules: QueueRules, came: impl IntoIterator<Item = u64>, limit_ms: u64) -> Waitlist<u64> {
    let mut list = Waitlist::new(rules, 1);
    came.into_iter().for_each(|ms| list.push(ms, ms * MS, Duration::from_millis(limit_ms)));
    list
}

fn next(list: &mut Waitlist<u64>, ms: u64) -> (Option<u64>, Vec<(u64, Shed)>) {
    let mut shed = Vec::new();
    let next = list.next(ms * MS, there, &mut shed);
    (next, shed)
}

#[test]
fn first_come_first_served_whatever_way_they_came() {
    let mut list = list(RULES, [5, 1, 3, 2, 4], 0);
    let order: Vec<_> = std::iter::from_fn(|| next(&mut list, 6).0).collect();
    assert_eq!(order, [1, 2, 3, 4, 5]);
}

#[test]
fn a_standing_queue_is_served_from_its_other_end_with_a_turn_for_the_oldest() {
    let mut standing = list(RULES, 0..600, 0);
    let turns: Vec<_> = (0..32).filter_map(|_| next(&mut standing, 600).0).collect();
    assert_eq!(turns[..3], [599, 598, 597]);
    assert_eq!(turns.iter().filter(|turn| **turn < 300).collect::<Vec<_>>(), [&0, &1]);
    // Old but not deep, deep but not old, and where nobody wants it.
    assert_eq!(next(&mut list(RULES, 0..10, 0), 9000).0, Some(0));
    assert_eq!(next(&mut list(RULES, 0..400, 0), 499).0, Some(0));
    let never = QueueRules { overload: Duration::ZERO, ..RULES };
    assert_eq!(next(&mut list(never, 0..600, 0), 9000).0, Some(0));
}

#[test]
fn who_has_waited_for_too_long_is_told_each_by_his_own_limit() {
    let mut list = list(RULES, [0, 10], 100);
    list.push(20, 20 * MS, Duration::from_millis(5));
    assert_eq!(list.due_ns(), 25 * MS);
    let mut shed = Vec::new();
    list.expire(24 * MS, &mut shed);
    assert_eq!(shed, []);
    list.expire(25 * MS, &mut shed);
    assert_eq!((shed.as_slice(), list.due_ns()), (&[(20, Shed::Late)][..], 100 * MS));
    assert_eq!(next(&mut list, 105), (Some(10), vec![(0, Shed::Late)]));
    assert_eq!(list.due_ns(), u64::MAX);
}

#[test]
fn a_full_queue_refuses_the_newcomer_and_a_standing_one_its_oldest() {
    let few = QueueRules { length: 20, ..RULES };
    assert_eq!(list(few, 0..20, 0).surplus(30 * MS), None);
    assert_eq!(list(few, 0..21, 0).surplus(30 * MS), Some(20));
    assert_eq!(list(few, 0..21, 0).surplus(600 * MS), Some(0));
    let none = QueueRules { length: 0, ..RULES };
    assert_eq!(list(none, [7], 0).surplus(7 * MS), Some(7));
}

#[test]
fn who_has_left_is_not_served_but_who_only_has_nothing_more_to_say_is() {
    let mut list = list(RULES, 0..5, 0);
    let early = |came: &u64| if *came == 1 { Presence::HalfClosed } else { Presence::There };
    let mut shed = Vec::new();
    list.look(30 * MS, early, &mut shed);
    // Too early for this one, which is served before anybody has looked.
    list.push(40, 40 * MS, Duration::ZERO);
    list.look(50 * MS, |came| if *came == 40 { Presence::HalfClosed } else { early(came) }, &mut shed);
    assert_eq!(shed, []);
    let late = |came: &u64| match came {
        0 => Presence::Gone,
        1 | 2 | 40 => Presence::HalfClosed,
        _ => Presence::There,
    };
    let mut order = Vec::new();
    list.look(90 * MS, late, &mut shed);
    assert_eq!(shed, [(0, Shed::Gone)], "the oldest, up to the first who is there");
    while let Some(next) = list.next(100 * MS, late, &mut shed) {
        order.push(next);
    }
    assert_eq!(
        (order.as_slice(), shed.as_slice()),
        (&[1, 3, 4, 40][..], &[(0, Shed::Gone), (2, Shed::Gone)][..])
    );
    assert!(list.is_empty());
}

#[test]
fn those_who_may_move_are_those_whose_turn_is_next() {
    let even = |came: &u64| came.is_multiple_of(2);
    assert_eq!(list(RULES, 0..6, 0).take(6 * MS, 2, even), [0, 2]);
    let mut standing = list(RULES, 0..600, 0);
    assert_eq!(standing.take(600 * MS, 2, even), [598, 596]);
    assert_eq!(standing.len(), 598);
    assert_eq!(standing.take(600 * MS, 1000, even).len(), 298);
}

/// A server that serves one every 10 ms, asked three times as often by clients who wait a second, for ten seconds.
fn served_in_time(rules: QueueRules, leaves: bool) -> (usize, usize) {
    let (mut list, mut shed) = (Waitlist::new(rules, 1), Vec::new());
    let (mut good, mut turns, mut waited_after) = (0, 0, 0);
    let mut asked = BTreeSet::new();
    for tick in 0..6000_u64 {
        let now = tick * 2 * MS;
        // From the tenth second on half of what can be served.
        let comes =
            if tick < 5000 { tick.is_multiple_of(3) || tick % 9 == 1 } else { tick.is_multiple_of(10) };
        if comes {
            asked.insert(now);
            list.push(now, now, Duration::from_secs(30));
            shed.extend(list.surplus(now).map(|who| (who, Shed::Full)));
        }
        let has_left = |came: &u64| {
            if leaves && now - came > 1000 * MS { Presence::HalfClosed } else { Presence::There }
        };
        if tick.is_multiple_of(10) {
            list.look(now, has_left, &mut shed);
        }
        if tick.is_multiple_of(5) {
            let Some(came) = list.next(now, has_left, &mut shed) else { continue };
            turns += usize::from(tick < 5000);
            good += usize::from(tick < 5000 && now - came < 990 * MS);
            waited_after = waited_after.max(if came > 10_000 * MS { now - came } else { 0 });
        }
    }
    assert!(asked.len() > 2 * turns, "it was no overload");
    assert!(waited_after < 600 * MS, "who came afterwards had to wait for {} ms", waited_after / MS);
    (good, turns)
}

#[test]
fn most_turns_are_of_use_under_three_times_the_load_and_all_is_well_at_once_after() {
    for leaves in [true, false] {
        for length in [50, 10_000] {
            let (good, turns) = served_in_time(QueueRules { length, ..RULES }, leaves);
            assert!(good * 100 >= turns * 90, "{good} of {turns}, {leaves} {length}");
        }
    }
}

#[test]
fn nobody_who_stays_waits_for_ever_behind_those_who_come_again() {
    // A closed loop: a hundred clients, each of whom asks again as soon as it is answered.
    let mut list = list(RULES, std::iter::repeat_n(0, 100).chain([1]), 0);
    let mut shed = Vec::new();
    for turn in 1..2000_u64 {
        let now = turn * 10 * MS;
        let came = list.next(now, there, &mut shed).unwrap();
        if came == 1 {
            return;
        }
        list.push(now / MS, now, Duration::ZERO);
    }
    panic!("it has waited for ever");
}
