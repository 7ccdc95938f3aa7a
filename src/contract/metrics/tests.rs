use super::*;
use crate::contract::scoreboard::{RecordIndex, Scoreboard};
use crate::contract::slot::{Generation, Slot};

/// Two processes, as the master and the workers know them.
fn two() -> (MetricTable, [RecordIndex; 2]) {
    let board = Scoreboard::new(1).unwrap();
    let claim = || {
        let record = board.free_record().unwrap();
        board.record(record).claim(Slot(1), Generation(1));
        record
    };
    (MetricTable::new(board.record_count()).unwrap(), [claim(), claim()])
}

/// What the page says, without the lines about help and type.
fn told(table: &MetricTable) -> Vec<String> {
    table.page().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn counting(name: &str) -> Text {
    let kind = MetricKind::Counter;
    Text::new(&Definition { kind, name, help: "", labels: &[], bounds: &[] }).unwrap()
}

#[test]
fn counters_are_added_up_and_outlive_their_processes() {
    let (table, [one, other]) = two();
    let orders =
        |record, kind| table.of(record).counter("orders_total", "Orders.", &[("kind", kind)]).unwrap();
    orders(one, "new").add(3);
    orders(other, "new").increment();
    orders(other, "old").increment();
    let expected = ["orders_total{kind=\"new\"} 4", "orders_total{kind=\"old\"} 1"];
    assert_eq!(told(&table), expected);
    table.retire(other);
    assert_eq!(told(&table), expected);
    // The next process of that record begins at nothing.
    orders(other, "new").increment();
    assert_eq!(told(&table)[0], "orders_total{kind=\"new\"} 5");
    assert!(table.page().starts_with("# HELP orders_total Orders.\n# TYPE orders_total counter\n"));
}

#[test]
fn counters_are_exact_and_take_parts() {
    let (table, [one, other]) = two();
    let place = |record, name| {
        let kind = MetricKind::Counter;
        table.of(record).place(&Definition { kind, name, help: "", labels: &[], bounds: &[] }).unwrap()
    };
    for record in [one, other] {
        place(record, "seconds_total").add(0, 0.25);
        place(record, "seconds_total").add(0, 1.0);
        place(record, "whole_total").add(0, 9_007_199_254_740_992.0);
        place(record, "whole_total").add(0, 1.0);
        for nothing in [f64::NAN, f64::INFINITY, -1.0, -0.5] {
            place(record, "whole_total").add(0, nothing);
        }
    }
    let expected = ["seconds_total 2.5", "whole_total 18014398509481986"];
    assert_eq!(told(&table), expected);
    table.retire(one);
    assert_eq!(told(&table), expected);
    assert_eq!(place(other, "seconds_total").read(0), 2.5);
}

#[test]
fn gauges_are_those_of_the_living() {
    let (table, [one, other]) = two();
    let gauge = |record, name, merge| table.of(record).merged_gauge(name, "", &[], merge).unwrap();
    for (name, merge) in [("max", Merge::Max), ("min", Merge::Min), ("sum", Merge::Sum)] {
        gauge(one, name, merge).set(5.0);
        gauge(other, name, merge).add(-7.5);
    }
    // Last written by `other`, and there is one place.
    gauge(one, "last", Merge::Last).set(5.0);
    gauge(other, "last", Merge::Last).set(0.0);
    assert_eq!(told(&table), ["last 0", "max 5", "min -7.5", "sum -2.5"]);
    table.retire(other);
    assert_eq!(told(&table), ["last 0", "max 5", "min 5", "sum 5"]);
    // A zero that was set is a value; nothing that was set is none.
    gauge(other, "max", Merge::Max);
    gauge(other, "min", Merge::Min).set(0.0);
    assert_eq!(told(&table), ["last 0", "max 5", "min 0", "sum 5"]);
}

#[test]
fn histograms_have_buckets_and_outlive_their_processes() {
    let (table, [one, other]) = two();
    let times = |record| table.of(record).histogram("times", "", &[("of", "x")], &[0.5, 1.0, 1e16]).unwrap();
    for value in [0.5, 0.25, 1.0, -1.75, f64::NAN] {
        times(one).observe(value);
    }
    for value in [0.0, 1e17] {
        times(other).observe(value);
    }
    let expected = [
        "times_bucket{of=\"x\",le=\"0.5\"} 4",
        "times_bucket{of=\"x\",le=\"1.0\"} 5",
        "times_bucket{of=\"x\",le=\"1e16\"} 5",
        "times_bucket{of=\"x\",le=\"+Inf\"} 6",
        "times_sum{of=\"x\"} 100000000000000000",
        "times_count{of=\"x\"} 6",
    ];
    assert_eq!(told(&table), expected);
    table.retire(other);
    assert_eq!(told(&table), expected);
    assert!(table.page().contains("# TYPE times histogram\n"));
}

#[test]
fn what_generations_make_differently_is_that_of_the_living_and_latest() {
    let (table, [one, other]) = two();
    let sizes = |record, bounds: &[f64]| table.of(record).histogram("sizes", "", &[], bounds).unwrap();
    sizes(one, &[1.0]).observe(0.0);
    sizes(other, &[2.0]);
    // The new one has not been used, as by code that did not load.
    assert_eq!(told(&table)[0], "sizes_bucket{le=\"1.0\"} 1");
    sizes(other, &[2.0]).observe(0.0);
    assert_eq!(told(&table)[0], "sizes_bucket{le=\"2.0\"} 1");
    table.retire(other);
    assert_eq!(told(&table)[0], "sizes_bucket{le=\"1.0\"} 1");
    table.of(other).counter("sizes", "", &[]).unwrap().increment();
    assert_eq!(told(&table), ["sizes 1"]);
}

#[test]
fn a_mold_counts_for_all_and_drafts_its_gauges() {
    let (table, [one, other]) = two();
    let mold = table.of_mold().unwrap();
    mold.counter("loaded_total", "", &[]).unwrap().increment();
    mold.gauge("ready", "", &[]).unwrap().set(1.0);
    mold.merged_gauge("version", "", &[], Merge::Last).unwrap().set(3.0);
    assert_eq!(told(&table), ["loaded_total 1", "version 3"]);
    for record in [one, other] {
        table.of(record).take_over(&mold);
    }
    assert_eq!(told(&table), ["loaded_total 1", "ready 2", "version 3"]);
    table.retire(one);
    assert_eq!(told(&table), ["loaded_total 1", "ready 1", "version 3"]);
}

#[test]
fn a_claim_that_nobody_finishes_is_passed_over() {
    let (table, [one, other]) = two();
    let text = counting("lost_total");
    // Somebody was killed between claiming the place and finishing the entry.
    let slot = table.claim_for_nobody(&text);
    for record in [one, other] {
        table.of(record).counter("lost_total", "", &[]).unwrap().increment();
    }
    assert_eq!(told(&table), ["lost_total 2"]);
    // It was given up after all: whoever comes next makes the series once more, and both are the same.
    slot.store(0, Ordering::Release);
    table.of(one).counter("lost_total", "", &[]).unwrap().increment();
    assert_eq!(table.entries().count(), 2);
    assert_eq!(told(&table), ["lost_total 3"]);
}

#[test]
fn many_processes_make_the_same_series_at_once() {
    let (table, [one, _]) = two();
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for number in 0..200 {
                    let kind = (number % 50).to_string();
                    table.of(one).counter("raced_total", "", &[("kind", &kind)]).unwrap().increment();
                }
            });
        }
    });
    let lines = told(&table);
    assert_eq!(lines.len(), 50);
    assert!(lines.iter().all(|line| line.ends_with(" 32")), "{lines:?}");
}

