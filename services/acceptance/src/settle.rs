//! Settle: someone pays, voids or refunds a bill. State, event and remembered answer commit together.

use chassis::Tx;
use chassis::failpoint::crash_point;
use chassis::http::extract::IfMatch;
use chassis::http::idempotency::{self, Begun, IdempotencyKey, StoredAnswer};
use contracts::Event;

use crate::domain::Bill;
use crate::error::Error;
use crate::store::Which;
use crate::{App, events, store};

/// What someone gives for a bill.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payment {
    pub method: Option<String>,
    /// What the payer believes the fee to be.
    pub amount: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Pay(Payment),
    Void,
    Refund,
}

pub struct Request {
    pub id: i64,
    pub action: Action,
    /// Only a bill of this customer's.
    pub owner: Option<String>,
    pub if_match: IfMatch,
    pub key: Option<IdempotencyKey>,
}

/// Does it once for each key; `show` makes the answer. What is refused leaves nothing behind, not even the key.
pub async fn settle(
    app: &App,
    request: Request,
    show: impl FnOnce(&Bill) -> StoredAnswer + Send + 'static,
) -> Result<StoredAnswer, Error> {
    let work = app.clone();
    crash_point("settle.before-write");
    let settled = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                let Some(key) = &request.key else {
                    return Ok(show(&change_in_tx(tx, &work, &request).await?));
                };
                match idempotency::begin_in_tx(tx, key, work.clock.now_ms()).await? {
                    Begun::First => {}
                    Begun::Answered(answer) => return Ok(answer),
                    Begun::Refused(problem) => return Err(Error::IdempotencyKey(problem)),
                }
                let answer = show(&change_in_tx(tx, &work, &request).await?);
                idempotency::finish_in_tx(tx, &key.caller, &key.key, &answer).await?;
                Ok(answer)
            })
        })
        .await;
    crash_point("settle.after-write");
    settled
}

async fn change_in_tx(tx: &mut Tx, app: &App, request: &Request) -> Result<Bill, Error> {
    let found = store::lock_in_tx(tx, Which::Id(request.id)).await?;
    let mut bill = found.filter(|bill| is_owned(bill, request.owner.as_deref())).ok_or(Error::NotFound)?;
    request.if_match.check(bill.version).map_err(Error::Stale)?;
    let kind = apply(&mut bill, &request.action, app.clock.now_ms())?;
    store::update_in_tx(tx, &bill).await?;
    events::publish_in_tx(tx, &bill, kind, &app.clock).await?;
    Ok(bill)
}

/// One whose customer is not known is only the staff's.
pub fn is_owned(bill: &Bill, owner: Option<&str>) -> bool {
    owner.is_none() || bill.customer_id.as_deref() == owner
}

fn apply(bill: &mut Bill, action: &Action, now_ms: i64) -> Result<fn(contracts::events::FeeEvent) -> Event, Error> {
    match action {
        Action::Pay(payment) => {
            if payment.amount.is_some_and(|amount| amount != bill.fee) {
                return Err(Error::WrongAmount { fee: bill.fee });
            }
            bill.pay(payment.method.clone(), now_ms)?;
            Ok(Event::TreatmentFeeAccepted)
        }
        Action::Void => {
            bill.void(now_ms)?;
            Ok(Event::TreatmentFeeCanceled)
        }
        Action::Refund => {
            bill.refund(now_ms)?;
            Ok(Event::TreatmentFeeCanceled)
        }
    }
}
