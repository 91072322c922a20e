//! What a reservation has come to, folded from the events of all services.
//!
//! Each publisher's events come in their order, but those of different publishers in any: a treatment may be
//! known before its reservation. So each publisher writes only its own facts, and the state is the furthest
//! that any of them has reported. It never goes back, and every interleaving gives the same row.
//!
//! A cancelled reservation stays 예약 취소, also when its fee is given back afterwards: what the reader asks
//! first is whether the visit takes place. That the fee was given back stands in `payment` and in the history;
//! 환불/취소 is the state where a fee was cancelled and the reservation stands.

use contracts::Event;
use contracts::events::{FeeEvent, ReservationEvent, TreatmentEvent};
use jiff::Timestamp;
use jiff::civil::DateTime;

/// How far a reservation has come, in the order in which one outranks the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Reserved,
    Changed,
    Treated,
    /// What diagnosis says of a cancelled visit; a fact of its own, never the reservation's state.
    TreatmentCanceled,
    Billed,
    Paid,
    FeeCanceled,
    Canceled,
}

/// Those that a reservation can be in.
pub const STATES: [State; 7] =
    [State::Reserved, State::Changed, State::Treated, State::Billed, State::Paid, State::FeeCanceled, State::Canceled];

impl State {
    pub fn code(self) -> &'static str {
        match self {
            Self::Reserved => "RESERVED",
            Self::Changed => "CHANGED",
            Self::Treated => "TREATED",
            Self::TreatmentCanceled => "TREATMENT_CANCELED",
            Self::Billed => "BILLED",
            Self::Paid => "PAID",
            Self::FeeCanceled => "FEE_CANCELED",
            Self::Canceled => "CANCELED",
        }
    }

    pub fn label(self) -> Option<&'static str> {
        match self {
            Self::Reserved => Some("예약 완료"),
            Self::Changed => Some("예약 변경"),
            Self::Treated => Some("진료 완료"),
            Self::TreatmentCanceled => None,
            Self::Billed => Some("수납 대기"),
            Self::Paid => Some("수납 완료"),
            Self::FeeCanceled => Some("환불/취소"),
            Self::Canceled => Some("예약 취소"),
        }
    }

    pub fn of_code(code: &str) -> Option<Self> {
        STATES.into_iter().chain([Self::TreatmentCanceled]).find(|state| state.code() == code)
    }

    /// What a type of event reports, if it changes anything.
    pub fn of_event_type(event_type: &str) -> Option<Self> {
        match event_type {
            "ReservationReserved" => Some(Self::Reserved),
            "ReservationChanged" => Some(Self::Changed),
            "ReservationCanceled" => Some(Self::Canceled),
            "Treated" => Some(Self::Treated),
            "TreatmentCanceled" => Some(Self::TreatmentCanceled),
            "TreatmentFeeBilled" => Some(Self::Billed),
            "TreatmentFeeAccepted" => Some(Self::Paid),
            "TreatmentFeeCanceled" => Some(Self::FeeCanceled),
            _ => None,
        }
    }
}

/// One reservation in the view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    pub reservation_id: i64,
    /// Counts the events folded in.
    pub version: i64,
    pub customer_id: Option<String>,
    pub reservator_name: Option<String>,
    pub phone_number: Option<String>,
    pub reservation_date: Option<String>,
    pub doctor: Option<String>,
    pub fee: Option<i64>,
    /// What reservation, diagnosis and acceptance have reported, each for itself.
    pub reservation: Option<State>,
    pub treatment: Option<State>,
    pub payment: Option<State>,
    /// The furthest of it; none where only events without a label have come yet.
    pub state: Option<State>,
    pub last_event_at: Option<i64>,
}

/// One line of a reservation's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    pub reservation_id: i64,
    /// The row's version with this event.
    pub version: i64,
    pub event_type: String,
    pub happened_at: Option<i64>,
    pub reservation_date: Option<String>,
    pub doctor: Option<String>,
    pub fee: Option<i64>,
}