#[test]
fn what_cannot_be_is_refused() {
    let (table, [one, _]) = two();
    let metrics = table.of(one);
    for name in ["", "1x", "a b", "é", "ferricorn_requests_total", "a-b"] {
        assert_eq!(metrics.counter(name, "", &[]).unwrap_err(), MetricError::Name(name.into()));
    }
    for label in ["", "__name", "a:b", "1"] {
        let error = metrics.counter("x", "", &[(label, "v")]).unwrap_err();
        assert_eq!(error, MetricError::Name(label.into()));
    }
    assert_eq!(
        metrics.histogram("h", "", &[("le", "1")], &[1.0]).unwrap_err(),
        MetricError::Name("le".into())
    );
    assert_eq!(
        metrics.counter("x", "", &[("a", "1"), ("b", "2"), ("a", "3")]).unwrap_err(),
        MetricError::Label("a".into())
    );
    for bounds in [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[f64::NAN], &[f64::INFINITY], &[0.0; 101]] {
        assert_eq!(metrics.histogram("h", "", &[], bounds).unwrap_err(), MetricError::Bounds);
    }
    let long = |length| "v".repeat(length);
    assert_eq!(metrics.counter("x", "", &[("l", &long(400))]).unwrap_err(), MetricError::TooLong);
    assert_eq!(metrics.counter("x", &long(241), &[]).unwrap_err(), MetricError::TooLong);
    assert_eq!(metrics.counter("x", &"\n".repeat(121), &[]).unwrap_err(), MetricError::TooLong);
    metrics.counter("kind", "", &[]).unwrap();
    assert_eq!(metrics.gauge("kind", "", &[]).unwrap_err(), MetricError::Kind("kind".into()));
    let labels = metrics.counter("quoted", "", &[("b", "\"\\\n"), ("a", "")]);
    labels.unwrap().increment();
    assert_eq!(told(&table)[1], "quoted{a=\"\",b=\"\\\"\\\\\\n\"} 1");
}

