//! What is said when an operator compares the services.

use axum::http::Method;
use chassis::testing::databases;
use contracts::ledger::Salt;
use contracts::roles::{ADMIN, DESK};
use lookup::store;
use serde_json::json;

use crate::harness::{DIAGNOSIS, View, sent, take_in, treatment_event};

#[tokio::test]
async fn the_ledger_tells_of_a_customer_by_a_digest_alone_and_only_operators() {
    for db in databases(store::MIGRATIONS).await {
        let view = View::on(db);
        view.visit(1, "2020-04-30", "customer-1").await;
        take_in(&view.db, &[sent(DIAGNOSIS, 2, 1, treatment_event("Treated", 2))]).await;
        let ask = |role: &str, query: &str| {
            view.request(Method::GET, &format!("/actuator/ledger{query}"))
                .bearer(&view.token("someone", &[role]))
                .send()
        };
        assert_eq!(ask(DESK, "?salt=s").await.status, 403);

        let salt = Salt { salt: Some("s".to_owned()) };
        let answer = ask(ADMIN, "?salt=s").await;
        let expected = json!({
            "reservationId": 1, "state": "BILLED", "date": "2020-04-30", "fee": 10000, "reservation": "RESERVED",
            "treatment": "TREATED", "payment": "BILLED",
            "heard": {"ReservationReserved": 1, "Treated": 1, "TreatmentFeeBilled": 1},
            "person": salt.person(Some("Jackson"), Some("010-1234-5678"))
        });
        assert_eq!(answer.json()[0], expected);
        assert_eq!(answer.json()[1]["person"].as_str(), salt.person(None, None).as_deref(), "nobody is known yet");
        assert!(ask(ADMIN, "").await.json()[0]["person"].is_null());
    }
}
