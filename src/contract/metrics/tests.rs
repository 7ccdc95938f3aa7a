use super::*;
use crate::contract::scoreboard::Scoreboard;
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

fn told(table: &MetricTable, name: &str) -> Vec<(String, i64)> {
    let families = table.families();
    let series = families.get(name).map(|family| family.series.clone()).unwrap_or_default();
    series.into_iter().map(|series| (series.labels, series.value)).collect()
}

#[test]
fn counters_are_added_up_and_outlive_their_processes() {
    let (table, [one, other]) = two();
    let orders =
        |record, kind| table.of(record).counter("orders_total", "Orders.", &[("kind", kind)]).unwrap();
    orders(one, "new").add(3);
    orders(other, "new").increment();
    orders(other, "old").increment();
    let expected = vec![("{kind=\"new\"}".to_owned(), 4), ("{kind=\"old\"}".to_owned(), 1)];
    assert_eq!(told(&table, "orders_total"), expected);
    table.retire(other);
    assert_eq!(told(&table, "orders_total"), expected);
    // The next process of that record begins at nothing.
    orders(other, "new").increment();
    assert_eq!(told(&table, "orders_total")[0].1, 5);
    assert_eq!(table.families()["orders_total"].help, "Orders.");
}

#[test]
fn gauges_are_those_of_the_living() {
    let (table, [one, other]) = two();
    let open = |record| table.of(record).gauge("open", "", &[]).unwrap();
    open(one).set(5);
    open(other).add(-7);
    assert_eq!(told(&table, "open"), [(String::new(), -2)]);
    table.retire(other);
    assert_eq!(told(&table, "open"), [(String::new(), 5)]);
}

#[test]
fn a_cell_that_nobody_finishes_is_passed_over() {
    let (table, [one, other]) = two();
    let text = Text::new(MetricKind::Counter, "lost_total".into(), "").unwrap();
    // Somebody was killed between claiming the cell and finishing it.
    table.head(text.hash()).store(CLAIMED, Ordering::Release);
    for record in [one, other] {
        table.of(record).counter("lost_total", "", &[]).unwrap().increment();
    }
    assert_eq!(told(&table, "lost_total"), [(String::new(), 2)]);
    // It was finished after all: both are the same series.
    table.write(text.hash(), &text);
    table.of(one).counter("lost_total", "", &[]).unwrap().increment();
    assert_eq!(told(&table, "lost_total"), [(String::new(), 3)]);
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
    let series = told(&table, "raced_total");
    assert_eq!(series.len(), 50);
    assert!(series.iter().all(|(_, value)| *value == 8 * 4), "{series:?}");
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
    assert_eq!(metrics.counter("x", "", &[("l", &"v".repeat(200))]).unwrap_err(), MetricError::TooLong);
    assert_eq!(metrics.counter("x", &"h".repeat(113), &[]).unwrap_err(), MetricError::TooLong);
    assert_eq!(metrics.counter("x", &"\n".repeat(60), &[]).unwrap_err(), MetricError::TooLong);
    metrics.counter("kind", "", &[]).unwrap();
    assert_eq!(metrics.gauge("kind", "", &[]).unwrap_err(), MetricError::Kind("kind".into()));
    let labels = metrics.counter("quoted", "", &[("b", "\"\\\n"), ("a", "")]);
    labels.unwrap().increment();
    assert_eq!(told(&table, "quoted"), [("{a=\"\",b=\"\\\"\\\\\\n\"}".to_owned(), 1)]);
    let made = (0..2 * CELLS).filter(|n| metrics.counter(&format!("n{n}"), "", &[]).is_ok()).count();
    assert!(made < CELLS && made > CELLS - 10, "{made}");
    assert_eq!(metrics.counter("one_more", "", &[]).unwrap_err(), MetricError::Full);
    metrics.counter("kind", "", &[]).unwrap().increment();
}

#[test]
fn nonsense_in_the_table_is_read_as_nothing() {
    let (table, _) = two();
    for word in table.words.words() {
        word.store(u64::MAX - 1, Ordering::Relaxed);
    }
    assert!(table.families().is_empty());
}
