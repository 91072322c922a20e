//! What is said when an operator compares the services.

use axum::http::Method;
use chassis::DbError;
use contracts::ledger::Salt;
use contracts::roles::{ADMIN, DESK};
use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn the_ledger_tells_of_a_customer_by_a_digest_alone_and_only_operators() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        notices.hears("/diagnosis", 1, r#"{"eventType":"Treated","reservationId":2}"#).await;
        let ask = |role, query: &str| notices.as_role(role, Method::GET, &format!("/actuator/ledger{query}")).send();
        assert_eq!(ask(DESK, "?salt=s").await.status, 403);

        let salt = Salt { salt: Some("s".to_owned()) };
        let expected = json!([
            {"reservationId": 1, "told": {"ReservationReserved": 1}, "givenUp": 0,
                "person": salt.person(Some("Jackson"), Some("010-1234-5678"))},
            {"reservationId": 2, "told": {"Treated": 1}, "givenUp": 0, "person": salt.person(None, None)},
        ]);
        assert_eq!(ask(ADMIN, "?salt=s").await.json(), expected);
        assert!(ask(ADMIN, "").await.json()[0]["person"].is_null());
    }
}

#[tokio::test]
async fn the_ledger_tells_how_many_notices_were_given_up() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        notices.hears("/diagnosis", 1, TREATED).await;
        notices.hears("/acceptance", 1, FEE_BILLED).await;
        let given_up = notices.app.db.write::<_, DbError>(|tx| {
            Box::pin(async move {
                sqlx::query("UPDATE notice SET state = 'FAILED' WHERE kind <> 'Treated'").execute(&mut **tx).await?;
                Ok(())
            })
        });
        given_up.await.unwrap();
        let ledger = notices.as_role(ADMIN, Method::GET, "/actuator/ledger").send().await.json();
        let told = json!({"ReservationReserved": 1, "Treated": 1, "TreatmentFeeBilled": 1});
        assert_eq!((&ledger[0]["told"], &ledger[0]["givenUp"]), (&told, &json!(2)));
    }
}
