//! The routes: extract, parse, call one use case, answer.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chassis::http::admission::Place;
use chassis::http::extract::{Deadline, Id, IfMatch, Json, Query, etag, present};
use chassis::http::hal::{Collection, Item, Order, Origin, Page, Rel};
use chassis::http::problem::ProblemBody;
use chassis::{Caller, Problem};
use contracts::roles::{ADMIN, CUSTOMER, DESK, SERVICE, VET};
use contracts::visits::{VisitChange, VisitRequest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accept::Accepted;
use crate::domain::{self, Findings, Patched, Record, Visit};
use crate::error::Error;
use crate::store::Filter;
use crate::{App, accept, change, store, treat};

const RECORDS: Rel = Rel { plural: "medicalRecords", singular: "medicalRecord" };
/// See the records of everyone; a customer sees his own.
const STAFF: &[&str] = &[DESK, VET, ADMIN];

pub fn router(app: App) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list_records, post_visit))
        .routes(routes!(get_record, patch_record))
        .routes(routes!(put_change))
        .with_state(app)
}

/// The record of one visit.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MedicalRecord {
    id: i64,
    #[schema(example = 1)]
    reservation_id: i64,
    #[schema(example = "2020-04-30")]
    reservation_date: Option<String>,
    #[schema(example = "Brad pitt")]
    doctor: String,
    treatment: String,
    medical_opinion: String,
    state: domain::State,
    customer_id: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    updated_at: Option<Timestamp>,
    version: i64,
}

impl From<Record> for MedicalRecord {
    fn from(record: Record) -> Self {
        let time = |ms| Timestamp::from_millisecond(ms).ok();
        Self {
            id: record.id,
            reservation_id: record.reservation_id,
            reservation_date: record.reservation_date,
            doctor: record.doctor,
            treatment: record.treatment,
            medical_opinion: record.medical_opinion,
            state: record.state,
            customer_id: record.customer_id,
            created_at: record.held_at.and_then(time),
            updated_at: time(record.updated_at),
            version: record.version,
        }
    }
}

fn item(origin: &Origin, record: Record) -> Item<MedicalRecord> {
    origin.item(RECORDS, record.id, record.into())
}

fn answer(origin: &Origin, record: Record) -> Response {
    let tag = etag(record.version);
    ([(header::ETAG, tag)], item(origin, record)).into_response()
}

