//! What the clinic can treat: opening hours, closed days, and whether a visit may lie in the past. Its capacity is
//! counted in the database.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use serde::Deserialize;

use crate::config::Clinic;
use crate::date::{VisitDate, When};

const MINUTES_A_DAY: u16 = 24 * 60;

/// From one minute of the day to another, on the weekdays it names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OpeningHours {
    days: Vec<Weekday>,
    from: u16,
    to: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ClosedDay {
    Every(Weekday),
    On(Date),
}

impl Clinic {
    /// Why a visit cannot be then, for the one who asks for it.
    pub fn refuses(&self, date: &VisitDate, now: Timestamp) -> Option<String> {
        let written = &date.text;
        if !self.allow_past_dates && self.is_over(date.when, now) {
            return Some(format!("{written} is in the past."));
        }
        let (day, time) = match date.when {
            When::Month(_) | When::Unknown => return None,
            When::Day(day) => (day, None),
            When::Time(time) => (time.date(), Some(time)),
        };
        if self.is_closed(day) {
            return Some(format!("The clinic is closed on {day}."));
        }
        if time.is_some_and(|time| !self.is_open_at(time)) {
            return Some(format!("The clinic is not open at {written}."));
        }
        None
    }

    fn is_over(&self, when: When, now: Timestamp) -> bool {
        let now = now.to_zoned(self.time_zone.clone()).datetime();
        match when {
            When::Month(first) => first < now.date().first_of_month(),
            When::Day(day) => day < now.date(),
            When::Time(time) => time < now,
            When::Unknown => false,
        }
    }

    fn is_closed(&self, day: Date) -> bool {
        let never_opens = !self.opening_hours.is_empty()
            && !self.opening_hours.iter().any(|hours| hours.days.contains(&day.weekday()));
        never_opens
            || self.closed_days.iter().any(|closed| match closed {
                ClosedDay::Every(weekday) => *weekday == day.weekday(),
                ClosedDay::On(date) => *date == day,
            })
    }

    fn is_open_at(&self, time: DateTime) -> bool {
        let minute = minute_of_day(time.hour(), time.minute());
        self.opening_hours.is_empty()
            || self
                .opening_hours
                .iter()
                .any(|hours| hours.days.contains(&time.weekday()) && (hours.from..hours.to).contains(&minute))
    }
}

fn minute_of_day(hour: i8, minute: i8) -> u16 {
    u16::from(hour.unsigned_abs()) * 60 + u16::from(minute.unsigned_abs())
}

impl TryFrom<String> for OpeningHours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no opening time; write it like \"mon-fri 09:00-18:00\" or \"09:00-18:00\"");
        let (days, times) = match text.trim().split_once(' ') {
            Some((days, times)) => (parse_days(days).ok_or_else(wrong)?, times.trim()),
            None => (Weekday::Monday.cycle_forward().take(7).collect(), text.trim()),
        };
        let (from, to) = times.split_once('-').ok_or_else(wrong)?;
        let (from, to) = (parse_minute(from).ok_or_else(wrong)?, parse_minute(to).ok_or_else(wrong)?);
        if from >= to {
            return Err(format!("`{text}` ends before it begins"));
        }
        Ok(Self { days, from, to })
    }
}

impl TryFrom<String> for ClosedDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(weekday) = parse_weekday(&text) {
            return Ok(Self::Every(weekday));
        }
        text.parse()
            .map(Self::On)
            .map_err(|_| format!("`{text}` is neither a weekday such as sun nor a date such as 2026-12-25"))
    }
}

/// `mon`, or `mon-fri` with all between them.
fn parse_days(text: &str) -> Option<Vec<Weekday>> {
    let Some((first, last)) = text.split_once('-') else { return Some(vec![parse_weekday(text)?]) };
    let (first, last) = (parse_weekday(first)?, parse_weekday(last)?);
    let mut days: Vec<Weekday> = first.cycle_forward().take_while(|day| *day != last).collect();
    days.push(last);
    Some(days)
}

