//! What a round counted, and what the rounds come to.

use super::response::Reply;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Everything counted in one round on one server.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// Times from request to complete response, in microseconds; a new connection's handshake is part of it.
    pub(super) latency: Histogram<u64>,
    /// Requests begun.
    pub(super) begun: u64,
    /// Answers within the round; later ones are in `latency` alone.
    pub(super) in_time: u64,
    /// Answers with a status code other than 2xx.
    pub(super) refused: u64,
    /// Exchanges that failed: connections refused, reset or cut off.
    pub(super) broken: u64,
    /// Bytes of content.
    pub(super) content: u64,
    /// Connections made.
    pub(super) connections: u64,
    /// When the last answer within the round came, since its start.
    pub(super) last: Duration,
    /// Length of the round.
    pub(super) length: Duration,
    /// CPU time that the server's processes used meanwhile; `None` for servers that are not ours.
    pub(super) cpu: Option<Duration>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            latency: histogram(),
            begun: 0,
            in_time: 0,
            refused: 0,
            broken: 0,
            content: 0,
            connections: 0,
            last: Duration::ZERO,
            length: Duration::ZERO,
            cpu: None,
        }
    }
}

impl Tally {
    /// Counts an answer; `at` since the start of the round, unless it came after its end.
    pub(super) fn answer(&mut self, reply: Reply, took: Duration, at: Option<Duration>) {
        // Rounded up: an answer never takes 0 us. Saturating: what is above the range is counted as its end.
        let micros = u64::try_from(took.as_nanos().div_ceil(1000)).unwrap_or(LONGEST);
        self.latency.saturating_record(micros);
        self.content += reply.content;
        self.refused += u64::from(!(200..300).contains(&reply.status));
        if let Some(at) = at {
            self.in_time += 1;
            self.last = self.last.max(at);
        }
    }

    /// Adds what another thread, or another round, counted.
    pub(super) fn add(&mut self, other: &Self) {
        // Same bounds everywhere, so the addition cannot fail; see `histogram`.
        let _ = self.latency.add(&other.latency);
        self.begun += other.begun;
        self.in_time += other.in_time;
        self.refused += other.refused;
        self.broken += other.broken;
        self.content += other.content;
        self.connections += other.connections;
        self.last = self.last.max(other.last);
        self.length += other.length;
        self.cpu = match (self.cpu, other.cpu) {
            (Some(one), Some(two)) => Some(one + two),
            (one, two) => one.or(two),
        };
    }

    /// Answers, in time or late.
    pub(super) fn answers(&self) -> u64 {
        self.latency.len()
    }

    /// Requests that were not answered before the wait for them ended.
    pub(super) fn unanswered(&self) -> u64 {
        self.begun.saturating_sub(self.answers() + self.broken)
    }

    /// Requests without a 2xx answer.
    pub(super) fn failed(&self) -> u64 {
        self.refused + self.broken + self.unanswered()
    }

    /// Answers per second of the round.
    #[expect(clippy::cast_precision_loss, reason = "no round counts 2^53 answers")]
    pub(super) fn per_second(&self) -> f64 {
        let seconds = self.length.as_secs_f64();
        if seconds > 0.0 { self.in_time as f64 / seconds } else { 0.0 }
    }

    /// CPU time per answer, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "no round counts 2^53 answers")]
    pub(super) fn cpu_micros(&self) -> Option<f64> {
        let cpu = self.cpu.filter(|_| self.answers() > 0)?;
        Some(cpu.as_secs_f64() * 1e6 / self.answers() as f64)
    }

    /// The latency that this share of the answers, in percent, does not exceed, in microseconds.
    pub(super) fn percentile(&self, percent: f64) -> u64 {
        self.latency.value_at_percentile(percent)
    }
}

/// The middle of some numbers; the mean of both when there are two; 0 of none.
pub(super) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2)) {
        (Some(below), Some(above)) => f64::midpoint(*below, *above),
        _ => 0.0,
    }
}

/// Percentiles that are shown.
pub(super) const PERCENTILES: [(&str, f64); 4] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// Longest latency told apart from longer ones, in microseconds.
const LONGEST: u64 = 120_000_000;

/// 1 us to two minutes with three digits, in about 150 KiB however much is recorded.
#[expect(clippy::expect_used, reason = "the bounds are constants that the tests try")]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds that a histogram takes")
}

#[cfg(test)]
mod tests {
    use super::super::response::Persistence;
    use super::*;

    fn tally(latencies_ms: &[u64]) -> Tally {
        let mut tally = Tally { length: Duration::from_secs(2), ..Tally::default() };
        for latency in latencies_ms {
            tally.begun += 1;
            let reply = Reply { status: 200, content: 10, persistence: Persistence::Kept };
            tally.answer(reply, Duration::from_millis(*latency), Some(Duration::from_millis(*latency)));
        }
        tally
    }

    /// Three digits: a value stands for those within a thousandth.
    fn close(found: u64, expected: u64) {
        assert!(found.abs_diff(expected) <= expected / 500, "{found} is not about {expected}");
    }

    #[test]
    fn percentiles_are_those_of_all_latencies_to_three_digits() {
        let latencies: Vec<u64> = (1..=1000).collect();
        let (odd, even): (Vec<u64>, Vec<u64>) = latencies.iter().partition(|latency| *latency % 2 == 1);
        let mut both = tally(&odd);
        both.add(&tally(&even));
        for (percent, expected) in [(50.0, 500_000), (90.0, 900_000), (99.0, 990_000), (99.9, 999_000)] {
            close(both.percentile(percent), expected);
        }
        close(both.latency.max(), 1_000_000);
        assert_eq!((both.answers(), both.content), (1000, 10_000));
        assert!((both.per_second() - 250.0).abs() < 1e-9, "two rounds of 2 s");
    }

    #[test]
    fn latencies_out_of_range_are_counted_at_its_ends() {
        let tally = tally(&[0, 3_600_000]);
        assert_eq!(tally.answers(), 2);
        close(tally.latency.max(), LONGEST);
    }

    #[test]
    fn whatever_was_no_good_answer_has_failed() {
        let mut tally = tally(&[1, 2]);
        let reply = Reply { status: 302, content: 0, persistence: Persistence::Kept };
        tally.answer(reply, Duration::from_millis(3), None);
        tally.begun += 3;
        tally.broken += 1;
        assert_eq!((tally.in_time, tally.answers()), (2, 3));
        assert_eq!((tally.refused, tally.broken, tally.unanswered(), tally.failed()), (1, 1, 1, 3));
    }

    #[test]
    fn cpu_time_is_divided_among_the_answers() {
        let mut tally = tally(&[1, 1, 1, 1]);
        assert_eq!(tally.cpu_micros(), None);
        tally.cpu = Some(Duration::from_millis(2));
        assert_eq!(tally.cpu_micros(), Some(500.0));
        assert_eq!(Tally { cpu: tally.cpu, ..Tally::default() }.cpu_micros(), None, "of no answers");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([]).to_bits(), 0.0_f64.to_bits());
        assert_eq!(median([3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median([4.0, 1.0]).to_bits(), 2.5_f64.to_bits());
    }
}
