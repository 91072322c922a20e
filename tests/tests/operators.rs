//! The commands of those who run the fleet, on a fleet that runs.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::process::{Command, Output};

use chassis::config::Database;
use chassis::{Db, Secret};
use journeys::{Fleet, binary, eventually};
use serde_json::{Value, json};

fn database(fleet: &Fleet, service: &str) -> String {
    format!("sqlite:{}", fleet.data.join(service).join(format!("{service}.db")).display())
}

/// Does by hand what nobody should.
async fn plant(fleet: &Fleet, service: &str, statement: &'static str) {
    let settings =
        Database { url: Secret::new(database(fleet, service)), password: Secret::default(), max_connections: 1 };
    let db = Db::attach(&settings).await.unwrap();
    let planted: Result<u64, chassis::DbError> = db
        .write(move |tx| Box::pin(async move { Ok(sqlx::query(statement).execute(&mut **tx).await?.rows_affected()) }))
        .await;
    assert_eq!(planted.unwrap(), 1, "{statement}");
    db.close().await;
}

/// Runs a command of a service beside it.
fn beside(fleet: &Fleet, service: &str, arguments: &[&str]) -> Output {
    Command::new(binary(service)).args(arguments).env("DATABASE_URL", database(fleet, service)).output().unwrap()
}

/// Runs a command of a service that ends at a failpoint.
fn killed_at(fleet: &Fleet, point: &str, service: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary(service));
    command.args(arguments).env("DATABASE_URL", database(fleet, service));
    command.env("FAILPOINTS", format!("{point}=return")).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn reconcile_finds_nothing_after_many_visits_and_each_difference_that_is_planted() {
    let fleet = Fleet::start(&[]).await;
    let desk = fleet.as_role("desk");
    for _ in 0..4 {
        let id = desk.reserve().await;
        desk.until_label(id, "수납 대기").await;
    }
    let bill = desk.bills_of(1).await[0]["id"].as_i64().unwrap();
    assert_eq!(desk.pay(bill).await.status, 200);
    assert_eq!(desk.cancel(2).await.status, 204);
    assert_eq!(desk.change_date(3, "2020-06-01").await.status, 200);

    let agreed = fleet.command(&["reconcile", "--settle", "500ms"]);
    assert!(agreed.status.success(), "{}", said(&agreed));
    assert!(said(&agreed).contains("4 reservations compared, 0 differences"), "{}", said(&agreed));

    plant(&fleet, "notice", "UPDATE notice SET state = 'FAILED' WHERE reservation_id = 1 AND kind = 'Treated'").await;
    let untold = fleet.command(&["reconcile", "--settle", "500ms"]);
    assert!(untold.status.success(), "{}", said(&untold));
    assert!(said(&untold).contains("1 notice was given up"), "{}", said(&untold));

    plant(&fleet, "acceptance", "DELETE FROM bill WHERE reservation_id = 4").await;
    plant(&fleet, "lookup", "UPDATE reservation_stats SET fee = 1 WHERE reservation_id = 1").await;
    plant(&fleet, "notice", "DELETE FROM notice WHERE reservation_id = 3 AND kind = 'ReservationChanged'").await;
    plant(&fleet, "lookup", "UPDATE reservation_stats SET reservator_name = 'Bori' WHERE reservation_id = 2").await;
    plant(&fleet, "notice", "UPDATE contact SET phone = '010-8765-4321' WHERE reservation_id = 3").await;
    let differing = fleet.command(&["reconcile", "--settle", "500ms"]);
    assert_eq!(differing.status.code(), Some(1), "{}", said(&differing));
    for found in [
        "reservation 1: fee: acceptance says 10000, lookup says 1",
        "reservation 2: name or telephone number: lookup has another than reservation",
        "reservation 3: name or telephone number: notice has another than reservation",
        "reservation 3: ReservationChanged: lookup has heard of it 1 times, notice has told it 0 times",
        "reservation 4: diagnosis says TREATED, acceptance says no bill",
    ] {
        assert!(said(&differing).contains(found), "{found} is not in: {}", said(&differing));
    }
    for personal in ["Jackson", "Bori", "010-1234-5678", "010-8765-4321"] {
        assert!(!said(&differing).contains(personal), "{personal} is in: {}", said(&differing));
    }
    let rest = parsed(&fleet.command(&["reconcile", "--settle", "500ms", "--since", "3", "--json"]));
    assert_eq!(rest["compared"], 1);
    assert_eq!(rest["differences"][0]["reservationId"], 4);

    fleet.run(&["stop", "notice"]);
    let without = fleet.command(&["reconcile", "--settle", "500ms"]);
    assert_eq!(without.status.code(), Some(2), "{}", said(&without));
    assert!(said(&without).contains("notice at http"), "{}", said(&without));
}