fn parse_weekday(text: &str) -> Option<Weekday> {
    match text.trim().to_ascii_lowercase().as_str() {
        "mon" | "monday" => Some(Weekday::Monday),
        "tue" | "tuesday" => Some(Weekday::Tuesday),
        "wed" | "wednesday" => Some(Weekday::Wednesday),
        "thu" | "thursday" => Some(Weekday::Thursday),
        "fri" | "friday" => Some(Weekday::Friday),
        "sat" | "saturday" => Some(Weekday::Saturday),
        "sun" | "sunday" => Some(Weekday::Sunday),
        _ => None,
    }
}

/// `24:00` is the end of the day.
fn parse_minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && total <= MINUTES_A_DAY).then_some(total)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn clinic(opening_hours: &[&str], closed_days: &[&str], allow_past_dates: bool) -> Clinic {
        Clinic {
            time_zone: TimeZone::get("Asia/Seoul").unwrap(),
            opening_hours: opening_hours.iter().map(|text| (*text).to_owned().try_into().unwrap()).collect(),
            closed_days: closed_days.iter().map(|text| (*text).to_owned().try_into().unwrap()).collect(),
            capacity_per_day: 0,
            capacity_per_hour: 0,
            allow_past_dates,
        }
    }

    /// It is 18:00 of 21 November 2026, a Saturday, in Seoul.
    fn is_refused(clinic: &Clinic, text: &str) -> bool {
        let date = VisitDate::parse(text, &clinic.time_zone).unwrap();
        clinic.refuses(&date, "2026-11-21T09:00:00Z".parse().unwrap()).is_some()
    }

    #[test]
    fn the_lenient_clinic_refuses_nothing() {
        let lenient = clinic(&[], &[], true);
        for text in ["2020-05-01", "202002", "2026-11-22T03:00", "1999-12-31T23:59:59Z"] {
            assert!(!is_refused(&lenient, text), "{text}");
        }
    }

    #[test]
    fn the_past_ends_now_by_the_clinics_clock() {
        let strict = clinic(&[], &[], false);
        for (text, refused) in [
            ("2026-11-20", true),
            ("2026-11-21", false),
            ("202610", true),
            ("202611", false),
            ("2026-11-21T17:59", true),
            ("2026-11-21T18:00", false),
            ("2026-11-21T08:59Z", true),
            ("2026-11-21T09:00Z", false),
        ] {
            assert_eq!(is_refused(&strict, text), refused, "{text}");
        }
    }

    #[test]
    fn visits_are_only_within_the_opening_hours_of_their_day() {
        let office = clinic(&["mon-fri 09:00-12:00", "mon-fri 13:00-18:00", "sat 09:00-24:00"], &[], true);
        for (text, refused) in [
            ("2026-11-23T08:59", true),
            ("2026-11-23T09:00", false),
            ("2026-11-23T12:00", true),
            ("2026-11-23T13:00", false),
            ("2026-11-23T17:59:59", false),
            ("2026-11-23T18:00", true),
            ("2026-11-21T23:59", false),
            ("2026-11-22T10:00", true),
            ("2026-11-22", true),
            ("2026-11-23", false),
            ("202611", false),
        ] {
            assert_eq!(is_refused(&office, text), refused, "{text}");
        }
    }

    #[test]
    fn closed_days_are_weekdays_or_dates() {
        let closed = clinic(&[], &["Sun", "2026-12-25"], true);
        for (text, refused) in
            [("2026-11-22", true), ("2026-11-22T10:00", true), ("2026-12-25", true), ("2026-12-24", false)]
        {
            assert_eq!(is_refused(&closed, text), refused, "{text}");
        }
    }

    #[test]
    fn opening_hours_that_make_no_sense_are_not_read() {
        for text in
            ["", "always", "9-18", "18:00-09:00", "09:00-09:00", "mon", "xyz 09:00-18:00", "09:60-18:00", "09:00-24:01"]
        {
            assert!(OpeningHours::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert!(ClosedDay::try_from("2026-02-30".to_owned()).is_err());
        let weekend = OpeningHours::try_from("sat-mon 09:00-18:00".to_owned()).unwrap();
        assert_eq!(weekend.days, [Weekday::Saturday, Weekday::Sunday, Weekday::Monday]);
    }
}
