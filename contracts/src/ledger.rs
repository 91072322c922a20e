//! What each service says of each reservation when an operator compares them, one entry a reservation.
//!
//! `GET /actuator/ledger?after=ID&limit=N` answers a JSON array in the order of the reservations' ids. What is only
//! one service's business is not in it, and nothing personal is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub const PATH: &str = "/actuator/ledger";

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

/// Said by notice: how many messages of each kind there are, called as their events are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NoticeEntry {
    pub reservation_id: i64,
    pub told: BTreeMap<String, i64>,
}

/// Said by lookup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ViewEntry {
    pub reservation_id: i64,
    pub state: Option<String>,
    pub date: Option<String>,
    pub fee: Option<i64>,
    /// What each publisher has reported last.
    pub reservation: Option<String>,
    pub treatment: Option<String>,
    pub payment: Option<String>,
    /// How many events of each type were folded in.
    pub heard: BTreeMap<String, i64>,
}
