//! The settings; `config.toml` says what they mean.

use std::num::NonZeroU32;
use std::time::Duration;

use chassis::config::{Database, Kafka, parse_duration};
use jiff::tz::TimeZone;
use rand::RngExt;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::policy::{ClosedDay, OpeningHours};

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub database: Database,
    pub kafka: Kafka,
    pub clinic: Clinic,
    pub treatment: Treatment,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Clinic {
    #[serde(deserialize_with = "time_zone")]
    pub time_zone: TimeZone,
    pub opening_hours: Vec<OpeningHours>,
    pub closed_days: Vec<ClosedDay>,
    pub capacity_per_day: u32,
    pub capacity_per_hour: u32,
    pub allow_past_dates: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Treatment {
    pub policy: TreatmentPolicy,
    #[serde(deserialize_with = "not_blank")]
    pub doctor: String,
    #[serde(deserialize_with = "not_blank")]
    pub opinion: String,
    #[serde(deserialize_with = "not_blank")]
    pub treatment: String,
    pub simulated_time: SimulatedTime,
    pub max_concurrency: NonZeroU32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TreatmentPolicy {
    /// Treated at once when the reservation is confirmed.
    WalkIn,
    /// Treated when a vet writes the opinion.
    Manual,
}

/// The range from which each acceptance draws how long it takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SimulatedTime {
    shortest: Duration,
    longest: Duration,
}

impl SimulatedTime {
    pub fn draw(self) -> Duration {
        let span = self.longest - self.shortest;
        self.shortest + span.mul_f64(rand::rng().random::<f64>())
    }
}

impl TryFrom<String> for SimulatedTime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let (shortest, longest) =
            text.split_once("..").ok_or_else(|| format!("`{text}` is no range; write it like 400ms..620ms"))?;
        let (shortest, longest) = (parse_duration(shortest.trim())?, parse_duration(longest.trim())?);
        if shortest > longest {
            return Err(format!("`{text}` ends before it begins"));
        }
        Ok(Self { shortest, longest })
    }
}

fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeZone, D::Error> {
    let name = String::deserialize(deserializer)?;
    TimeZone::get(&name).map_err(|_| D::Error::custom(format!("`{name}` is no time zone; write it like Asia/Seoul")))
}

fn not_blank<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Err(D::Error::custom("must not be blank"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_time_is_drawn_from_its_range() {
        let time = SimulatedTime::try_from("400ms..620ms".to_owned()).unwrap();
        for _ in 0..1000 {
            assert!((time.shortest..=time.longest).contains(&time.draw()));
        }
        assert_eq!(SimulatedTime::try_from(String::new()).unwrap().draw(), Duration::ZERO);
    }
}
