//! What is said when an operator compares the services.

use axum::http::Method;
use chassis::testing::request;
use contracts::ledger::Salt;
use serde_json::json;

use crate::app::{apps, jackson};

#[tokio::test]
async fn the_ledger_tells_of_a_customer_by_a_digest_alone_and_only_operators() {
    for app in apps().await {
        let id = app.reserve().await;
        let admin = app.rig.issuer.token("admin-1", &["admin"]);
        let ask = |token: &str, query: &str| {
            request(&app.service, Method::GET, &format!("/actuator/ledger{query}")).bearer(token).send()
        };
        assert_eq!(ask(&app.desk, "?salt=s").await.status, 403);

        let answer = ask(&admin, "?salt=s").await;
        let details = jackson();
        let (name, phone) = (details["reservatorName"].as_str(), details["phoneNumber"].as_str());
        let digest = Salt { salt: Some("s".to_owned()) }.person(name, phone);
        let expected = json!([{
            "reservationId": id, "state": "RESERVED", "date": details["reservationDate"], "events": 1,
            "decideBy": null, "person": digest
        }]);
        assert_eq!(answer.json(), expected);
        assert!(answer.json()[0]["person"].is_string());
        assert!(ask(&admin, "").await.json()[0]["person"].is_null());
    }
}
