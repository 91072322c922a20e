//! What a reservation is, and what may be made of it.

use chassis::http::problem::FieldError;
use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

const MAX_NAME: usize = 100;
const MAX_PHONE: usize = 20;
/// A seed's `0103701` is the shortest that people really wrote.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Diagnosis has not answered yet; nobody else knows of it.
    Pending,
    Reserved,
    /// Diagnosis refused it.
    Rejected,
    Canceled,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Reserved => "RESERVED",
            Self::Rejected => "REJECTED",
            Self::Canceled => "CANCELED",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Pending, Self::Reserved, Self::Rejected, Self::Canceled].into_iter().find(|state| state.name() == name)
    }
}

/// What the customer decides: each field is good as it stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    pub name: String,
    pub date: String,
    pub phone: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub id: i64,
    pub state: State,
    pub details: Details,
    pub customer_id: String,
    pub refusal: Option<String>,
    pub version: i64,
    pub events: i64,
    /// A change of date that diagnosis has not answered yet.
    pub requested: Option<Details>,
    pub change_number: i64,
    /// When the reconciler asks; it moves this on as it does.
    pub settle_after: Option<i64>,
    pub decide_by: Option<i64>,
    pub idempotency_key: Option<String>,
    pub created_at: i64,
}

/// The fields of a request as they came; each may be absent.
#[derive(Debug, Default)]
pub struct Given {
    pub name: Option<String>,
    pub date: Option<String>,
    pub phone: Option<String>,
}

impl Given {
    /// All fields are needed; every wrong one is named.
    pub fn complete(self) -> Result<Details, Vec<FieldError>> {
        let blank = Details { name: String::new(), date: String::new(), phone: String::new() };
        let all = Self {
            name: Some(self.name.unwrap_or_default()),
            date: Some(self.date.unwrap_or_default()),
            phone: Some(self.phone.unwrap_or_default()),
        };
        all.applied_to(&blank)
    }

    /// What is given replaces what is there.
    pub fn applied_to(self, current: &Details) -> Result<Details, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut read =
            |field: &str, given: Option<String>, current: &str, parse: fn(&str) -> Result<String, String>| {
                let Some(text) = given else { return current.to_owned() };
                parse(text.trim()).unwrap_or_else(|detail| {
                    errors.push(FieldError::new(field, detail));
                    String::new()
                })
            };
        let details = Details {
            name: read("reservatorName", self.name, &current.name, parse_name),
            date: read("reservationDate", self.date, &current.date, parse_date),
            phone: read("phoneNumber", self.phone, &current.phone, parse_phone),
        };
        if errors.is_empty() { Ok(details) } else { Err(errors) }
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be blank".to_owned());
    }
    if text.chars().count() > MAX_NAME {
        return Err(format!("must be at most {MAX_NAME} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// A date, a date and time, or a month, kept as it was written.
fn parse_date(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be blank".to_owned());
    }
    if is_date(text) || is_date_time(text) || is_month(text) {
        return Ok(text.to_owned());
    }
    Err("must be a date that exists: 2020-05-01, 2020-05-01T10:30 or 2020-05".to_owned())
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.as_bytes()[4] == b'-' && text.parse::<Date>().is_ok()
}

fn is_date_time(text: &str) -> bool {
    let has_date = text.get(..10).is_some_and(is_date);
    has_date && (text.parse::<DateTime>().is_ok() || text.parse::<jiff::Timestamp>().is_ok())
}

/// `202002` or `2020-02`.
fn is_month(text: &str) -> bool {
    let digits: String = match text.len() {
        6 => text.to_owned(),
        7 if text.as_bytes()[4] == b'-' => text.replacen('-', "", 1),
        _ => return false,
    };
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    matches!(digits[4..].parse(), Ok(1..=12))
}

/// As people write it: `010-1234-5678`, `01032713104`, `+82 10 1234 5678`.
fn parse_phone(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be blank".to_owned());
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let has_only_phone_signs = text
        .char_indices()
        .all(|(at, sign)| sign.is_ascii_digit() || "-. ()".contains(sign) || (sign == '+' && at == 0));
    if !has_only_phone_signs || !PHONE_DIGITS.contains(&digits) || text.len() > MAX_PHONE {
        return Err("must be a phone number, for example 010-1234-5678".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, date: &str, phone: &str) -> Given {
        Given { name: Some(name.to_owned()), date: Some(date.to_owned()), phone: Some(phone.to_owned()) }
    }

    fn wrong_fields(given: Given) -> Vec<String> {
        given.complete().unwrap_err().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn what_people_write_is_good() {
        for date in
            ["2020-04-30", "202002", "2020-02", "2026-11-21T10:30", "2026-11-21 10:30:00", "2026-11-21T10:30:00+09:00"]
        {
            for phone in ["010-1234-5678", "01032713104", "0103701", "+82 10 1234 5678", "(02) 123-4567"] {
                assert!(given("김철수", date, phone).complete().is_ok(), "{date} {phone}");
            }
        }
    }

    #[test]
    fn a_date_that_does_not_exist_is_refused() {
        for date in [
            "2026-02-30",
            "2026-13-01",
            "202013",
            "202000",
            "tomorrow",
            "2026-11-21T25:00",
            "20",
            "2026-2-3",
            "2026-11-21T10:00 garbage",
        ] {
            assert_eq!(wrong_fields(given("Jackson", date, "01032713104")), ["reservationDate"], "{date}");
        }
    }

    #[test]
    fn a_phone_number_that_is_none_is_refused() {
        for phone in ["call me", "12345", "010+1234+5678", "0123456789012345", "010-1234-5678 ext"] {
            assert_eq!(wrong_fields(given("Jackson", "2020-05-01", phone)), ["phoneNumber"], "{phone}");
        }
    }

    #[test]
    fn every_blank_or_missing_field_is_named_at_once() {
        assert_eq!(wrong_fields(Given::default()), ["reservatorName", "reservationDate", "phoneNumber"]);
        assert_eq!(wrong_fields(given("  ", " ", " ")).len(), 3);
    }

    #[test]
    fn a_name_has_a_hundred_characters_at_most_whatever_the_script() {
        assert!(given(&"김".repeat(100), "2020-05-01", "0103701").complete().is_ok());
        assert_eq!(wrong_fields(given(&"김".repeat(101), "2020-05-01", "0103701")), ["reservatorName"]);
    }
}