#[tokio::test]
async fn a_parked_message_is_listed_shown_redriven_and_discarded_beside_the_running_service() {
    let fleet = Fleet::start(&[]).await;
    assert_eq!(parsed(&beside(&fleet, "reservation", &["outbox", "status", "--json"]))["waiting"], 0);
    let none = beside(&fleet, "acceptance", &["dead-letters", "list"]);
    assert_eq!((none.status.code(), said(&none).trim()), (Some(1), "nothing is parked"));

    plant(
        &fleet,
        "reservation",
        "INSERT INTO outbox (event_type, message_key, sequence, payload, created_at)
         VALUES ('Treated', '77', 1, '{\"eventType\":\"Treated\"}', 0)",
    )
    .await;
    let listed = eventually("it is parked", async || {
        let listed = beside(&fleet, "acceptance", &["dead-letters", "list", "--json"]);
        listed.status.success().then(|| parsed(&listed))
    })
    .await;
    assert_eq!((&listed[0]["key"], &listed[0]["attempts"]), (&json!("77"), &json!(1)));

    let id = listed[0]["id"].to_string();
    let shown = parsed(&beside(&fleet, "acceptance", &["dead-letters", "show", &id, "--json"]));
    assert_eq!((&shown["encoding"], &shown["payload"]), (&json!("text"), &json!("{\"eventType\":\"Treated\"}")));

    let killed = killed_at(&fleet, "redrive.before-write", "acceptance", &["dead-letters", "redrive"]);
    assert!(killed.status.code().is_none(), "{}", said(&killed));
    assert!(said(&killed).contains("failpoint redrive.before-write"), "{}", said(&killed));

    let redriven = beside(&fleet, "acceptance", &["dead-letters", "redrive", "--key", "77", "--json"]);
    assert_eq!(redriven.status.code(), Some(1));
    assert_eq!(parsed(&redriven), json!({"processed": 0, "stillParked": 1}));

    let discarded = beside(&fleet, "acceptance", &["dead-letters", "discard", &id, "--reason", "a test"]);
    assert!(discarded.status.success(), "{}", said(&discarded));
    assert_eq!(beside(&fleet, "acceptance", &["dead-letters", "show", &id]).status.code(), Some(1));
}

#[tokio::test]
async fn a_rebuild_beside_a_lookup_that_is_used_fails_no_read_and_repairs_the_view() {
    let fleet = Fleet::start(&[]).await;
    let desk = fleet.as_role("desk");
    let first = desk.reserve().await;
    desk.until_label(first, "수납 대기").await;
    plant(&fleet, "lookup", "UPDATE reservation_stats SET fee = 1 WHERE reservation_id = 1").await;

    let status = fleet.status().unwrap();
    let kafka = status["services"].as_array().unwrap().iter().find(|service| service["service"] == "kafka");
    let brokers = kafka.unwrap()["address"].as_str().unwrap().to_owned();
    let rebuild = |arguments: &[&str]| {
        let mut command = Command::new(binary("lookup"));
        command.args(arguments).env("DATABASE_URL", database(&fleet, "lookup")).env("KAFKA_BROKERS", &brokers);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let differing = rebuild(&["rebuild", "--check", "--json"]).await.unwrap();
    assert_eq!(differing.status.code(), Some(1), "{}", said(&differing));
    assert_eq!(parsed(&differing)["differing"], 1);

    let rebuilding = rebuild(&["rebuild", "--json"]);
    let mut last = first;
    while !rebuilding.is_finished() {
        last = desk.reserve().await;
        let answer = desk.get("/reservationStats/1").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let rebuilt = rebuilding.await.unwrap();
    assert!(rebuilt.status.success(), "{}", said(&rebuilt));
    assert_eq!(parsed(&rebuilt)["checksumNow"], parsed(&rebuilt)["checksumOfEvents"]);
    assert_eq!(desk.get("/reservationStats/1").await.body["fee"], 10000);
    for id in first..=last {
        desk.until_label(id, "수납 대기").await;
    }
    let agreed = fleet.command(&["reconcile", "--settle", "500ms"]);
    assert!(agreed.status.success(), "{}", said(&agreed));
}
