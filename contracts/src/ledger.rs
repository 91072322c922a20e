//! What each service says of each reservation when an operator compares them, one entry a reservation.
//!
//! `GET /actuator/ledger?after=ID&limit=N&salt=S` answers a JSON array in the order of the reservations' ids. What is
//! only one service's business is not in it, and nothing personal is: of the customer's name and telephone number
//! there is a digest, which tells whether two services have the same. Only operators are answered: whoever knows the
//! salt could try names and numbers against it.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub const PATH: &str = "/actuator/ledger";

/// Bytes of a digest that are said: two that differ look the same once in 2⁶⁴ times.
const DIGEST_BYTES: usize = 8;

/// What the digests of one comparison are made with: those of another cannot be held against them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Salt {
    /// Any text, another for each comparison; without it no digests are said.
    pub salt: Option<String>,
}

impl Salt {
    /// The digest of a customer's name and telephone number; one that is not known is as an empty one.
    pub fn person(&self, name: Option<&str>, phone: Option<&str>) -> Option<String> {
        let salt = self.salt.as_deref()?;
        let mut context = Context::new(&SHA256);
        for text in [salt, name.unwrap_or_default(), phone.unwrap_or_default()] {
            // With its length before it, so that no text can end where another begins.
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
        let digest = context.finish();
        Some(digest.as_ref().iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Said by reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationEntry {
    pub reservation_id: i64,
    /// PENDING, RESERVED, REJECTED or CANCELED.
    pub state: String,
    pub date: String,
    /// Published about it so far.
    pub events: i64,
    /// When a pending one is given up, in Unix milliseconds.
    pub decide_by: Option<i64>,
    /// The digest of name and telephone number.
    pub person: Option<String>,
}

/// Said by diagnosis: a visit, or the tombstone of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VisitEntry {
    pub reservation_id: i64,
    /// SCHEDULED, TREATED or CANCELED.
    pub state: String,
    pub date: Option<String>,
    pub events: i64,
}

/// Said by acceptance: a bill, or what keeps one from being made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BillEntry {
    pub reservation_id: i64,
    /// BILLED, PAID, VOIDED, REFUNDED or NEVER_BILLED.
    pub state: String,
    pub fee: i64,
    pub events: i64,
}

/// Said by notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NoticeEntry {
    pub reservation_id: i64,
    /// How many messages of each kind there are, called as their events are, however far each has come.
    pub told: BTreeMap<String, i64>,
    /// How many of them were given up.
    #[serde(default)]
    pub given_up: i64,
    /// The digest of name and telephone number.
    pub person: Option<String>,
}

/// Said by lookup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ViewEntry {
    pub reservation_id: i64,
    pub state: Option<String>,
    pub date: Option<String>,
    pub fee: Option<i64>,
    /// The digest of name and telephone number.
    pub person: Option<String>,
    /// What each publisher has reported last.
    pub reservation: Option<String>,
    pub treatment: Option<String>,
    pub payment: Option<String>,
    /// How many events of each type were folded in.
    pub heard: BTreeMap<String, i64>,
}