/// One of the visits that may be accepted at the same time; one more is sent away before its body is read.
struct VisitPlace(#[expect(dead_code, reason = "held until the answer is made")] Place);

impl FromRequestParts<App> for VisitPlace {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, Problem> {
        app.places.enter().map(Self).ok_or_else(|| Error::Overloaded.into())
    }
}

/// Have a visit held for a reservation.
///
/// The same reservation again gets the record that is held already.
#[utoipa::path(post, path = "/medicalRecords", tag = "medical records", request_body = VisitRequest, responses(
    (status = 201, body = Item<MedicalRecord>), (status = 200, description = "held already", body = Item<MedicalRecord>),
    (status = 409, description = "`visit-refused` or `visit-canceled`", body = ProblemBody),
    (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
async fn post_visit(
    State(app): State<App>,
    caller: Caller,
    _place: VisitPlace,
    deadline: Deadline,
    origin: Origin,
    Json(request): Json<VisitRequest>,
) -> Result<Response, Problem> {
    // Only reservation knows which reservations there are: a record made up for another would take its number.
    caller.require_any(&[SERVICE])?;
    let visit = Visit::parse(request, &app.treatment, &app.clinic.time_zone).map_err(Problem::invalid_fields)?;
    match accept::accept(&app, visit, deadline).await? {
        Accepted::Before(record) => Ok(answer(&origin, record)),
        Accepted::Now(record) => {
            let location = [(header::LOCATION, origin.href(RECORDS, record.id))];
            Ok((StatusCode::CREATED, location, answer(&origin, record)).into_response())
        }
    }
}

/// Have a visit held for another date as well, until the reservation says which it is.
#[utoipa::path(put, path = "/visits/{reservationId}", tag = "medical records", request_body = VisitChange,
    params(("reservationId" = i64, Path)), responses(
    (status = 200, body = Item<MedicalRecord>), (status = 404, body = ProblemBody),
    (status = 409, description = "`visit-refused` or `visit-canceled`", body = ProblemBody),
    (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
async fn put_change(
    State(app): State<App>,
    caller: Caller,
    _place: VisitPlace,
    deadline: Deadline,
    origin: Origin,
    Id(reservation_id): Id,
    Json(asked): Json<VisitChange>,
) -> Result<Response, Problem> {
    caller.require_any(&[SERVICE])?;
    let (date, change_number) = domain::parse_change(&asked, &app.clinic.time_zone).map_err(Problem::invalid_fields)?;
    let record = change::request(&app, reservation_id, date, change_number, deadline).await?;
    Ok(answer(&origin, record))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct RecordQuery {
    reservation_id: Option<i64>,
    state: Option<domain::State>,
}

/// Medical records in the order of acceptance; a customer gets his own.
#[utoipa::path(get, path = "/medicalRecords", tag = "medical records",
    params(RecordQuery, ("page" = Option<i64>, Query), ("size" = Option<i64>, Query), ("sort" = Option<String>, Query)),
    responses((status = 200, body = Collection<MedicalRecord>)))]
async fn list_records(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<RecordQuery>,
    page: Page,
    order: Order,
    origin: Origin,
) -> Result<Response, Problem> {
    let customer_id = visible_to(&caller)?;
    let filter = Filter { reservation_id: query.reservation_id, state: query.state, customer_id };
    let (records, total) = store::list(app.db.reader(), &filter, order, page).await.map_err(Error::Db)?;
    let items = records.into_iter().map(|record| item(&origin, record)).collect();
    Ok(origin.collection(RECORDS, items, page, total).into_response())
}

/// One medical record; that of another customer is not to be found.
#[utoipa::path(get, path = "/medicalRecords/{id}", tag = "medical records", params(("id" = i64, Path)), responses(
    (status = 200, body = Item<MedicalRecord>), (status = 404, body = ProblemBody)))]
async fn get_record(State(app): State<App>, caller: Caller, Id(id): Id, origin: Origin) -> Result<Response, Problem> {
    let customer_id = visible_to(&caller)?;
    let record = store::get(app.db.reader(), id).await.map_err(Error::Db)?.ok_or(Error::NotFound)?;
    if customer_id.is_some() && record.customer_id != customer_id {
        return Err(Error::NotFound.into());
    }
    Ok(answer(&origin, record))
}

/// What a vet writes; a field that is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
struct RecordPatch {
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "Brad pitt")]
    doctor: Patched,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    treatment: Patched,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    medical_opinion: Patched,
}

/// Write doctor, treatment or opinion; a confirmed visit that was still scheduled is treated by it.
#[utoipa::path(patch, path = "/medicalRecords/{id}", tag = "medical records", params(("id" = i64, Path)),
    request_body(content = RecordPatch, content_type = "application/merge-patch+json"), responses(
    (status = 200, body = Item<MedicalRecord>), (status = 404, body = ProblemBody),
    (status = 409, description = "`visit-not-confirmed` or `visit-canceled`", body = ProblemBody),
    (status = 412, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn patch_record(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    if_match: IfMatch,
    origin: Origin,
    Json(patch): Json<RecordPatch>,
) -> Result<Response, Problem> {
    caller.require_any(&[VET, ADMIN])?;
    let findings =
        Findings::parse(patch.doctor, patch.treatment, patch.medical_opinion).map_err(Problem::invalid_fields)?;
    let record = treat::treat(&app, id, findings, if_match).await?;
    Ok(answer(&origin, record))
}

/// Whose records the caller may see; nothing is everyone's.
fn visible_to(caller: &Caller) -> Result<Option<String>, Problem> {
    if caller.has_any(STAFF) {
        return Ok(None);
    }
    caller.require_any(&[CUSTOMER, DESK, VET, ADMIN])?;
    Ok(Some(caller.subject.to_string()))
}
