//! The routes. Each handler reads, parses, calls one use case and shows the result.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chassis::Caller;
use chassis::http::extract::{Id, IfMatch, Json, Query, etag};
use chassis::http::hal::{self, Collection, Item, Order, Origin, Page, Rel};
use chassis::http::idempotency::{IdempotencyHeader, StoredAnswer};
use chassis::http::problem::{Problem, ProblemBody};
use contracts::roles::{ADMIN, CUSTOMER, DESK};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::domain::{Bill, State as BillState};
use crate::error::Error;
use crate::settle::{Action, Payment, Request, is_owned, settle};
use crate::store::{self, Filter};

const BILL: Rel = Rel { plural: "financialManagements", singular: "financialManagement" };

const READERS: &[&str] = &[CUSTOMER, DESK, ADMIN];
const STAFF: &[&str] = &[DESK, ADMIN];
const MAX_METHOD: usize = 50;

pub fn routes(app: App) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(get_bills))
        .routes(routes!(get_bill))
        .routes(routes!(pay_bill))
        .routes(routes!(refund_bill))
        .routes(routes!(void_bill))
        .with_state(app)
}

/// Whose bills only the caller may see; `None`: everyone's.
fn owner(caller: &Caller) -> Option<String> {
    (!caller.has_any(STAFF)).then(|| caller.subject.to_string())
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Bill)]
pub struct BillBody {
    id: i64,
    reservation_id: i64,
    #[schema(example = "그냥 집에서 푹 쉬면 나을 것입니다.")]
    treatment: Option<String>,
    /// In won.
    #[schema(example = 10000)]
    fee: i64,
    state: BillState,
    /// How it was paid.
    #[schema(example = "card")]
    method: Option<String>,
    customer_id: Option<String>,
    billed_at: Timestamp,
    paid_at: Option<Timestamp>,
    /// When it was voided or refunded.
    canceled_at: Option<Timestamp>,
    version: i64,
}

impl From<&Bill> for BillBody {
    fn from(bill: &Bill) -> Self {
        let time = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or_default();
        Self {
            id: bill.id,
            reservation_id: bill.reservation_id,
            treatment: bill.treatment.clone(),
            fee: bill.fee,
            state: bill.state,
            method: bill.method.clone(),
            customer_id: bill.customer_id.clone(),
            billed_at: time(bill.billed_at),
            paid_at: bill.paid_at.map(time),
            canceled_at: bill.canceled_at.map(time),
            version: bill.version,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
struct ListQuery {
    reservation_id: Option<i64>,
    state: Option<BillState>,
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

/// List bills; a customer gets his own.
#[utoipa::path(get, path = "/financialManagements", tag = "bills", params(ListQuery),
    responses((status = 200, body = Collection<BillBody>)))]
async fn get_bills(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    page: Page,
    order: Order,
    Query(query): Query<ListQuery>,
) -> Result<Collection<BillBody>, Problem> {
    caller.require_any(READERS)?;
    let filter = Filter { customer_id: owner(&caller), reservation_id: query.reservation_id, state: query.state };
    let (bills, total) = store::list(&app.db, &filter, order, page).await.map_err(Error::from)?;
    let items = bills.iter().map(|bill| origin.item(BILL, bill.id, bill.into())).collect();
    Ok(origin.collection(BILL, items, page, total))
}

/// Read one bill.
#[utoipa::path(get, path = "/financialManagements/{id}", tag = "bills", params(("id" = i64, Path)),
    responses((status = 200, body = Item<BillBody>), (status = 404, body = ProblemBody)))]
async fn get_bill(State(app): State<App>, caller: Caller, origin: Origin, Id(id): Id) -> Result<Response, Problem> {
    caller.require_any(READERS)?;
    let found = store::find(&app.db, id).await.map_err(Error::from)?;
    let bill = found.filter(|bill| is_owned(bill, owner(&caller).as_deref())).ok_or(Error::NotFound)?;
    Ok(show(&origin, &bill).into_response())
}

/// A payment. The method is the till's own word; the amount, if given, must be the fee.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
struct PaymentRequest {
    #[schema(example = "card")]
    method: Option<String>,
    #[schema(example = 10000)]
    amount: Option<i64>,
}

