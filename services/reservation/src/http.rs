//! The routes. Each handler reads, parses, calls one use case and shows the result.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chassis::Caller;
use chassis::http::extract::{Id, IfMatch, Json, Query, etag, present};
use chassis::http::hal::{Collection, Item, Order, Origin, Page, Rel};
use chassis::http::idempotency::IdempotencyHeader;
use chassis::http::problem::{FieldError, Problem, ProblemBody};
use contracts::roles::{ADMIN, CUSTOMER, DESK, VET};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::change::Changed;
use crate::domain::{Given, Reservation, State as ReservationState};
use crate::error::Error;
use crate::store::{self, Filter};
use crate::{App, cancel, change, reserve};

pub const RESERVATION: Rel = Rel { plural: "reservations", singular: "reservation" };

const READERS: &[&str] = &[CUSTOMER, DESK, VET, ADMIN];
const WRITERS: &[&str] = &[CUSTOMER, DESK, ADMIN];
/// Those who see everyone's.
const STAFF: &[&str] = &[DESK, VET, ADMIN];

pub fn routes(app: App) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(post_reservation, get_reservations))
        .routes(routes!(get_reservation, patch_reservation, put_reservation, delete_reservation))
        .with_state(app)
}

/// A customer sees only his own; of others' he does not even learn that they exist.
pub fn may_see(caller: &Caller, reservation: &Reservation) -> bool {
    caller.has_any(STAFF) || *caller.subject == *reservation.customer_id
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Reservation)]
pub struct ReservationBody {
    id: i64,
    #[schema(example = "Jackson")]
    reservator_name: String,
    #[schema(example = "2020-04-30")]
    reservation_date: String,
    #[schema(example = "010-1234-5678")]
    phone_number: String,
    #[schema(example = "RESERVED")]
    state: &'static str,
    /// Why the clinic refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    /// A new date that the clinic has not confirmed yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_date: Option<String>,
    created_at: Timestamp,
}

impl From<&Reservation> for ReservationBody {
    fn from(reservation: &Reservation) -> Self {
        Self {
            id: reservation.id,
            reservator_name: reservation.details.name.clone(),
            reservation_date: reservation.details.date.clone(),
            phone_number: reservation.details.phone.clone(),
            state: reservation.state.name(),
            refusal: reservation.refusal.clone(),
            requested_date: reservation.requested.as_ref().map(|requested| requested.date.clone()),
            created_at: Timestamp::from_millisecond(reservation.created_at).unwrap_or_default(),
        }
    }
}

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReservationRequest {
    #[schema(example = "Jackson")]
    reservator_name: Option<String>,
    #[schema(example = "2020-04-30")]
    reservation_date: Option<String>,
    #[schema(example = "010-1234-5678")]
    phone_number: Option<String>,
}

impl From<ReservationRequest> for Given {
    fn from(request: ReservationRequest) -> Self {
        Self { name: request.reservator_name, date: request.reservation_date, phone: request.phone_number }
    }
}

/// Reserve a visit.
#[utoipa::path(post, path = "/reservations", tag = "reservations", request_body = ReservationRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key gets the first answer again")),
    responses(
        (status = 201, description = "Reserved: the clinic holds the visit", body = Item<ReservationBody>),
        (status = 202, description = "The clinic has not answered yet; within 30 s it is reserved or cancelled", body = Item<ReservationBody>),
        (status = 409, description = "The clinic cannot treat then", body = ProblemBody),
        (status = 422, description = "Fields that are not acceptable", body = ProblemBody),
        (status = 503, description = "The clinic cannot be asked; nothing was reserved", body = ProblemBody)))]
async fn post_reservation(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    key: IdempotencyHeader,
    Json(body): Json<ReservationRequest>,
) -> Result<Response, Problem> {
    caller.require_any(WRITERS)?;
    let key = key.bind(&caller, "POST /reservations", &body);
    let details = Given::from(body).complete().map_err(Problem::invalid_fields)?;
    let request = reserve::Request { details, customer_id: caller.subject.to_string(), key, origin };
    let work = app.lifecycle.clone().spawn_work(reserve::reserve(app, request));
    let answer = work.await.map_err(|panic| Problem::internal(&panic))??;
    Ok(answer.into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// PENDING, RESERVED, REJECTED or CANCELED.
    state: Option<String>,
    /// `id,asc` or `id,desc`.
    #[expect(dead_code, reason = "read by Order; named here for the document")]
    sort: Option<String>,
    /// The page's number, from 0.
    #[expect(dead_code, reason = "read by Page; named here for the document")]
    page: Option<i64>,
    /// How many a page, up to 1000.
    #[expect(dead_code, reason = "read by Page; named here for the document")]
    size: Option<i64>,
}

/// List reservations; a customer gets his own.
#[utoipa::path(get, path = "/reservations", tag = "reservations", params(ListQuery),
    responses((status = 200, body = Collection<ReservationBody>)))]
