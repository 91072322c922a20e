//! The routes. Each handler reads, asks the store and shows as much as the caller may see.

use axum::extract::State;
use chassis::Caller;
use chassis::http::extract::{Id, Query};
use chassis::http::hal::{Collection, Item, Order, Origin, Page, Rel};
use chassis::http::problem::{Problem, ProblemBody};
use contracts::roles::{ADMIN, CUSTOMER, DESK, VET};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::{Kind, Notice, State as NoticeState};
use crate::error::Error;
use crate::store::{self, Filter};
use crate::{App, mask};

const NOTICE: Rel = Rel { plural: "notices", singular: "notice" };

const READERS: &[&str] = &[CUSTOMER, DESK, VET, ADMIN];
/// Those who see everyone's.
const STAFF: &[&str] = &[DESK, VET, ADMIN];
/// Those who see names and phone numbers as well.
const TRUSTED: &[&str] = &[DESK, ADMIN];

pub fn routes(app: App) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(get_notices)).routes(routes!(get_notice)).with_state(app)
}

fn is_own(caller: &Caller, notice: &Notice) -> bool {
    notice.recipient.customer_id.as_deref() == Some(&*caller.subject)
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Notice)]
pub struct NoticeBody {
    id: i64,
    reservation_id: i64,
    kind: Kind,
    #[schema(example = "Jackson님, 2020-05-01 예약이 완료되었습니다.")]
    text: String,
    /// The phone number; masked unless the caller may see it, null while it is not known.
    #[schema(example = "010-****-5678")]
    to: Option<String>,
    state: NoticeState,
    /// How often it was tried.
    attempts: i64,
    /// Why it did not arrive, the last time.
    failure: Option<String>,
    created_at: Timestamp,
    sent_at: Option<Timestamp>,
}

impl NoticeBody {
    fn new(notice: &Notice, caller: &Caller) -> Self {
        let time = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or_default();
        let recipient = &notice.recipient;
        let (text, to) = if caller.has_any(TRUSTED) || is_own(caller, notice) {
            (notice.text(), recipient.phone.clone())
        } else {
            let name = recipient.name.as_deref().map(mask::name);
            (notice.text_to(name.as_deref()), recipient.phone.as_deref().map(mask::phone))
        };
        Self {
            id: notice.id,
            reservation_id: notice.reservation_id,
            kind: notice.kind,
            text,
            to,
            state: notice.state,
            attempts: notice.attempts,
            failure: notice.failure.clone(),
            created_at: time(notice.created_at),
            sent_at: notice.sent_at.map(time),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
struct ListQuery {
    reservation_id: Option<i64>,
    state: Option<NoticeState>,
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

/// List notices; a customer gets his own, a vet gets names and numbers masked.
#[utoipa::path(get, path = "/notices", tag = "notices", params(ListQuery),
    responses((status = 200, body = Collection<NoticeBody>)))]
async fn get_notices(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    page: Page,
    order: Order,
    Query(query): Query<ListQuery>,
) -> Result<Collection<NoticeBody>, Problem> {
    caller.require_any(READERS)?;
    let filter = Filter {
        customer_id: (!caller.has_any(STAFF)).then(|| caller.subject.to_string()),
        reservation_id: query.reservation_id,
        state: query.state,
    };
    let (notices, total) = store::list(&app.db, &filter, order, page).await.map_err(Error::from)?;
    let item = |notice: &Notice| origin.item(NOTICE, notice.id, NoticeBody::new(notice, &caller));
    Ok(origin.collection(NOTICE, notices.iter().map(item).collect(), page, total))
}

/// Read one notice.
#[utoipa::path(get, path = "/notices/{id}", tag = "notices", params(("id" = i64, Path)),
    responses((status = 200, body = Item<NoticeBody>), (status = 404, body = ProblemBody)))]
async fn get_notice(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Id(id): Id,
) -> Result<Item<NoticeBody>, Problem> {
    caller.require_any(READERS)?;
    let found = store::find(&app.db, id).await.map_err(Error::from)?;
    let notice = found.filter(|notice| caller.has_any(STAFF) || is_own(&caller, notice)).ok_or(Error::NotFound)?;
    Ok(origin.item(NOTICE, notice.id, NoticeBody::new(&notice, &caller)))
}
