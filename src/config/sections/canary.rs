//! `workers.canary`: one worker of a new generation that serves for a while before the others follow.

use crate::config::Percent;
use crate::config::percent::hundredths;
use crate::config::setting::{Setting, mismatch};
use crate::config::value::Value;
use std::fmt;
use std::time::Duration;

/// How the first worker of a new generation is tried, and what it must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    /// How long it serves beside the old workers before the others follow; zero: they follow at once. Default: 0 s.
    pub time: Duration,
    /// Answers that it has to have given by then; without them it goes on for up to [`Self::EXTENSION`] times as long.
    /// Default: 100.
    pub requests: u64,
    /// How much larger the part of its answers that are 5xx may be than the old workers'. Default: 2 %.
    pub errors: Percent,
    /// How long its answers may take, compared with the old workers'. Default: 200 %.
    pub latency: Ratio,
}

impl Canary {
    /// The longest time; other reloads wait for its end.
    pub const LONGEST: Duration = Duration::from_secs(86_400);

    /// How much longer a canary is tried at most that gets few requests.
    pub const EXTENSION: u32 = 3;

    /// When it is judged by what there is.
    pub fn longest(&self) -> Duration {
        self.time.saturating_mul(Self::EXTENSION)
    }
}

impl Default for Canary {
    fn default() -> Self {
        Self { time: Duration::ZERO, requests: 100, errors: Percent(2), latency: Ratio(200) }
    }
}

/// One amount compared with another, written `"200%"` for twice as much: 101 to 10000 hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio(pub u16);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Setting for Ratio {
    fn takes() -> String {
        "a ratio from \"101%\" to \"10000%\"; \"200%\" is twice as much".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        let percent = hundredths(value).filter(|percent| (101..=10_000).contains(percent));
        percent.map(Self).ok_or_else(|| mismatch::<Self>(value))
    }

    fn show(&self) -> toml::Value {
        self.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_read_as_they_are_printed() {
        for ratio in [101, 200, 10_000].map(Ratio) {
            assert_eq!(Ratio::read(&Value::Text(ratio.to_string())), Ok(ratio));
        }
        for text in ["", "2", "2x", "100%", "10001%", "+200%", "-200%", "%", "150.5%"] {
            let error = Ratio::read(&Value::Text(text.into())).unwrap_err();
            assert!(error.contains("\"200%\""), "{text}: {error}");
        }
    }
}
