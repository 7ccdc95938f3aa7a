use super::*;
use crate::cli::bench::contender::{Contender, Role};
use crate::cli::bench::question::Question;
use crate::cli::bench::response::{Persistence, Reply};
use crate::cli::bench::tally::Tally;
use http::Method;
use std::time::Duration;

fn contender(role: Role, name: &str, answers: u64, latency_ms: u64) -> Contender {
    let mut tally = Tally {
        length: Duration::from_secs(1),
        cpu: Some(Duration::from_millis(answers)),
        ..Tally::default()
    };
    for _ in 0..answers {
        let reply = Reply { status: 200, content: 5, persistence: Persistence::Kept };
        tally.begun += 1;
        tally.answer(reply, Duration::from_millis(latency_ms), Some(Duration::from_millis(1)));
    }
    Contender::measured(role, name, vec![tally])
}

fn run() -> Run<'static> {
    Run {
        machine: Machine { cpu: "Quick 5".into(), cpus: 2, kernel: "6.1".into() },
        dose: Dose { connections: 1, threads: 1, duration: Duration::from_secs(1), requests: Some(400) },
        rounds: 1,
        fields: &[],
        comparisons: vec![Comparison {
            subject: "m:app".into(),
            question: Question { method: Method::GET, path: "/x".into(), fields: Vec::new(), content: None },
            contenders: vec![
                contender(Role::Ferricorn, "ferricorn, 2 workers", 400, 1),
                contender(Role::SingleThreaded, "wsgiref, 1 thread", 100, 10),
            ],
            left_out: vec!["gunicorn: not installed".into()],
        }],
    }
}

#[test]
fn the_table_compares_with_the_server_of_one_thread() {
    let text = text(&run(), Look::Plain);
    let line = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap().strip_prefix(name).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("ferricorn, 2 workers")[..3], ["400", "4.00", "x"], "{text}");
    assert_eq!(line("wsgiref, 1 thread")[..3], ["100", "1.00", "x"], "{text}");
    let cpu = line("ferricorn, 2 workers");
    assert_eq!(cpu[cpu.len() - 2..], ["1000.0", "0"], "{text}");
    for part in [
        "GET /x of m:app",
        "closed loop",
        "1 connection,",
        "left out: gunicorn: not installed",
        "Quick 5, 2 CPUs",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn plots_are_ascii_unless_a_terminal_shows_them() {
    assert!(text(&run(), Look::Plain).is_ascii());
    let blocks = text(&run(), Look::Blocks);
    assert!(blocks.contains('\u{2588}') && !blocks.contains('\u{1b}'), "{blocks}");
    assert!(text(&run(), Look::Colours).contains("\u{1b}[32m"));
}

#[test]
fn bars_and_answers_are_in_proportion() {
    let run = run();
    let bars = plot::throughput(&run.comparisons[0], Look::Plain);
    let cells: Vec<usize> = bars.lines().skip(1).map(|line| line.matches('#').count()).collect();
    assert_eq!(cells, [56, 14], "{bars}");
    let latency = plot::latency(&run.comparisons[0], Look::Plain);
    let rows: Vec<&str> = latency.lines().skip(1).collect();
    // All of the quick server's answers have come in the first column, all of the slow one's in the last.
    assert!(rows[0].ends_with(&"#".repeat(56)), "{latency}");
    assert!(rows[1].ends_with(&format!("{}#", ".".repeat(55))), "{latency}");
}

#[test]
fn json_has_rounds_and_the_histogram() {
    let found: serde_json::Value = serde_json::from_str(&json(&run())).unwrap();
    let server = &found["comparisons"][0]["servers"][0];
    assert_eq!(server["role"], "ferricorn");
    assert_eq!(server["rounds"][0]["answers"], 400);
    assert_eq!(server["rounds"][0]["latency_us"]["p50"], 1000);
    let counts: u64 =
        server["latency_histogram_us"].as_array().unwrap().iter().map(|pair| pair[1].as_u64().unwrap()).sum();
    assert_eq!(counts, 400);
    assert_eq!(found["load"]["loop"], "closed");
}
