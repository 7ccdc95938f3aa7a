//! How numbers of workers and threads are read and printed.

use super::setting::{Setting, mismatch};
use super::value::{Entry, Value};
use super::{Share, Threads, WorkerCount};

impl Setting for WorkerCount {
    fn takes() -> String {
        "\"auto\", a number from 1 to 4096, or two of them: { min = 2, max = 8 }, \"2:8\"".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        if value.text() == Some("auto") {
            return Ok(Self::Auto);
        }
        if let Value::Table(entries) = value {
            return bounds(entries);
        }
        if let Some((least, most)) = value.text().and_then(|text| text.split_once(':')) {
            let number = |text: &str| text.trim().parse().map_err(|_| mismatch::<Self>(value));
            return between(number(least)?, number(most)?);
        }
        match u16::read(value) {
            Ok(count @ 1..=4096) => Ok(Self::Exactly(count)),
            _ => Err(mismatch::<Self>(value)),
        }
    }

    fn show(&self) -> toml::Value {
        match self {
            Self::Auto => "auto".into(),
            Self::Exactly(count) => count.show(),
            Self::Between(..) => self.to_string().into(),
        }
    }
}

/// `{ min = 2, max = 8 }`.
fn bounds(entries: &[Entry]) -> Result<WorkerCount, String> {
    let (mut least, mut most) = (None, None);
    for Entry { name, node } in entries {
        let bound = match name.as_str() {
            "min" => &mut least,
            "max" => &mut most,
            _ => return Err(format!("{name:?} is unknown here; write {{ min = 2, max = 8 }}")),
        };
        *bound = Some(u16::read(&node.value)?);
    }
    match (least, most) {
        (Some(least), Some(most)) => between(least, most),
        (None, _) => Err("min is missing; write { min = 2, max = 8 }".into()),
        (_, None) => Err("max is missing; write { min = 2, max = 8 }".into()),
    }
}

fn between(least: u16, most: u16) -> Result<WorkerCount, String> {
    if least == 0 || most > 4096 || least > most {
        return Err(format!(
            "from {least} to {most} workers: write two numbers from 1 to 4096, the smaller one first"
        ));
    }
    Ok(WorkerCount::Between(least, most))
}

impl Setting for Threads {
    fn takes() -> String {
        "\"auto\" or a number from 1 to 1024".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        if value.text() == Some("auto") {
            return Ok(Self::Auto);
        }
        u16::read(value).map(Self::Exactly).map_err(|_| mismatch::<Self>(value))
    }

    fn show(&self) -> toml::Value {
        match self {
            Self::Auto => "auto".into(),
            Self::Exactly(count) => count.show(),
        }
    }
}

impl Setting for Share {
    fn takes() -> String {
        "a part such as \"25%\" or a number from 1 to 4096".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        if let Some(percent) = value.text().and_then(|text| text.strip_suffix('%')) {
            return match percent.trim().parse() {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                _ => Err(format!("{}: a part is from 1% to 100%", mismatch::<Self>(value))),
            };
        }
        match u16::read(value) {
            Ok(count @ 1..=4096) => Ok(Self::Count(count)),
            _ => Err(mismatch::<Self>(value)),
        }
    }

    fn show(&self) -> toml::Value {
        match self {
            Self::Percent(_) => self.to_string().into(),
            Self::Count(count) => count.show(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AppTarget, Config};

    #[test]
    fn threads_by_themselves_share_the_cpus_and_python_has_one() {
        let mut config = Config::default();
        for (threads, workers, cpus, expected) in [
            (Threads::Auto, 1, 8, 8),
            (Threads::Auto, 3, 8, 2),
            (Threads::Auto, 9, 8, 1),
            (Threads::Exactly(5), 9, 8, 5),
        ] {
            config.workers.threads = threads;
            assert_eq!(config.threads(workers, cpus), expected, "{threads:?} {workers} {cpus}");
        }
        config.workers.threads = Threads::Auto;
        config.apps[0].target = AppTarget::Python("site:app".into());
        assert_eq!(config.threads(1, 8), 1);
    }
}