#[test]
fn no_name_is_told_twice() {
    let (table, [one, other]) = two();
    let metrics = table.of(one);
    metrics.histogram("h", "", &[], &[1.0]).unwrap().observe(0.5);
    metrics.counter("before_sum", "", &[]).unwrap();
    let twice = |name: &str, other: &str| MetricError::Twice(name.into(), other.into());
    for part in ["h_bucket", "h_sum", "h_count"] {
        assert_eq!(metrics.counter(part, "", &[("of", "any")]).unwrap_err(), twice(part, "h"));
    }
    assert_eq!(metrics.histogram("before", "", &[], &[1.0]).unwrap_err(), twice("before", "before_sum"));
    assert_eq!(metrics.histogram("h_count", "", &[], &[1.0]).unwrap_err(), twice("h_count", "h"));
    // What only begins like one, and what a counter leaves free.
    for fine in ["h_counts", "count", "_count", "before_sum_count"] {
        metrics.counter(fine, "", &[]).unwrap();
    }
    // Another process may have such a name, as in another generation: the page can be read all the same.
    table.of(other).counter("h_count", "", &[]).unwrap().increment();
    assert!(told(&table).contains(&"h_count 1".to_owned()));
    assert_eq!(table.page().matches("TYPE h_count ").count(), 0, "the histogram comes first");
    table.retire(one);
    assert_eq!(table.page().matches("TYPE h ").count(), 0, "of the dead one");
    assert!(table.page().contains("# TYPE h_count counter\nh_count 1\n"));
}

#[test]
fn a_full_registry_refuses_what_is_new_and_keeps_what_it_has() {
    for (bounds, room) in [(1, ENTRIES), (100, VALUES / 102)] {
        let (table, [one, _]) = two();
        let metrics = table.of(one);
        let bounds: Vec<f64> = (0..bounds).map(f64::from).collect();
        let make = |number: usize| metrics.histogram(&format!("n{number}"), "", &[], &bounds);
        assert_eq!((0..2 * room).filter(|number| make(*number).is_ok()).count(), room);
        assert_eq!(make(usize::MAX).unwrap_err(), MetricError::Full);
        assert_eq!(table.refused(), room as u64 + 1);
        make(0).unwrap().observe(1.0);
        assert_eq!(table.families().len(), room);
    }
}

#[test]
fn nonsense_in_the_table_is_read_as_nothing() {
    for nonsense in [u64::MAX - 1, 1, u64::from_le_bytes([2, 0, 1, 0, 1, 0, 0, 0])] {
        let (table, [one, _]) = two();
        for word in table.all_words() {
            word.store(nonsense, Ordering::Relaxed);
        }
        table.retire(one);
        let _ = table.page();
        let _ = table.of(one).counter("x", "", &[]);
    }
}
