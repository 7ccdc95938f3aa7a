//! Points in time: TOML's date and time, and the clock's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use toml::value::{Date, Datetime, Offset, Time};

/// The instant of a date and time with a zone, from 1970 on, in whole seconds.
///
/// A local time names a different instant on each machine: it is `None`.
pub(super) fn from_toml(datetime: &Datetime) -> Option<SystemTime> {
    let (date, time) = (datetime.date?, datetime.time?);
    let offset_minutes = match datetime.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_from_civil(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let seconds = days * DAY
        + i64::from(time.hour) * 3600
        + i64::from(time.minute) * 60
        + i64::from(time.second.unwrap_or(0))
        - offset_minutes * 60;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// The same instant in UTC.
pub(super) fn to_toml(time: SystemTime) -> Datetime {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) =
        (i64::try_from(seconds / DAY.unsigned_abs()).unwrap_or(0), seconds % DAY.unsigned_abs());
    let (year, month, day) = civil_from_days(days);
    // The remainders are below 24 and 60.
    let part = |number: u64| u8::try_from(number).unwrap_or(0);
    Datetime {
        date: Some(Date { year, month, day }),
        time: Some(Time {
            hour: part(rest / 3600),
            minute: part(rest / 60 % 60),
            second: Some(part(rest % 60)),
            nanosecond: None,
        }),
        offset: Some(Offset::Z),
    }
}

/// Days from 1970-01-01, in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + leap_days + day_of_year - DAYS_BEFORE_1970
}

fn civil_from_days(days: i64) -> (u16, u8, u8) {
    // The year is found by trying: a guess that is at most one too late.
    let mut year = 1970 + days / 365;
    while days_from_civil(year, 1, 1) > days {
        year -= 1;
    }
    let mut month = 12;
    while days_from_civil(year, month, 1) > days {
        month -= 1;
    }
    let day = days - days_from_civil(year, month, 1) + 1;
    (
        u16::try_from(year).unwrap_or(u16::MAX),
        u8::try_from(month).unwrap_or(1),
        u8::try_from(day).unwrap_or(1),
    )
}

const DAY: i64 = 86_400;

/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let time = from_toml(&text.parse().unwrap())?;
        Some(time.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn instants_are_those_of_the_clock() {
        // Values from `date -u -d TEXT +%s`.
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-12-01T00:00:00Z", Some(1_796_083_200)),
            ("2024-02-29T12:30:15Z", Some(1_709_209_815)),
            ("2026-12-01T02:00:00+02:00", Some(1_796_083_200)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2026-12-01T00:00:00", None),
            ("1969-12-31T23:59:59Z", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_printed_as_it_is_read() {
        for day in 0..146_097 {
            let time = UNIX_EPOCH + Duration::from_secs(day * DAY.unsigned_abs() + day % 86_400);
            assert_eq!(from_toml(&to_toml(time)), Some(time), "day {day}");
        }
    }
}
