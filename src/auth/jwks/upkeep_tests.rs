use super::super::client::tests::{ok, provider, source};
use super::super::source::Place;
use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

const SET: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// Keeps a table in a task; what is told is counted.
fn kept(table: &KeyTable) -> (Arc<Upkeep>, watch::Receiver<usize>) {
    let upkeep = Upkeep::new(table.clone());
    let (told, hears) = watch::channel(0);
    let running = Arc::clone(&upkeep);
    tokio::spawn(async move { running.run(|| told.send_modify(|count| *count += 1)).await });
    (upkeep, hears)
}

#[tokio::test]
async fn set_is_fetched_published_and_fetched_again_when_a_key_is_missing() {
    let (origin, asked) = provider(|_, _| ok(SET, "")).await;
    let table = KeyTable::new().unwrap();
    let (upkeep, mut told) = kept(&table);
    let index = table.claim(&source(Place::Set(format!("{origin}/set"))).describe()).unwrap();
    upkeep.wake();
    told.wait_for(|count| *count == 1).await.unwrap();
    assert_eq!(table.read(index).text, SET.as_bytes());
    assert!(table.want(index), "the first unknown key is asked about at once");
    upkeep.wake();
    told.wait_for(|count| *count == 2).await.unwrap();
    assert_eq!((asked.load(Ordering::SeqCst), table.attempts(index)), (2, 2));
    assert_eq!(table.version(index), 1, "the same set is not published twice");
    assert!(!table.want(index), "the next one has to wait");
    assert_eq!(upkeep.refresh().await.unwrap(), Refreshed::new(), "an operator has not");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn bad_fetch_replaces_no_good_set_and_is_told() {
    let fetches = AtomicUsize::new(0);
    let answer = move |_: &str, _: &str| {
        if fetches.fetch_add(1, Ordering::SeqCst) == 0 { ok(SET, "") } else { ok("{\"keys\":[]}", "") }
    };
    let (origin, _) = provider(answer).await;
    let table = KeyTable::new().unwrap();
    let (upkeep, mut told) = kept(&table);
    let index = table.claim(&source(Place::Set(format!("{origin}/set"))).describe()).unwrap();
    upkeep.wake();
    told.wait_for(|count| *count == 1).await.unwrap();
    let failures = upkeep.refresh().await.unwrap();
    assert!(
        matches!(failures.as_slice(), [one] if one.starts_with(&origin) && one.contains("no key")),
        "{failures:?}"
    );
    assert_eq!(table.read(index).text, SET.as_bytes());
    told.wait_for(|count| *count == 2).await.unwrap();
    let reports = until(&upkeep, |report| report.failed == 1).await;
    let Report { source, keys, age, fetched, error, .. } = reports;
    assert_eq!((source, keys, fetched), (format!("{origin}/set"), 1, 1), "the good set is in use");
    assert!(age.is_some() && error.is_some_and(|error| error.contains("no key")));
}

/// Waits until it stands so with the one source: notes are shown a turn after they are made.
async fn until(upkeep: &Upkeep, is_so: impl Fn(&Report) -> bool) -> Report {
    loop {
        if let [report] = upkeep.reports().as_slice()
            && is_so(report)
        {
            return report.clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn set_that_is_too_old_is_put_away() {
    let fetches = AtomicUsize::new(0);
    let answer = move |_: &str, _: &str| {
        if fetches.fetch_add(1, Ordering::SeqCst) == 0 { ok(SET, "") } else { String::new() }
    };
    let (origin, _) = provider(answer).await;
    let table = KeyTable::new().unwrap();
    let (upkeep, mut told) = kept(&table);
    let mut source = source(Place::Set(format!("{origin}/set")));
    (source.refresh, source.stale_if_error) = (Duration::from_millis(30), Duration::ZERO);
    let index = table.claim(&source.describe()).unwrap();
    upkeep.wake();
    while table.version(index) != 2 {
        told.changed().await.unwrap();
    }
    assert_eq!(table.read(index).text, b"");
    until(&upkeep, |report| report.keys == 0 && report.failed > 0).await;
}

#[tokio::test]
async fn set_of_a_process_before_becomes_too_old_as_if_it_were_its_own() {
    let (origin, _) = provider(|_, _| String::new()).await;
    for noted in [Some(Age { fetched_ms: 1, stale_ms: now_ms() }), None] {
        let table = KeyTable::new().unwrap();
        let mut source = source(Place::Set(format!("{origin}/set")));
        (source.refresh, source.stale_if_error) = (Duration::from_millis(30), Duration::ZERO);
        let index = table.claim(&source.describe()).unwrap();
        table.publish(index, SET.as_bytes());
        noted.inspect(|age| table.note_age(index, *age));
        let (upkeep, mut told) = kept(&table);
        while table.version(index) != 2 {
            told.changed().await.unwrap();
        }
        assert_eq!(table.read(index).text, b"", "{noted:?}");
        let report = until(&upkeep, |report| report.keys == 0).await;
        assert!(report.age.is_some() && report.fetched == 0, "{report:?}");
    }
}

#[tokio::test]
async fn set_of_a_process_before_is_used_for_as_long_as_it_may_be() {
    let (origin, asked) = provider(|_, _| String::new()).await;
    let table = KeyTable::new().unwrap();
    let index = table.claim(&source(Place::Set(format!("{origin}/set"))).describe()).unwrap();
    table.publish(index, SET.as_bytes());
    let age = Age { fetched_ms: now_ms().saturating_sub(5), stale_ms: now_ms() + 3_600_000 };
    table.note_age(index, age);
    let (upkeep, mut told) = kept(&table);
    told.wait_for(|count| *count == 1).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it is asked for at once");
    let report = until(&upkeep, |report| report.failed == 1).await;
    assert_eq!((report.keys, table.read(index).text), (1, SET.as_bytes().to_vec()));
    assert_eq!(table.age(index), Some(age), "it becomes no younger by failures");
}

#[tokio::test]
async fn set_that_was_fetched_by_other_rules_is_used_until_there_is_another() {
    let (origin, _) = provider(|_, _| String::new()).await;
    let before = source(Place::Set(format!("{origin}/set")));
    let changed = |change: fn(&mut Source)| {
        let mut source = before.clone();
        change(&mut source);
        source
    };
    for (source, expected) in [
        (changed(|source| source.min_refetch = Duration::from_secs(7)), SET),
        (changed(|source| source.max_bytes = 10), ""),
        (changed(|source| source.ca_file = Some("/other.pem".into())), ""),
        (changed(|source| source.place = Place::Set("http://127.0.0.1:1/other".into())), ""),
        // Fetched half a minute ago, it is too old by these.
        (
            changed(|source| {
                (source.refresh, source.stale_if_error) = (Duration::from_secs(9), Duration::from_secs(9))
            }),
            "",
        ),
    ] {
        let table = KeyTable::new().unwrap();
        let index = table.claim(&before.describe()).unwrap();
        table.publish(index, SET.as_bytes());
        let fetched_ms = now_ms().saturating_sub(30_000);
        table.note_age(index, Age { fetched_ms, stale_ms: now_ms() + 3_600_000 });
        let (_upkeep, mut told) = kept(&table);
        let index = table.claim(&source.describe()).unwrap();
        // Both have been asked for in vain.
        told.wait_for(|count| *count >= 2).await.unwrap();
        assert_eq!(table.read(index).text, expected.as_bytes(), "{source:?}");
        assert_eq!(table.age(index).map(|age| age.fetched_ms), (expected == SET).then_some(fetched_ms));
    }
}

#[tokio::test]
async fn of_sets_that_were_fetched_by_other_rules_the_newest_is_used() {
    let (origin, _) = provider(|_, _| String::new()).await;
    let by_rules = |seconds| {
        let mut source = source(Place::Set(format!("{origin}/set")));
        source.min_refetch = Duration::from_secs(seconds);
        source.describe()
    };
    let table = KeyTable::new().unwrap();
    let newest = SET.replace("\"k\"", "\"new\"");
    for (seconds, set, ago) in [(7, SET, 60_000), (8, newest.as_str(), 20_000), (9, SET, 40_000)] {
        let index = table.claim(&by_rules(seconds)).unwrap();
        table.publish(index, set.as_bytes());
        let now = now_ms();
        table.note_age(index, Age { fetched_ms: now - ago, stale_ms: now + 3_600_000 });
    }
    let index = table.claim(&by_rules(10)).unwrap();
    let (_upkeep, mut told) = kept(&table);
    // All have been asked for in vain.
    told.wait_for(|count| *count >= 4).await.unwrap();
    assert_eq!(table.read(index).text, newest.as_bytes());
}