/// Folds an event into its reservation's row; `at` is when it happened, where it says so.
pub fn apply(stats: &mut Stats, event: &Event, at: Option<i64>) -> HistoryEntry {
    let reported = State::of_event_type(event.name());
    match event {
        Event::ReservationReserved(event) | Event::ReservationChanged(event) | Event::ReservationCanceled(event) => {
            note_reservation(stats, reported, event);
        }
        Event::Treated(event) | Event::TreatmentCanceled(event) => note_treatment(stats, reported, event),
        Event::TreatmentFeeBilled(event) | Event::TreatmentFeeAccepted(event) | Event::TreatmentFeeCanceled(event) => {
            note_fee(stats, reported, event);
        }
        // Everything stays as it is; only the history tells that a change was tried.
        Event::ReservationChangeAbandoned(_) | Event::Unknown => {}
    }
    stats.state = stats.state.max(reported.filter(|state| state.label().is_some()));
    stats.last_event_at = stats.last_event_at.max(at);
    stats.version += 1;
    history_entry(stats, event, at)
}

/// The fields are as they are now, also where they are empty. What comes late, as it can without keys, is past.
fn note_reservation(stats: &mut Stats, reported: Option<State>, event: &ReservationEvent) {
    if reported < stats.reservation {
        return;
    }
    stats.reservation = reported;
    stats.reservator_name.clone_from(&event.reservator_name);
    stats.reservation_date.clone_from(&event.reservation_date);
    stats.phone_number.clone_from(&event.phone_number);
    // An owner is never lost to an event that does not name one.
    if event.customer_id.is_some() {
        stats.customer_id.clone_from(&event.customer_id);
    }
}

fn note_treatment(stats: &mut Stats, reported: Option<State>, event: &TreatmentEvent) {
    stats.treatment = stats.treatment.max(reported);
    if event.doctor.is_some() {
        stats.doctor.clone_from(&event.doctor);
    }
}

fn note_fee(stats: &mut Stats, reported: Option<State>, event: &FeeEvent) {
    if reported < stats.payment {
        return;
    }
    stats.payment = reported;
    stats.fee = event.fee.or(stats.fee);
}

fn history_entry(stats: &Stats, event: &Event, happened_at: Option<i64>) -> HistoryEntry {
    let mut entry = HistoryEntry {
        reservation_id: stats.reservation_id,
        version: stats.version,
        event_type: event.name().to_owned(),
        happened_at,
        reservation_date: None,
        doctor: None,
        fee: None,
    };
    match event {
        Event::ReservationReserved(event)
        | Event::ReservationChanged(event)
        | Event::ReservationChangeAbandoned(event)
        | Event::ReservationCanceled(event) => entry.reservation_date.clone_from(&event.reservation_date),
        Event::Treated(event) | Event::TreatmentCanceled(event) => entry.doctor.clone_from(&event.doctor),
        Event::TreatmentFeeBilled(event) | Event::TreatmentFeeAccepted(event) | Event::TreatmentFeeCanceled(event) => {
            entry.fee = event.fee;
        }
        Event::Unknown => {}
    }
    entry
}

/// When an event happened: its CloudEvents time, or else its `timestamp`; unix milliseconds.
pub fn happened_at(event: &Event, cloud_event_time: Option<&str>) -> Option<i64> {
    if let Some(at) = cloud_event_time.and_then(|text| text.parse::<Timestamp>().ok()) {
        return Some(at.as_millisecond());
    }
    let text = timestamp(event)?;
    let at = DateTime::strptime(contracts::events::TIMESTAMP, text).ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(at.timestamp().as_millisecond())
}

fn timestamp(event: &Event) -> Option<&str> {
    match event {
        Event::ReservationReserved(event)
        | Event::ReservationChanged(event)
        | Event::ReservationChangeAbandoned(event)
        | Event::ReservationCanceled(event) => event.timestamp.as_deref(),
        Event::Treated(event) | Event::TreatmentCanceled(event) => event.timestamp.as_deref(),
        Event::TreatmentFeeBilled(event) | Event::TreatmentFeeAccepted(event) | Event::TreatmentFeeCanceled(event) => {
            event.timestamp.as_deref()
        }
        Event::Unknown => None,
    }
}