impl PaymentRequest {
    fn payment(self) -> Result<Payment, Problem> {
        let Some(method) = self.method else { return Ok(Payment { method: None, amount: self.amount }) };
        let method = method.trim();
        if method.is_empty() {
            return Err(Problem::invalid_field("method", "must not be blank"));
        }
        if method.chars().count() > MAX_METHOD {
            return Err(Problem::invalid_field("method", format!("must be at most {MAX_METHOD} characters long")));
        }
        // PostgreSQL keeps no null character, and a receipt no line break.
        if method.contains(char::is_control) {
            return Err(Problem::invalid_field("method", "must not contain control characters"));
        }
        Ok(Payment { method: Some(method.to_owned()), amount: self.amount })
    }
}

/// Pay a bill. No body is needed.
#[utoipa::path(post, path = "/financialManagements/{id}/pay", tag = "bills", request_body = Option<PaymentRequest>,
    params(("id" = i64, Path), ("If-Match" = Option<String>, Header),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key gets the first answer again")),
    responses((status = 200, body = Item<BillBody>), (status = 404, body = ProblemBody),
        (status = 409, description = "Paid, voided or refunded before", body = ProblemBody),
        (status = 412, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn pay_bill(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Id(id): Id,
    if_match: IfMatch,
    key: IdempotencyHeader,
    body: Option<Json<PaymentRequest>>,
) -> Result<Response, Problem> {
    caller.require_any(READERS)?;
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let key = key.bind(&caller, &format!("pay {id}"), &body);
    let action = Action::Pay(body.payment()?);
    settle_and_show(&app, origin, Request { id, action, owner: owner(&caller), if_match, key }).await
}

/// A refund and a void need no body. What is sent all the same must make sense: whoever sends nonsense means
/// something else.
#[derive(Debug, Deserialize)]
struct NoDetails {}

/// Give a paid bill's money back.
#[utoipa::path(post, path = "/financialManagements/{id}/refund", tag = "bills",
    params(("id" = i64, Path), ("If-Match" = Option<String>, Header), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Item<BillBody>), (status = 404, body = ProblemBody),
        (status = 409, description = "Not paid, or refunded before", body = ProblemBody),
        (status = 412, body = ProblemBody)))]
async fn refund_bill(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Id(id): Id,
    if_match: IfMatch,
    key: IdempotencyHeader,
    _: Option<Json<NoDetails>>,
) -> Result<Response, Problem> {
    caller.require_any(STAFF)?;
    let key = key.bind(&caller, &format!("refund {id}"), &());
    settle_and_show(&app, origin, Request { id, action: Action::Refund, owner: None, if_match, key }).await
}

/// Take an unpaid bill back.
#[utoipa::path(post, path = "/financialManagements/{id}/void", tag = "bills",
    params(("id" = i64, Path), ("If-Match" = Option<String>, Header), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Item<BillBody>), (status = 404, body = ProblemBody),
        (status = 409, description = "Paid, or voided before", body = ProblemBody),
        (status = 412, body = ProblemBody)))]
async fn void_bill(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Id(id): Id,
    if_match: IfMatch,
    key: IdempotencyHeader,
    _: Option<Json<NoDetails>>,
) -> Result<Response, Problem> {
    caller.require_any(STAFF)?;
    let key = key.bind(&caller, &format!("void {id}"), &());
    settle_and_show(&app, origin, Request { id, action: Action::Void, owner: None, if_match, key }).await
}

async fn settle_and_show(app: &App, origin: Origin, request: Request) -> Result<Response, Problem> {
    let answer = settle(app, request, move |bill| show(&origin, bill)).await?;
    Ok(answer.into_response())
}

/// In the form that can be kept for a repeated request.
fn show(origin: &Origin, bill: &Bill) -> StoredAnswer {
    StoredAnswer::new(StatusCode::OK, &hal::MEDIA_TYPE, &origin.item(BILL, bill.id, BillBody::from(bill)))
        .header(header::ETAG.as_str(), etag(bill.version))
}
