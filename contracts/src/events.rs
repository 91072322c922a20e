//! The domain events on the topic: flat JSON with `eventType` and `timestamp` (`yyyyMMddHHmmss`, UTC).
//!
//! Everything but the type is optional when read: events of the original lack the key, often the timestamp,
//! sometimes the id, and carry nulls. A consumer says what it cannot do without.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The topic that all events are on; the key is the reservation's id.
pub const TOPIC: &str = "animal";
/// How `timestamp` is written, in strftime's letters.
pub const TIMESTAMP: &str = "%Y%m%d%H%M%S";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "eventType")]
pub enum Event {
    /// A reservation is confirmed: diagnosis holds its visit.
    ReservationReserved(ReservationEvent),
    /// Something about it has changed; the fields are as they are now.
    ReservationChanged(ReservationEvent),
    /// A change of date was given up; the fields are as they were and are.
    ReservationChangeAbandoned(ReservationEvent),
    ReservationCanceled(ReservationEvent),
    Treated(TreatmentEvent),
    TreatmentCanceled(TreatmentEvent),
    TreatmentFeeBilled(FeeEvent),
    /// The fee was paid.
    TreatmentFeeAccepted(FeeEvent),
    /// The bill was voided or its payment refunded.
    TreatmentFeeCanceled(FeeEvent),
    /// Of a kind that this version does not know; newer services may publish more.
    #[serde(other)]
    Unknown,
}

/// Published by reservation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReservationEvent {
    pub timestamp: Option<String>,
    /// The reservation's id.
    pub id: Option<i64>,
    pub reservator_name: Option<String>,
    pub reservation_date: Option<String>,
    pub phone_number: Option<String>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// Which change of date this settles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_number: Option<i64>,
}

/// Published by diagnosis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TreatmentEvent {
    pub timestamp: Option<String>,
    /// The medical record's id.
    pub id: Option<i64>,
    pub reservation_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doctor: Option<String>,
    /// What was done, as the fee table names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub treatment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
}

/// Published by acceptance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FeeEvent {
    pub timestamp: Option<String>,
    /// The bill's id.
    pub id: Option<i64>,
    pub reservation_id: Option<i64>,
    /// In won.
    pub fee: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
}

impl Event {
    /// Its `eventType`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ReservationReserved(_) => "ReservationReserved",
            Self::ReservationChanged(_) => "ReservationChanged",
            Self::ReservationChangeAbandoned(_) => "ReservationChangeAbandoned",
            Self::ReservationCanceled(_) => "ReservationCanceled",
            Self::Treated(_) => "Treated",
            Self::TreatmentCanceled(_) => "TreatmentCanceled",
            Self::TreatmentFeeBilled(_) => "TreatmentFeeBilled",
            Self::TreatmentFeeAccepted(_) => "TreatmentFeeAccepted",
            Self::TreatmentFeeCanceled(_) => "TreatmentFeeCanceled",
            Self::Unknown => "Unknown",
        }
    }

    /// The reservation it is about.
    pub fn reservation_id(&self) -> Option<i64> {
        match self {
            Self::ReservationReserved(event)
            | Self::ReservationChanged(event)
            | Self::ReservationChangeAbandoned(event)
            | Self::ReservationCanceled(event) => event.id,
            Self::Treated(event) | Self::TreatmentCanceled(event) => event.reservation_id,
            Self::TreatmentFeeBilled(event) | Self::TreatmentFeeAccepted(event) | Self::TreatmentFeeCanceled(event) => {
                event.reservation_id
            }
            Self::Unknown => None,
        }
    }
}
