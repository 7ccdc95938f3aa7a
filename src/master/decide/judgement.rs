//! Whether a canary does worse than the old workers: statistics over what they have counted in the same time.
//!
//! A difference counts when it is larger than the limit by more than chance explains, so few answers refuse nobody for
//! one bad one, and many tell small differences.

use crate::config::Canary;
use crate::contract::tally::{self, Tally};
use std::fmt::Write;
use std::time::Duration;

/// How sure a difference has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// Judged again and again: seldom wrong in any of the looks.
    High,
    /// Judged once.
    Usual,
}

/// What is wrong with a canary, in words; `None`: it does as well as the others.
pub(super) fn fault(canary: Tally, old: Tally, limits: &Canary, certainty: Certainty) -> Option<String> {
    let deviations = match certainty {
        Certainty::High => 3.5,
        Certainty::Usual => 2.0,
    };
    let allowed = f64::from(limits.errors.0) / 100.0;
    if Share::of(canary).excess(Share::of(old), deviations) > allowed {
        return Some(format!(
            "canary: {:.1} % of {} answers were 5xx, old workers {:.1} %",
            percent(canary),
            canary.answers,
            percent(old)
        ));
    }
    let (slow, usual) = (Times::of(canary)?, Times::of(old)?);
    let ratio = f64::from(limits.latency.0) / 100.0;
    (slow.excess(usual, deviations) > ratio.log2()).then(|| {
        format!(
            "canary: its answers took {:.1?} (geometric mean of {}), the old workers' {:.1?}; up to {} are allowed",
            rounded(slow.typical()),
            canary.answers,
            rounded(usual.typical()),
            limits.latency
        )
    })
}

/// What was found, for the log.
pub(super) fn describe(canary: Tally, old: Tally) -> String {
    let mut text = format!(
        "{:.1} % of {} answers were 5xx, old workers {:.1} % of {}",
        percent(canary),
        canary.answers,
        percent(old),
        old.answers
    );
    if let (Some(slow), Some(usual)) = (Times::of(canary), Times::of(old)) {
        let (slow, usual) = (rounded(slow.typical()), rounded(usual.typical()));
        // Writing to a String cannot fail.
        let _ = write!(text, "; they took {slow:.1?}, the old workers' {usual:.1?} (geometric means)");
    }
    text
}

/// A part of all answers, and how far off it may be.
#[derive(Debug, Clone, Copy)]
struct Share {
    part: f64,
    variance: f64,
}

impl Share {
    /// One bad and one good answer are added, so that few answers leave room for doubt (Agresti and Caffo, "Simple and
    /// effective confidence intervals for proportions", 2000).
    fn of(tally: Tally) -> Self {
        if tally.answers == 0 {
            // Nothing is known, and nothing is assumed to be wrong.
            return Self { part: 0.0, variance: 0.0 };
        }
        let answers = number(tally.answers) + 2.0;
        let part = ((number(tally.errors) + 1.0) / answers).min(1.0);
        Self { part, variance: part * (1.0 - part) / answers }
    }

    /// How much larger it is than another one, at least.
    fn excess(self, other: Self, deviations: f64) -> f64 {
        self.part - other.part - deviations * (self.variance + other.variance).sqrt()
    }
}

/// The logarithms of times: their mean, and how far off it may be.
#[derive(Debug, Clone, Copy)]
struct Times {
    mean: f64,
    variance: f64,
}

impl Times {
    /// `None` for too few to tell.
    fn of(tally: Tally) -> Option<Self> {
        if tally.answers < TOLD_BY {
            return None;
        }
        let answers = number(tally.answers);
        let mean = number(tally.logs) / answers;
        let spread = number(tally.squares) / answers * tally::UNIT_F - mean * mean;
        Some(Self { mean, variance: spread.max(0.0) / (answers - 1.0) })
    }

    fn typical(self) -> Duration {
        tally::time_of(self.mean)
    }

