//! How long requests wait for the app's answer, for `/metrics`.

use crate::contract::metrics::{Definition, Histogram, MetricError, MetricKind, Metrics};
use http::StatusCode;
use std::time::Duration;

/// The times of this worker, by the first digit of the status code.
#[derive(Debug)]
pub struct Times([Histogram; CLASSES.len()]);

impl Times {
    /// Those that `/metrics` tells.
    ///
    /// # Errors
    /// When the registry is full.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricError> {
        let times = |class| {
            metrics.own_histogram(&Definition {
                kind: MetricKind::Histogram,
                name: "ferricorn_response_seconds",
                help: "Time from a complete request head to the app's answer.",
                labels: &[("code", class)],
                bounds: &BOUNDS,
            })
        };
        let [ok, elsewhere, client, server] = CLASSES.map(times);
        Ok(Self([ok?, elsewhere?, client?, server?]))
    }

    /// Counts an answer.
    pub fn note(&self, status: StatusCode, time: Duration) {
        // A protocol that has been changed (101) is not over.
        let class = usize::from(status.as_u16() / 100).checked_sub(2);
        if let Some(times) = class.and_then(|class| self.0.get(class)) {
            times.observe(time.as_secs_f64());
        }
    }
}

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// From half a millisecond to the time limit that requests have by default.
const BOUNDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_their_class_and_changes_of_protocol_not_at_all() {
        let metrics = Metrics::alone().unwrap();
        let times = Times::new(&metrics).unwrap();
        for (status, milliseconds) in
            [(200, 1), (204, 3), (304, 0), (404, 40_000), (599, 2), (101, 1), (999, 1)]
        {
            times.note(StatusCode::from_u16(status).unwrap(), Duration::from_millis(milliseconds));
        }
        let page = metrics.table().page();
        let count = |rest: &str, count| {
            let line = format!("ferricorn_response_seconds_{rest} {count}\n");
            assert!(page.contains(&line), "{line}{page}");
        };
        count("count{code=\"2xx\"}", 2);
        count("bucket{code=\"2xx\",le=\"0.001\"}", 1);
        count("bucket{code=\"2xx\",le=\"0.005\"}", 2);
        count("count{code=\"3xx\"}", 1);
        count("bucket{code=\"4xx\",le=\"30.0\"}", 0);
        count("count{code=\"4xx\"}", 1);
        count("count{code=\"5xx\"}", 1);
    }
}
