use super::*;
use crate::contract::inquiry::Wish;

#[test]
fn petitions_survive_the_journey() {
    let commands = [
        Command::Reload { canary: None },
        Command::Reload { canary: Some(Duration::from_millis(0x0102_0304_0506)) },
        Command::Scale(Scale::To(0x1234)),
        Command::Scale(Scale::By(-3)),
        Command::ReopenLogs,
        Command::Upgrade,
        Command::Stop(Pace::Graceful),
        Command::Stop(Pace::Quick),
        Command::Inquire { pid: Pid(0x0102_0304), inquiry: Inquiry { request: 5 << 60, wish: Wish::Cancel } },
        Command::Inquire { pid: Pid(1), inquiry: Inquiry { request: 0, wish: Wish::Stack } },
    ];
    for command in commands {
        let petition = Petition { ticket: Ticket(u64::MAX - 1), command };
        assert_eq!(Petition::decode(&petition.encode()), Ok(petition));
    }
}

#[test]
fn tidings_survive_the_journey() {
    let state = State {
        stage: Stage::Serving,
        generation: Generation(0x0102_0304),
        ready: 3,
        wanted: 0x0405,
        unity: Unity::One,
        mold: None,
        trouble: None,
    };
    let answer = |verdict| Tiding::Answer { ticket: Ticket(7), verdict };
    let mut tidings = vec![
        answer(Verdict::Done(String::new())),
        answer(Verdict::Done("generation 2".into())),
        answer(Verdict::Failed("no module x\nTraceback …".into())),
    ];
    for stage in [Stage::Starting, Stage::Serving, Stage::Reloading, Stage::Stopping] {
        tidings.push(Tiding::State(State { stage, ..state.clone() }));
    }
    let trouble = Some("reload failed: x".into());
    tidings.push(Tiding::State(State { unity: Unity::Mixed, trouble, ..state.clone() }));
    for mold in [MoldState::Gone, MoldState::Loading, MoldState::Ready].map(Some) {
        tidings.push(Tiding::State(State { mold, ..state.clone() }));
    }
    tidings.push(Tiding::State(State { trouble: Some(String::new()), ..state }));
    tidings.push(Tiding::KeysWanted);
    for tiding in tidings {
        assert_eq!(Tiding::decode(&tiding.encode()), Ok(tiding));
    }
}

#[test]
fn a_long_reason_keeps_its_beginning_and_its_end() {
    let text = format!("what happened\n{}why", "é".repeat(60_000));
    let tiding = Tiding::Answer { ticket: Ticket(1), verdict: Verdict::Failed(text) };
    let bytes = tiding.encode();
    assert!(bytes.len() <= crate::sys::channel::MESSAGE_MAX);
    let Ok(Tiding::Answer { verdict: Verdict::Failed(text), .. }) = Tiding::decode(&bytes) else {
        panic!("not a failure")
    };
    assert!(text.starts_with("what happened\né") && text.ends_with("éwhy") && text.contains("[...]"));
}

#[test]
fn other_bytes_are_refused() {
    for bytes in [&b""[..], &[1], &[0; 8], &[0; 9], &[0, 0, 0, 0, 0, 0, 0, 0, 2, 1], &[9; 12], &[8; 22]] {
        assert_eq!(Petition::decode(bytes), Err(Malformed), "{bytes:?}");
    }
    let state = [3, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for bytes in [&b""[..], &[1, 0], &[2, 0, 0, 0, 0, 0, 0, 0, 0, 255], &[3, 1], &state, &[4; 20]] {
        assert_eq!(Tiding::decode(bytes), Err(Malformed), "{bytes:?}");
    }
}
