//! The story of a visit, from the reservation to the refund, with everything real.

use journeys::{Fleet, eventually};
use reqwest::Method;

#[tokio::test]
async fn a_customer_reserves_changes_is_treated_billed_and_pays_and_is_told_each_time() {
    let fleet = Fleet::start(&[]).await;
    let customer = fleet.as_role("customer");

    let id = customer.reserve().await;
    customer.until_label(id, "수납 대기").await;
    assert_eq!(customer.change_date(id, "2020-05-01").await.status, 200);
    let records = customer.records_of(id).await;
    assert_eq!(records.len(), 1);
    assert_eq!((records[0]["state"].as_str(), records[0]["doctor"].as_str()), (Some("TREATED"), Some("Brad pitt")));

    let bills = customer.bills_of(id).await;
    assert_eq!(bills.len(), 1);
    assert_eq!((bills[0]["fee"].as_i64(), bills[0]["state"].as_str()), (Some(10000), Some("BILLED")));
    let bill = bills[0]["id"].as_i64().unwrap();
    assert_eq!(customer.pay(bill).await.status, 200);
    assert_eq!(customer.pay(bill).await.status, 409, "nobody pays twice");
    customer.until_label(id, "수납 완료").await;

    let told = eventually("every change of state is told", async || {
        let notices = customer.notices_of(id).await;
        let sent = notices.iter().filter(|notice| notice["state"] == "SENT").count();
        (sent == 5).then_some(notices)
    })
    .await;
    let mut kinds: Vec<_> = told.iter().map(|notice| notice["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        ["ReservationChanged", "ReservationReserved", "Treated", "TreatmentFeeAccepted", "TreatmentFeeBilled"]
    );
}

#[tokio::test]
async fn a_cancelled_visit_is_let_go_its_bill_returned_and_its_customer_told() {
    let fleet = Fleet::start(&[]).await;
    let customer = fleet.as_role("customer");
    let id = customer.reserve().await;
    customer.until_label(id, "수납 대기").await;
    let bill = customer.bills_of(id).await[0]["id"].as_i64().unwrap();
    customer.pay(bill).await;

    assert_eq!(customer.cancel(id).await.status, 204);
    assert_eq!(customer.cancel(id).await.status, 204);
    assert_eq!(customer.get(&format!("/reservations/{id}")).await.body["state"], "CANCELED");
    eventually("the payment is returned", async || {
        (customer.bills_of(id).await[0]["state"] == "REFUNDED").then_some(())
    })
    .await;
    eventually("the visit is let go", async || (customer.records_of(id).await[0]["state"] == "CANCELED").then_some(()))
        .await;
}

#[tokio::test]
async fn nobody_enters_without_a_token_or_sees_what_is_not_his() {
    let fleet = Fleet::start(&[]).await;
    let (customer, desk, stranger) = (fleet.as_role("customer"), fleet.as_role("desk"), fleet.without_token());
    let (mine, theirs) = (customer.reserve().await, desk.reserve().await);
    customer.until_label(mine, "수납 대기").await;
    desk.until_label(theirs, "수납 대기").await;
    for collection in ["reservations", "medicalRecords", "financialManagements", "reservationStats", "notices"] {
        let refused = stranger.get(&format!("/{collection}")).await;
        assert_eq!(refused.status, 401, "{collection}");
        assert!(refused.headers.contains_key("www-authenticate"), "{collection}");
        for item in customer.all(collection, "").await {
            let reservation = item.get("reservationId").unwrap_or(&item["id"]);
            assert_eq!(*reservation, mine, "{collection}: {item}");
        }
    }
    for path in [format!("/reservations/{theirs}"), format!("/reservationStats/{theirs}")] {
        assert_eq!(customer.get(&path).await.status, 404, "{path}");
    }
    let theirs_is_theirs = customer.send(Method::DELETE, &format!("/reservations/{theirs}"), None).await;
    assert_eq!(theirs_is_theirs.status, 404);
}

#[tokio::test]
async fn the_demo_plays_to_its_end() {
    let fleet = Fleet::start(&[]).await;
    let told = fleet.run(&["demo"]);
    assert!(told.contains("수납 완료"), "{told}");
}