    /// The binary logarithm of how many times as long they are as others, at least.
    fn excess(self, other: Self, deviations: f64) -> f64 {
        let doubt = deviations * (self.variance + other.variance).sqrt();
        (self.mean - other.mean - doubt) / tally::UNIT_F
    }
}

fn percent(tally: Tally) -> f64 {
    number(tally.errors.min(tally.answers)) * 100.0 / number(tally.answers.max(1))
}

/// To what people read.
fn rounded(time: Duration) -> Duration {
    Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 need no exactness")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Answers that tell how long answers take.
const TOLD_BY: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of which every so many-th is an error; their times go up and down by half around one.
    fn tally(answers: u64, errors: u64, microseconds: u64) -> Tally {
        let mut tally = Tally::default();
        for answer in 0..answers {
            let time = microseconds * [50, 150, 90, 110, 100][usize::try_from(answer % 5).unwrap()] / 100;
            tally.add(Duration::from_micros(time), answer < errors);
        }
        tally
    }

    #[test]
    fn a_canary_is_refused_for_what_chance_does_not_explain() {
        let limits = Canary::default();
        let rows = [
            // The same, in any number.
            (tally(100, 0, 10_000), tally(400, 0, 10_000), None),
            (tally(0, 0, 0), tally(0, 0, 0), None),
            (tally(0, 0, 0), tally(1000, 900, 10), None),
            (tally(1000, 200, 10_000), tally(4000, 800, 10_000), None),
            (tally(100, 3, 10_000), tally(100, 1, 10_000), None),
            (tally(3, 1, 10_000), tally(3, 0, 10_000), None),
            (
                tally(498, 100, 10_000),
                tally(2000, 0, 10_000),
                Some("20.1 % of 498 answers were 5xx, old workers 0.0 %"),
            ),
            (tally(100, 20, 10_000), tally(100, 0, 10_000), Some("20.0 % of 100")),
            (tally(12, 12, 10_000), tally(12, 0, 10_000), Some("100.0 % of 12")),
            (
                tally(50, 50, 10_000),
                tally(0, 0, 0),
                Some("100.0 % of 50 answers were 5xx, old workers 0.0 %"),
            ),
            (tally(100, 0, 30_000), tally(100, 0, 10_000), Some("canary: its answers took 2")),
            (tally(100, 0, 3000), tally(100, 0, 1000), Some("canary: its answers took 2.")),
            (tally(100, 0, 15_000), tally(100, 0, 10_000), None),
            (tally(5, 0, 30_000), tally(100, 0, 10_000), None),
            // What nobody notices.
            (tally(100, 0, 60), tally(100, 0, 20), None),
        ];
        for (canary, old, expected) in rows {
            let found = fault(canary, old, &limits, Certainty::Usual);
            match expected {
                Some(text) => {
                    assert!(found.as_ref().is_some_and(|found| found.contains(text)), "{text}: {found:?}")
                }
                None => assert_eq!(found, None, "{}", describe(canary, old)),
            }
        }
    }

    #[test]
    fn early_verdicts_need_more() {
        let (canary, old) = (tally(100, 10, 10_000), tally(100, 0, 10_000));
        assert_eq!(fault(canary, old, &Canary::default(), Certainty::High), None);
        assert!(fault(canary, old, &Canary::default(), Certainty::Usual).is_some());
        let half = tally(100, 50, 10_000);
        assert!(fault(half, old, &Canary::default(), Certainty::High).is_some());
    }

    #[test]
    fn the_log_has_the_numbers() {
        assert_eq!(
            describe(tally(0, 0, 0), tally(3, 3, 1000)),
            "0.0 % of 0 answers were 5xx, old workers 100.0 % of 3"
        );
        let text = describe(tally(10, 1, 30_000), tally(20, 0, 10_000));
        assert!(
            text.starts_with("10.0 % of 10 answers were 5xx, old workers 0.0 % of 20; they took 28."),
            "{text}"
        );
    }
}
