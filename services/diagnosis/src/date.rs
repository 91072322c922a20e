//! When a visit is to be: a day, a time, or only a month, as people write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Longer than any date that is meant.
const MAX_LENGTH: usize = 40;

/// A date as it was written, and what it means at the clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitDate {
    pub text: String,
    pub when: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Some day of it, not yet agreed; given by its first day.
    Month(Date),
    /// Some time of that day.
    Day(Date),
    /// By the clinic's clock.
    Time(DateTime),
    /// Written in an event of the original, which took any text for a date.
    Unknown,
}

impl VisitDate {
    /// Understands `2020-05-01`, `20200501`, `202002`, `2020-02`, and a day with a time: `2020-05-01T10:00`,
    /// `2020-05-01 10:00:30`, `2020-05-01T10:00+09:00`. A time without an offset is the clinic's own.
    pub fn parse(text: &str, zone: &TimeZone) -> Option<Self> {
        let text = text.trim();
        let when = parse_when(text, zone)?;
        Some(Self { text: text.to_owned(), when })
    }

    /// What an event says is taken as it is: the reservation stands, whatever was written.
    pub fn as_written(text: &str, zone: &TimeZone) -> Self {
        Self::parse(text, zone).unwrap_or_else(|| Self { text: text.to_owned(), when: When::Unknown })
    }

    /// The day whose place it takes.
    pub fn day(&self) -> Option<String> {
        match self.when {
            When::Month(_) | When::Unknown => None,
            When::Day(date) => Some(date.to_string()),
            When::Time(time) => Some(time.date().to_string()),
        }
    }

    /// The hour whose place it takes.
    pub fn hour(&self) -> Option<String> {
        match self.when {
            When::Month(_) | When::Day(_) | When::Unknown => None,
            When::Time(time) => Some(format!("{}T{:02}", time.date(), time.hour())),
        }
    }
}

fn parse_when(text: &str, zone: &TimeZone) -> Option<When> {
    let starts_with_year = text.len() >= 6 && text.as_bytes()[..4].iter().all(u8::is_ascii_digit);
    if !starts_with_year || text.len() > MAX_LENGTH || text.contains('[') {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return match text.len() {
            6 => format!("{text}01").parse().ok().map(When::Month),
            7 => format!("{text}-01").parse().ok().map(When::Month),
            8 | 10 => text.parse().ok().map(When::Day),
            _ => None,
        };
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(When::Time(instant.to_zoned(zone.clone()).datetime()));
    }
    text.parse().ok().map(When::Time)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn when(text: &str) -> Option<When> {
        VisitDate::parse(text, &TimeZone::get("Asia/Seoul").unwrap()).map(|date| date.when)
    }

    #[test]
    fn a_day_a_month_and_a_time_are_understood_as_people_write_them() {
        let may = date(2020, 5, 1);
        let ten = Some(When::Time(may.at(10, 0, 0, 0)));
        for (text, meant) in [
            ("2020-05-01", Some(When::Day(may))),
            (" 2020-05-01 ", Some(When::Day(may))),
            ("20200501", Some(When::Day(may))),
            ("202002", Some(When::Month(date(2020, 2, 1)))),
            ("2020-02", Some(When::Month(date(2020, 2, 1)))),
            ("2020-05-01T10:00", ten),
            ("2020-05-01 10:00", ten),
            ("2020-05-01t10:00:00", ten),
            ("2020-05-01T10:00:00.000", ten),
            ("2020-05-01T10:00+09:00", ten),
            ("2020-05-01 10:00:00+0900", ten),
            ("2020-05-01T01:00Z", ten),
            ("2020-04-30T20:00:00-05:00", ten),
        ] {
            assert_eq!(when(text), meant, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_or_an_impossible_one_is_not_understood() {
        for text in [
            "",
            "true",
            "12",
            "2020",
            "tomorrow",
            "2026-02-30",
            "20260230",
            "202013",
            "2020-00",
            "2020-5-1",
            "20200-2",
            "2020--0501",
            "2020-0501",
            "2020-05-01T",
            "2020-05-01T25:00",
            "2020-05-01T10:61",
            "2020-02-30T10:00",
            "2020-05-01T10:00[Asia/Seoul]",
            "2020-05-01T10:00 and then some more text that goes on",
            "-2020-05-01",
            "--------",
            "２０２０-05-01",
        ] {
            assert_eq!(when(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_takes_a_place_in_its_day_and_its_hour_by_the_clinics_clock() {
        let late = VisitDate::parse("2020-04-30T23:30Z", &TimeZone::get("Asia/Seoul").unwrap()).unwrap();
        assert_eq!((late.day().as_deref(), late.hour().as_deref()), (Some("2020-05-01"), Some("2020-05-01T08")));
        let month = VisitDate::parse("202002", &TimeZone::UTC).unwrap();
        assert_eq!((month.day(), month.hour()), (None, None));
    }
}
