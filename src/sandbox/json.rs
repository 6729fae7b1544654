//! How durations are written in the sandbox's own JSON: `"2s"`, `"250ms"`, `"15m"`, or a number of seconds.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A duration in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Seconds(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let span = match Written::deserialize(deserializer)? {
            Written::Seconds(seconds) => Some(Duration::from_secs(seconds)),
            Written::Text(text) => duration(&text),
        };
        span.map(Self)
            .ok_or_else(|| de::Error::custom("a duration is written \"250ms\", \"2s\" or \"15m\""))
    }
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (count, unit) = text.split_at(unit);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    count
        .parse::<u64>()
        .ok()?
        .checked_mul(millis)
        .map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let read = |text| {
            serde_json::from_str::<Span>(text)
                .map(|span| span.0.as_millis())
                .ok()
        };
        assert_eq!(read("\"250ms\""), Some(250));
        assert_eq!(read("\"2s\""), Some(2_000));
        assert_eq!(read("15"), Some(15_000));
        for bad in [
            "\"\"",
            "\"2\"",
            "\"s\"",
            "\"2 s\"",
            "\"-1s\"",
            "-1",
            "\"99999999999999999d\"",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
