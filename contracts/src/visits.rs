//! What reservation asks of diagnosis, synchronously. Each request may be repeated without harm.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /medicalRecords`: hold a visit for a reservation.
///
/// 201: held now; 200: it was already. 409 with [`REFUSED`]: the clinic cannot treat then; 409 with
/// [`CANCELED`]: the reservation was cancelled before this arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VisitRequest {
    #[schema(example = 1)]
    pub reservation_id: Option<i64>,
    #[schema(example = "2020-04-30")]
    pub reservation_date: Option<String>,
    /// The subject of the token that reserved; absent in requests of the original.
    pub customer_id: Option<String>,
    #[schema(example = "Brad pitt")]
    pub doctor: Option<String>,
    pub treatment: Option<String>,
    pub medical_opinion: Option<String>,
}

/// `PUT /visits/{reservationId}`: hold the visit for another date as well, until the reservation's next event
/// says which of the two it is.
///
/// 200: held. 409 with [`REFUSED`] or [`CANCELED`]; 404: no such visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VisitChange {
    pub reservation_date: String,
    /// Counts the reservation's changes of date: a late request of an earlier change is recognised.
    pub change_number: i64,
}

/// Problem types of the answers.
pub const REFUSED: &str = "visit-refused";
pub const CANCELED: &str = "visit-canceled";
