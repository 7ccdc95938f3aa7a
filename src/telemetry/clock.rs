//! Times as logs print them. The calendar is httpdate's: one less to get wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in UTC, ready to be printed.
#[derive(Debug)]
pub(crate) struct Stamp {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`: every part has its fixed place (RFC 9110 5.6.7).
    date: String,
    milliseconds: u32,
}

impl Stamp {
    /// Takes a moment apart; one outside the years 1970 to 9999 becomes the nearest inside.
    pub(crate) fn new(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LATEST);
        Self { date: httpdate::fmt_http_date(UNIX_EPOCH + since), milliseconds: since.subsec_millis() }
    }

    /// `1994-11-06T08:49:37.123Z` (RFC 3339).
    pub(crate) fn rfc3339(&self) -> String {
        let month = MONTHS.iter().position(|name| *name == self.part(8, 11)).map_or(0, |index| index + 1);
        let (year, day, time) = (self.part(12, 16), self.part(5, 7), self.part(17, 25));
        format!("{year}-{month:02}-{day}T{time}.{:03}Z", self.milliseconds)
    }

    /// `06/Nov/1994:08:49:37 +0000`, as the combined log format has it.
    pub(crate) fn combined(&self) -> String {
        let (day, month, year, time) =
            (self.part(5, 7), self.part(8, 11), self.part(12, 16), self.part(17, 25));
        format!("{day}/{month}/{year}:{time} +0000")
    }

    fn part(&self, from: usize, to: usize) -> &str {
        self.date.get(from..to).unwrap_or_default()
    }
}

/// The last second of the year 9999, the last that the date formats can say.
const LATEST: Duration = Duration::from_secs(253_402_300_799);
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_printed_in_utc() {
        for (seconds, millis, rfc3339, combined) in [
            (0, 0, "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
            (784_111_777, 7, "1994-11-06T08:49:37.007Z", "06/Nov/1994:08:49:37 +0000"),
            (951_782_400, 999, "2000-02-29T00:00:00.999Z", "29/Feb/2000:00:00:00 +0000"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000Z", "31/Dec/9999:23:59:59 +0000"),
            (253_402_300_800, 0, "9999-12-31T23:59:59.000Z", "31/Dec/9999:23:59:59 +0000"),
        ] {
            let stamp = Stamp::new(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis));
            assert_eq!((stamp.rfc3339().as_str(), stamp.combined().as_str()), (rfc3339, combined));
        }
        assert_eq!(Stamp::new(UNIX_EPOCH - Duration::from_secs(1)).rfc3339(), "1970-01-01T00:00:00.000Z");
    }
}
