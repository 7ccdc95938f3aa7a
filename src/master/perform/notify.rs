//! A notification in the service manager's own words: sd_notify(3).

use crate::contract::control::Stage;
use crate::master::decide::notify::{Notification, Novelty, Pulse, Status};
use crate::sys::{process, systemd};
use std::fmt::Write;
use std::io;

/// The assignments of one message.
pub(super) fn assignments(notification: &Notification, requests: u64) -> io::Result<String> {
    let mut text = match (notification.stage, notification.status.stage) {
        (Novelty::Known, _) | (_, Stage::Starting) => String::new(),
        (Novelty::New, Stage::Serving) => format!("READY=1\nMAINPID={}\n", process::own_pid()),
        // Type=notify-reload (systemd 253 and later) tells by the time which SIGHUP this answers.
        (Novelty::New, Stage::Reloading) => {
            format!("RELOADING=1\nMONOTONIC_USEC={}\n", systemd::monotonic_usec()?)
        }
        (Novelty::New, Stage::Stopping) => "STOPPING=1\n".to_owned(),
    };
    // Writing to a String cannot fail.
    if let Some(extend) = notification.extend {
        let _ = writeln!(text, "EXTEND_TIMEOUT_USEC={}", extend.as_micros());
    }
    if notification.pulse == Pulse::Alive {
        text.push_str("WATCHDOG=1\n");
    }
    let _ = writeln!(text, "STATUS={}", status(&notification.status, requests));
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

    fn notification(stage: Stage, novelty: Novelty) -> Notification {
        let generation = Generation(3);
        let status = Status { stage, ready: 1, wanted: 2, generation, condition: "", failure: None };
        Notification { status, stage: novelty, extend: None, pulse: Pulse::Alive }
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
            assert_eq!(assignments(&notification(stage, novelty), 9).unwrap(), expected);
        }
        let reloading = assignments(&notification(Stage::Reloading, Novelty::New), 9).unwrap();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().lines().next().unwrap();
        assert!(time.parse::<u64>().unwrap() > 0);
    }

    #[test]
    fn limits_failures_and_a_missing_pulse_are_told() {
        let mut notification = notification(Stage::Starting, Novelty::Known);
        notification.extend = Some(Duration::from_secs(130));
        notification.pulse = Pulse::Dead;
        notification.status.condition = "degraded: ";
        notification.status.failure = Some("reload failed: no module x".into());
        assert_eq!(
            assignments(&notification, 0).unwrap(),
            "EXTEND_TIMEOUT_USEC=130000000\nSTATUS=starting: 1 of 2 workers ready, generation 3, 0 requests; \
             degraded: reload failed: no module x\n"
        );
    }
}
