//! The routes. Each handler reads, parses, asks the view and shows the result.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use chassis::Caller;
use chassis::http::extract::{Id, Query, etag};
use chassis::http::hal::{Collection, Item, Origin, Page, Rel};
use chassis::http::problem::{Problem, ProblemBody};
use contracts::roles::{ADMIN, DESK, VET};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::conditional::{IfNoneMatch, not_modified, page_etag, tagged};
use crate::domain::{self, Stats};
use crate::error::Error;
use crate::query::Given;
use crate::{App, search, store};

const RESERVATION_STAT: Rel = Rel { plural: "reservationStats", singular: "reservationStat" };

/// Those who see everyone's.
const STAFF: &[&str] = &[DESK, VET, ADMIN];

pub fn routes(app: App) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(get_reservation_stats)).routes(routes!(get_reservation_stat)).with_state(app)
}

/// The current state of a reservation, and how it came to it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReservationStat)]
struct StatsBody {
    /// The reservation's id.
    id: i64,
    reservation_id: i64,
    #[schema(example = "Jackson")]
    reservator_name: Option<String>,
    #[schema(example = "2020-04-30")]
    reservation_date: Option<String>,
    #[schema(example = "010-1234-5678")]
    phone_number: Option<String>,
    /// RESERVED, CHANGED, TREATED, BILLED, PAID, FEE_CANCELED or CANCELED; never goes back in this order.
    #[schema(example = "BILLED")]
    state: Option<&'static str>,
    #[schema(example = "수납 대기")]
    label: Option<&'static str>,
    /// The label, as clients of long standing call it.
    reservation_status: Option<&'static str>,
    #[schema(example = "Brad pitt")]
    doctor: Option<String>,
    #[schema(example = 10000)]
    fee: Option<i64>,
    /// TREATED or TREATMENT_CANCELED.
    treatment: Option<&'static str>,
    /// BILLED, PAID or FEE_CANCELED, also when the reservation is cancelled.
    payment: Option<&'static str>,
    last_event_at: Option<Timestamp>,
    history: Vec<HistoryBody>,
}

/// One event of a reservation.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReservationHistory)]
struct HistoryBody {
    #[schema(example = "TreatmentFeeBilled")]
    event_type: String,
    #[schema(example = "수납 대기")]
    label: Option<&'static str>,
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    doctor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<i64>,
}

impl From<domain::HistoryEntry> for HistoryBody {
    fn from(entry: domain::HistoryEntry) -> Self {
        Self {
            label: domain::State::of_event_type(&entry.event_type).and_then(domain::State::label),
            at: entry.happened_at.and_then(timestamp),
            event_type: entry.event_type,
            reservation_date: entry.reservation_date,
            doctor: entry.doctor,
            fee: entry.fee,
        }
    }
}

fn body(stats: Stats, mut history: Vec<domain::HistoryEntry>) -> StatsBody {
    // Read after the row: what has come meanwhile belongs to the next version.
    history.retain(|entry| entry.version <= stats.version);
    let label = stats.state.and_then(domain::State::label);
    StatsBody {
        id: stats.reservation_id,
        reservation_id: stats.reservation_id,
        reservator_name: stats.reservator_name,
        reservation_date: stats.reservation_date,
        phone_number: stats.phone_number,
        state: stats.state.map(domain::State::code),
        label,
        reservation_status: label,
        doctor: stats.doctor,
        fee: stats.fee,
        treatment: stats.treatment.map(domain::State::code),
        payment: stats.payment.map(domain::State::code),
        last_event_at: stats.last_event_at.and_then(timestamp),
        history: history.into_iter().map(HistoryBody::from).collect(),
    }
}