async fn get_reservations(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    page: Page,
    order: Order,
    Query(query): Query<ListQuery>,
) -> Result<Collection<ReservationBody>, Problem> {
    caller.require_any(READERS)?;
    let filter = Filter {
        customer_id: (!caller.has_any(STAFF)).then(|| caller.subject.to_string()),
        state: query.state.as_deref().map(parse_state).transpose()?,
    };
    let (found, total) = store::list(&app.db, &filter, order, page).await.map_err(Error::from)?;
    let items = found.iter().map(|found| origin.item(RESERVATION, found.id, found.into())).collect();
    Ok(origin.collection(RESERVATION, items, page, total))
}

fn parse_state(name: &str) -> Result<ReservationState, Problem> {
    ReservationState::named(name)
        .ok_or_else(|| Problem::bad_request("state must be PENDING, RESERVED, REJECTED or CANCELED."))
}

/// Read one reservation.
#[utoipa::path(get, path = "/reservations/{id}", tag = "reservations", params(("id" = i64, Path)),
    responses((status = 200, body = Item<ReservationBody>), (status = 404, body = ProblemBody)))]
async fn get_reservation(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Id(id): Id,
) -> Result<Response, Problem> {
    caller.require_any(READERS)?;
    let found = store::find(&app.db, id).await.map_err(Error::from)?;
    let found = found.filter(|found| may_see(&caller, found)).ok_or(Error::NotFound)?;
    Ok(show(StatusCode::OK, &origin, &found))
}

/// A JSON merge patch: what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReservationPatch {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    reservator_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "2020-05-01")]
    reservation_date: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    phone_number: Option<Option<String>>,
}

impl ReservationPatch {
    fn given(self) -> Result<Given, Problem> {
        let fields = [
            ("reservatorName", &self.reservator_name),
            ("reservationDate", &self.reservation_date),
            ("phoneNumber", &self.phone_number),
        ];
        let removed = fields.iter().filter(|(_, value)| **value == Some(None));
        let errors: Vec<_> = removed.map(|(field, _)| FieldError::new(*field, "cannot be removed")).collect();
        if !errors.is_empty() {
            return Err(Problem::invalid_fields(errors));
        }
        Ok(Given {
            name: self.reservator_name.flatten(),
            date: self.reservation_date.flatten(),
            phone: self.phone_number.flatten(),
        })
    }
}

/// Change a reservation in part; a new date is asked of the clinic first.
#[utoipa::path(patch, path = "/reservations/{id}", tag = "reservations", request_body = ReservationPatch,
    params(("id" = i64, Path), ("If-Match" = Option<String>, Header)),
    responses(
        (status = 200, body = Item<ReservationBody>),
        (status = 202, description = "The clinic has not confirmed the new date yet", body = Item<ReservationBody>),
        (status = 404, body = ProblemBody),
        (status = 409, description = "The clinic cannot treat then, or the reservation's state does not allow it", body = ProblemBody),
        (status = 412, body = ProblemBody), (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
async fn patch_reservation(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Id(id): Id,
    if_match: IfMatch,
    Json(patch): Json<ReservationPatch>,
) -> Result<Response, Problem> {
    caller.require_any(WRITERS)?;
    change_and_show(app, origin, change::Request { id, given: patch.given()?, if_match, caller }).await
}

/// Replace a reservation's details.
#[utoipa::path(put, path = "/reservations/{id}", tag = "reservations", request_body = ReservationRequest,
    params(("id" = i64, Path), ("If-Match" = Option<String>, Header)),
    responses(
        (status = 200, body = Item<ReservationBody>), (status = 202, body = Item<ReservationBody>),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 412, body = ProblemBody), (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
async fn put_reservation(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Id(id): Id,
    if_match: IfMatch,
    Json(body): Json<ReservationRequest>,
) -> Result<Response, Problem> {
    caller.require_any(WRITERS)?;
    let details = Given::from(body).complete().map_err(Problem::invalid_fields)?;
    let given = Given { name: Some(details.name), date: Some(details.date), phone: Some(details.phone) };
    change_and_show(app, origin, change::Request { id, given, if_match, caller }).await
}

async fn change_and_show(app: App, origin: Origin, request: change::Request) -> Result<Response, Problem> {
    let work = app.lifecycle.clone().spawn_work(change::change(app, request));
    let changed = work.await.map_err(|panic| Problem::internal(&panic))??;
    Ok(match changed {
        Changed::Done(reservation) => show(StatusCode::OK, &origin, &reservation),
        Changed::Accepted(reservation) => show(StatusCode::ACCEPTED, &origin, &reservation),
    })
}

/// Cancel a reservation; it stays readable.
#[utoipa::path(delete, path = "/reservations/{id}", tag = "reservations",
    params(("id" = i64, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 412, body = ProblemBody)))]
async fn delete_reservation(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    caller.require_any(WRITERS)?;
    cancel::cancel(&app, id, if_match, caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(status: StatusCode, origin: &Origin, reservation: &Reservation) -> Response {
    let headers: [(HeaderName, String); 1] = [(header::ETAG, etag(reservation.version))];
    (status, headers, origin.item(RESERVATION, reservation.id, ReservationBody::from(reservation))).into_response()
}
