//! Medical records: what they hold, and what a request must look like to become part of one.

use chassis::http::problem::FieldError;
use contracts::visits::{VisitChange, VisitRequest};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Treatment;
use crate::date::VisitDate;

const MAX_NAME: usize = 100;
const MAX_TEXT: usize = 4000;
const MAX_SUBJECT: usize = 255;

/// Where a visit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Accepted; the animal has not been treated yet.
    Scheduled,
    Treated,
    Canceled,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Treated => "TREATED",
            Self::Canceled => "CANCELED",
        }
    }

    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Scheduled, Self::Treated, Self::Canceled].into_iter().find(|state| state.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub id: i64,
    pub reservation_id: i64,
    /// When the visit was accepted; absent in the tombstone of a reservation that was cancelled before.
    pub held_at: Option<i64>,
    pub reservation_date: Option<String>,
    /// The last change of date that was requested or settled.
    pub change_number: i64,
    pub doctor: String,
    pub treatment: String,
    pub medical_opinion: String,
    pub state: State,
    /// The reservation's own event has confirmed it.
    pub is_confirmed: bool,
    /// Why it was refused, in the tombstone of a visit that was.
    pub refusal: Option<String>,
    pub customer_id: Option<String>,
    /// Events published about it so far.
    pub events: i64,
    pub version: i64,
    pub updated_at: i64,
}

/// A visit that somebody asks the clinic to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    pub reservation_id: i64,
    pub date: Option<VisitDate>,
    pub customer_id: Option<String>,
    pub doctor: String,
    pub treatment: String,
    pub medical_opinion: String,
}

impl Visit {
    /// What is not said is the clinic's standing doctor, treatment and opinion.
    pub fn parse(request: VisitRequest, standing: &Treatment, zone: &TimeZone) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let reservation_id = parse_reservation_id(request.reservation_id, &mut errors);
        let date = request.reservation_date.and_then(|text| parse_date(&text, zone, &mut errors));
        let mut text = |field, given: Option<String>, max, standing: &String| {
            let text = given.map(|given| parse_text(field, given, max, &mut errors));
            text.unwrap_or_else(|| standing.clone())
        };
        let doctor = text("doctor", request.doctor, MAX_NAME, &standing.doctor);
        let treatment = text("treatment", request.treatment, MAX_TEXT, &standing.treatment);
        let medical_opinion = text("medicalOpinion", request.medical_opinion, MAX_TEXT, &standing.opinion);
        let customer_id = request.customer_id.map(|given| parse_text("customerId", given, MAX_SUBJECT, &mut errors));
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { reservation_id, date, customer_id, doctor, treatment, medical_opinion })
    }

    /// For a reservation that was confirmed without our having been asked.
    pub fn unasked(
        reservation_id: i64,
        date: Option<VisitDate>,
        customer_id: Option<String>,
        standing: &Treatment,
    ) -> Self {
        Self {
            reservation_id,
            date,
            customer_id,
            doctor: standing.doctor.clone(),
            treatment: standing.treatment.clone(),
            medical_opinion: standing.opinion.clone(),
        }
    }
}

/// What a vet writes; absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    pub doctor: Option<String>,
    pub treatment: Option<String>,
    pub medical_opinion: Option<String>,
}

/// A field of a merge patch: absent, null, or a text.
pub type Patched = Option<Option<String>>;

impl Findings {
    pub fn parse(doctor: Patched, treatment: Patched, medical_opinion: Patched) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut text = |field, patched: Patched, max| match patched? {
            Some(given) => Some(parse_text(field, given, max, &mut errors)),
            None => {
                errors.push(FieldError::new(field, "cannot be removed"));
                None
            }
        };
        let findings = Self {
            doctor: text("doctor", doctor, MAX_NAME),
            treatment: text("treatment", treatment, MAX_TEXT),
            medical_opinion: text("medicalOpinion", medical_opinion, MAX_TEXT),
        };
        if errors.is_empty() { Ok(findings) } else { Err(errors) }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn parse_reservation_id(given: Option<i64>, errors: &mut Vec<FieldError>) -> i64 {
    match given {
        Some(id) if id > 0 => return id,
        Some(_) => errors.push(FieldError::new("reservationId", "must be 1 or more")),
        None => errors.push(FieldError::new("reservationId", "is missing")),
    }
    0
}

/// The date that a change asks for, and its number.
pub fn parse_change(asked: &VisitChange, zone: &TimeZone) -> Result<(VisitDate, i64), Vec<FieldError>> {
    let mut errors = Vec::new();
    let date = parse_date(&asked.reservation_date, zone, &mut errors);
    if asked.change_number < 1 {
        errors.push(FieldError::new("changeNumber", "must be 1 or more"));
    }
    match date {
        Some(date) if errors.is_empty() => Ok((date, asked.change_number)),
        _ => Err(errors),
    }
}

fn parse_date(text: &str, zone: &TimeZone, errors: &mut Vec<FieldError>) -> Option<VisitDate> {
    let date = VisitDate::parse(text, zone);
    if date.is_none() {
        errors.push(FieldError::new(
            "reservationDate",
            "must be a date such as 2020-05-01, a date with a time such as 2020-05-01T10:00, or a month such as 202005",
        ));
    }
    date
}

fn parse_text(field: &str, text: String, max: usize, errors: &mut Vec<FieldError>) -> String {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        errors.push(FieldError::new(field, "must not be blank"));
    } else if trimmed.chars().count() > max {
        errors.push(FieldError::new(field, format!("must not be longer than {max} characters")));
    } else if trimmed.contains('\0') {
        errors.push(FieldError::new(field, "must not contain a null character"));
    }
    trimmed.to_owned()
}