fn timestamp(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct ListQuery {
    reservation_id: Option<String>,
    /// RESERVED, CHANGED, TREATED, BILLED, PAID, FEE_CANCELED or CANCELED.
    state: Option<String>,
    /// 예약 완료, 예약 변경, 진료 완료, 수납 대기, 수납 완료, 환불/취소 or 예약 취소.
    label: Option<String>,
    /// The reservator's whole name.
    name: Option<String>,
    /// However it is written: 010-1234-5678, 01012345678, +82 10 1234 5678.
    phone_number: Option<String>,
    /// The day or the month of the visit: 2020-05-01, 2020-05.
    date: Option<String>,
    /// From this day or month on.
    from: Option<String>,
    /// To this day or month, included.
    to: Option<String>,
    /// id, reservationId, state, reservatorName, phoneNumber, reservationDate or lastEventAt; then `,asc` or `,desc`.
    sort: Option<String>,
    /// The page's number, from 0.
    #[expect(dead_code, reason = "read by Page; named here for the document")]
    page: Option<i64>,
    /// How many a page, up to 1000.
    #[expect(dead_code, reason = "read by Page; named here for the document")]
    size: Option<i64>,
}

impl From<ListQuery> for Given {
    fn from(query: ListQuery) -> Self {
        Self {
            reservation_id: query.reservation_id,
            state: query.state,
            label: query.label,
            name: query.name,
            phone_number: query.phone_number,
            date: query.date,
            from: query.from,
            to: query.to,
            sort: query.sort,
        }
    }
}

/// List reservations with their state and history; a customer gets his own.
///
/// Totals are exact for everything and for a state; with other filters counting ends at 100000.
#[utoipa::path(get, path = "/reservationStats", tag = "reservationStats",
    params(ListQuery, ("If-None-Match" = Option<String>, Header, description = "The ETag of what the client has")),
    responses(
        (status = 200, body = Collection<StatsBody>),
        (status = 304, description = "The page is as the client has it"),
        (status = 400, description = "A parameter that is not acceptable, named", body = ProblemBody)))]
async fn get_reservation_stats(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    uri: Uri,
    known: IfNoneMatch,
    page: Page,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let mut search = Given::from(query).parse().map_err(Error::Query)?;
    if !caller.has_any(STAFF) {
        search = search.only_of(&caller);
    }
    let rows = search::page(&app.db, &search, page).await.map_err(Error::Db)?;
    let total = search::total(&app.db, &search).await.map_err(Error::Db)?;
    let versions = rows.iter().map(|row| (row.reservation_id, row.version));
    let etag = page_etag(uri.query().unwrap_or_default(), total, versions);
    if known.matches(&etag) {
        return Ok(not_modified(&etag));
    }

    let ids: Vec<i64> = rows.iter().map(|row| row.reservation_id).collect();
    let mut histories: HashMap<i64, Vec<domain::HistoryEntry>> = HashMap::new();
    for entry in store::histories(&app.db, &ids).await.map_err(Error::Db)? {
        histories.entry(entry.reservation_id).or_default().push(entry);
    }
    let items = rows.into_iter().map(|row| {
        let history = histories.remove(&row.reservation_id).unwrap_or_default();
        origin.item(RESERVATION_STAT, row.reservation_id, body(row, history))
    });
    let collection = origin.collection(RESERVATION_STAT, items.collect(), page, total);
    Ok(tagged(collection.into_response(), &etag))
}

/// Read a reservation's state and history.
#[utoipa::path(get, path = "/reservationStats/{id}", tag = "reservationStats",
    params(("id" = i64, Path, description = "The reservation's id"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what the client has")),
    responses(
        (status = 200, body = Item<StatsBody>),
        (status = 304, description = "It is as the client has it"),
        (status = 404, description = "Unknown, or not the caller's", body = ProblemBody)))]
async fn get_reservation_stat(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    known: IfNoneMatch,
    Id(id): Id,
) -> Result<Response, Problem> {
    let found = store::find(&app.db, id).await.map_err(Error::Db)?;
    let row = found.filter(|row| may_see(&caller, row)).ok_or(Error::NotFound)?;
    let etag = etag(row.version);
    if known.matches(&etag) {
        return Ok(not_modified(&etag));
    }
    let history = store::histories(&app.db, &[id]).await.map_err(Error::Db)?;
    Ok(tagged(origin.item(RESERVATION_STAT, id, body(row, history)).into_response(), &etag))
}

/// A customer sees only his own; of others' he does not even learn that they exist.
fn may_see(caller: &Caller, row: &Stats) -> bool {
    caller.has_any(STAFF) || row.customer_id.as_deref() == Some(&*caller.subject)
}
