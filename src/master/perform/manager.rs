//! A bulletin in the service manager's own words: sd_notify(3).

use crate::contract::control::Stage;
use crate::master::decide::herald::{Bulletin, Novelty, Pulse, Status};
use crate::sys::{process, systemd};
use std::fmt::Write;
use std::io;

/// The assignments of one message.
pub(super) fn assignments(bulletin: &Bulletin, requests: u64) -> io::Result<String> {
    let mut text = match (bulletin.stage, bulletin.status.stage) {
        (Novelty::Known, _) | (_, Stage::Starting) => String::new(),
        (Novelty::New, Stage::Serving) => format!("READY=1\nMAINPID={}\n", process::own_pid()),
        // Type=notify-reload (systemd 253 and later) tells by the time which SIGHUP this answers.
        (Novelty::New, Stage::Reloading) => {
            format!("RELOADING=1\nMONOTONIC_USEC={}\n", systemd::monotonic_usec()?)
        }
        (Novelty::New, Stage::Stopping) => "STOPPING=1\n".to_owned(),
    };
    // Writing to a String cannot fail.
    if let Some(extend) = bulletin.extend {
        let _ = writeln!(text, "EXTEND_TIMEOUT_USEC={}", extend.as_micros());
    }
    if bulletin.pulse == Pulse::Alive {
        text.push_str("WATCHDOG=1\n");
    }
    let _ = writeln!(text, "STATUS={}", status(&bulletin.status, requests));
    Ok(text)
}

fn status(status: &Status, requests: u64) -> String {
    let Status { stage, ready, wanted, generation, condition, failure } = status;
    let stage = match stage {
        Stage::Starting => "starting: ",
        Stage::Serving => "",
        Stage::Reloading => "reloading: ",
        Stage::Stopping => "stopping: ",
    };
    let failure = failure.as_ref().map_or_else(String::new, |failure| format!("; {condition}{failure}"));
    format!("{stage}{ready} of {wanted} workers ready, generation {generation}, {requests} requests{failure}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::slot::Generation;
    use std::time::Duration;

    fn bulletin(stage: Stage, novelty: Novelty) -> Bulletin {
        let generation = Generation(3);
        let status = Status { stage, ready: 1, wanted: 2, generation, condition: "", failure: None };
        Bulletin { status, stage: novelty, extend: None, pulse: Pulse::Alive }
    }

    #[test]
    fn each_stage_has_its_word_when_it_is_new() {
        let pid = process::own_pid();
        let numbers = "1 of 2 workers ready, generation 3, 9 requests\n";
        for (stage, novelty, expected) in [
            (Stage::Starting, Novelty::New, format!("WATCHDOG=1\nSTATUS=starting: {numbers}")),
            (Stage::Serving, Novelty::New, format!("READY=1\nMAINPID={pid}\nWATCHDOG=1\nSTATUS={numbers}")),
            (Stage::Serving, Novelty::Known, format!("WATCHDOG=1\nSTATUS={numbers}")),
            (Stage::Stopping, Novelty::New, format!("STOPPING=1\nWATCHDOG=1\nSTATUS=stopping: {numbers}")),
        ] {
            assert_eq!(assignments(&bulletin(stage, novelty), 9).unwrap(), expected);
        }
        let reloading = assignments(&bulletin(Stage::Reloading, Novelty::New), 9).unwrap();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().lines().next().unwrap();
        assert!(time.parse::<u64>().unwrap() > 0);
    }

    #[test]
    fn limits_failures_and_a_missing_pulse_are_told() {
        let mut bulletin = bulletin(Stage::Starting, Novelty::Known);
        bulletin.extend = Some(Duration::from_secs(130));
        bulletin.pulse = Pulse::Dead;
        bulletin.status.condition = "degraded: ";
        bulletin.status.failure = Some("reload failed: no module x".into());
        assert_eq!(
            assignments(&bulletin, 0).unwrap(),
            "EXTEND_TIMEOUT_USEC=130000000\nSTATUS=starting: 1 of 2 workers ready, generation 3, 0 requests; \
             degraded: reload failed: no module x\n"
        );
    }
}
