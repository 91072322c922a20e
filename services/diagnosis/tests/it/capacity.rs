//! No place of the clinic is given away twice.

use chassis::config::Database;
use chassis::{Db, Secret, testing};
use diagnosis::store;
use futures_util::future::join_all;

use crate::app::{TestApp, apps, canceled, kind, reserved};

const ONE_A_DAY: &[(&str, &str)] = &[("clinic.capacity_per_day", "1")];
const ONE_AN_HOUR: &[(&str, &str)] = &[("clinic.capacity_per_hour", "1")];

async fn accepted_of(attempts: impl Iterator<Item = impl Future<Output = testing::TestAnswer>>) -> usize {
    let answers = join_all(attempts).await;
    let refused = answers.iter().filter(|answer| answer.status == 409 && kind(answer) == "visit-refused").count();
    let accepted = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(accepted + refused, answers.len(), "each is either held or refused");
    accepted
}

/// The day and its hour have been asked for before, so that what serialises the attempts is not their being new;
/// and all connections are open, so that the attempts really are at once.
async fn freed_place(app: &TestApp) {
    join_all((2000..2050).map(|id| app.hold(id, "202005"))).await;
    app.hold(1000, "2020-05-01T10:00").await;
    app.reservation_says(&canceled(1000, "2020-05-01T10:00")).await;
}

#[tokio::test]
async fn two_hundred_attempts_at_one_place_give_exactly_one() {
    for (capacity, date) in [(ONE_A_DAY, "2020-05-01"), (ONE_AN_HOUR, "2020-05-01T10:30")] {
        for app in apps(capacity).await {
            freed_place(&app).await;
            assert_eq!(accepted_of((1..=200).map(|id| app.ask_for(id, date))).await, 1);
            assert_eq!(app.records("?state=SCHEDULED").await["page"]["totalElements"], 51);
        }
    }
}

#[tokio::test]
async fn two_replicas_share_the_places() {
    let Ok(server) = std::env::var("TEST_POSTGRES_URL") else { return };
    let db = testing::postgres(store::MIGRATIONS).await;
    let (name,): (String,) =
        sqlx::query_as("SELECT CAST(current_database() AS TEXT)").fetch_one(db.reader()).await.unwrap();
    let settings =
        Database { url: Secret::new(format!("{server}/{name}")), password: Secret::default(), max_connections: 5 };
    let other = Db::open(&settings, store::MIGRATIONS).await.unwrap();
    let replicas = [TestApp::on(db, ONE_A_DAY), TestApp::on(other, ONE_A_DAY)];
    freed_place(&replicas[0]).await;
    join_all((3000..3050).map(|id| replicas[1].hold(id, "202005"))).await;
    let attempts = (1..=200).map(|id| replicas[id as usize % 2].ask_for(id, "2020-05-01"));
    assert_eq!(accepted_of(attempts).await, 1);
}

#[tokio::test]
async fn a_day_and_an_hour_have_as_many_places_as_the_setting_says() {
    for app in apps(&[("clinic.capacity_per_day", "3"), ("clinic.capacity_per_hour", "2")]).await {
        app.hold(1, "2020-05-01T10:00").await;
        app.hold(2, "2020-05-01T10:59").await;
        let full = app.ask_for(3, "2020-05-01T10:30").await;
        assert_eq!(full.json()["detail"], "The clinic has no place left at 2020-05-01T10:30.");
        app.hold(8, "2020-05-01T11:00").await;
        let full = app.ask_for(4, "2020-05-01").await;
        assert_eq!(full.json()["detail"], "The clinic has no place left on 2020-05-01.");
        // 16:00 of the day before in London is past midnight in Seoul.
        assert_eq!(app.ask_for(5, "2020-04-30T16:00Z").await.status, 409);
        // Neither a month nor a visit without a date takes a place.
        app.hold(6, "202005").await;
        app.hold(7, "2020-05-02").await;
        assert_eq!(app.count().await, 5);
    }
}

#[tokio::test]
async fn a_repeated_request_does_not_take_a_second_place() {
    for app in apps(ONE_A_DAY).await {
        app.hold(1, "2020-05-01").await;
        assert_eq!(app.ask_for(1, "2020-05-01").await.status, 200);
    }
}

#[tokio::test]
async fn a_cancellation_frees_the_place() {
    for app in apps(ONE_A_DAY).await {
        app.hold(1, "2020-05-01").await;
        app.reservation_says(&reserved(1, "2020-05-01")).await;
        assert_eq!(app.ask_for(2, "2020-05-01").await.status, 409, "a treated visit has its place");
        app.reservation_says(&canceled(1, "2020-05-01")).await;
        assert_eq!(app.ask_for(3, "2020-05-01").await.status, 201);
    }
}

/// Its caller has been told no; a try of it that was under way for long must not be held after all.
#[tokio::test]
async fn a_refused_request_stays_refused_also_when_a_place_is_free_again() {
    for app in apps(ONE_A_DAY).await {
        app.hold(1, "2020-05-01").await;
        let refused = app.ask_for(2, "2020-05-01").await;
        app.reservation_says(&canceled(1, "2020-05-01")).await;
        let late = app.ask_for(2, "2020-05-01").await;
        assert_eq!((late.status.as_u16(), kind(&late)), (409, "visit-refused".to_owned()));
        assert_eq!(late.json()["detail"], refused.json()["detail"]);
        app.hold(3, "2020-05-01").await;
    }
}
