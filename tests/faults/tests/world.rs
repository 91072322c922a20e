//! The world itself: its processes come back, its links do what they are told, and it knows when it is at rest.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use faults::world::{Cause, Fault, Kafka, Node, Plan, Storage, World, WorldError};
use jiff::Timestamp;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

/// The binaries beside this test's own.
fn binaries() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    folder.pop();
    folder
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("world-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the world's data and logs are kept in {}", self.0.display());
        } else {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

async fn reserve(world: &World) -> reqwest::Result<Response> {
    let token = world.token("customer").await.unwrap();
    let visit = json!({"reservatorName": "Jackson", "reservationDate": "2020-04-30", "phoneNumber": "010-1234-5678"});
    let request = Client::new().post(format!("{}/reservations", world.gateway())).bearer_auth(token).json(&visit);
    request.timeout(Duration::from_secs(10)).send().await
}

async fn events_of(world: &World, key: &str) -> Vec<String> {
    let records = world.read_topic().await.unwrap();
    let of_key = records.iter().filter(|record| record.key.as_deref() == Some(key.as_bytes()));
    of_key.filter_map(|record| record.header("ce_type")).collect()
}

#[tokio::test]
async fn a_visit_goes_through_every_link_and_leaves_the_world_at_rest() {
    let scratch = Scratch::new("visit");
    let world = World::start(Plan::new(scratch.0.clone(), binaries(), 1)).await.unwrap();

    let answer = reserve(&world).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    world.quiet(Instant::now()).await.unwrap();

    let mut events = events_of(&world, "1").await;
    events.sort();
    assert_eq!(events, ["ReservationReserved", "Treated", "TreatmentFeeBilled"]);
    for (from, to) in [
        (Node::Client, Node::Gateway),
        (Node::Reservation, Node::Diagnosis),
        (Node::Reservation, Node::Oauth),
        (Node::Diagnosis, Node::Kafka),
        (Node::Lookup, Node::Kafka),
    ] {
        assert!(world.link(from, to).unwrap().connections() > 0, "{from} to {to}");
    }
    assert!(world.processes().all(|process| process.peak_memory() > 1_000_000));
    world.end().await.unwrap();
}

#[tokio::test]
async fn links_break_and_heal_and_processes_come_back() {
    let scratch = Scratch::new("faults");
    let world = World::start(Plan::new(scratch.0.clone(), binaries(), 2)).await.unwrap();
    let to_diagnosis = world.link(Node::Reservation, Node::Diagnosis).unwrap();

    to_diagnosis.set(Fault::Down);
    assert_eq!(reserve(&world).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    to_diagnosis.set(Fault::HoldAnswers);
    assert_eq!(reserve(&world).await.unwrap().status(), StatusCode::ACCEPTED);
    to_diagnosis.set(Fault::ResetAfter { share: 1.0 });
    assert_eq!(reserve(&world).await.unwrap().status(), StatusCode::ACCEPTED);
    world.heal_all();

    let diagnosis = &world.service(Node::Diagnosis)[0];
    diagnosis.arm("consumer.before-store-offset=return");
    diagnosis.kill();
    let killed = diagnosis.until_death(0, Duration::from_secs(10)).await.unwrap();
    assert_eq!(killed.cause, Cause::Killed);
    let died = diagnosis.until_death(1, Duration::from_secs(30)).await.unwrap();
    assert_eq!(died.cause, Cause::Failpoint("consumer.before-store-offset".to_owned()));

    world.quiet(Instant::now()).await.unwrap();
    assert_eq!(reserve(&world).await.unwrap().status(), StatusCode::CREATED);
    world.quiet(Instant::now()).await.unwrap();
    world.end().await.unwrap();
}

#[tokio::test]
async fn replicas_share_a_database_server_and_each_link_finds_one_that_is_ready() {
    let scratch = Scratch::new("replicas");
    let mut plan = Plan::new(scratch.0.clone(), binaries(), 3);
    plan.storage = Storage::Postgres;
    plan.replicas = 2;
    let world = World::start(plan).await.unwrap();
    assert_eq!(reserve(&world).await.unwrap().status(), StatusCode::CREATED);

    for replicas in Node::SERVICES.map(|node| world.service(node)) {
        replicas[0].stop().await.unwrap();
        assert_eq!(reserve(&world).await.unwrap().status(), StatusCode::CREATED, "without {}", replicas[0].name());
        replicas[0].start().await.unwrap();
    }
    assert!(world.terminate_connections(Node::Reservation).await.unwrap() > 0);
    world.database_server().unwrap().kill();
    world.quiet(Instant::now()).await.unwrap();
    assert_eq!(reserve(&world).await.unwrap().status(), StatusCode::CREATED);
    world.end().await.unwrap();
}

#[tokio::test]
async fn the_clock_moves_and_the_disk_fills_up() {
    let scratch = Scratch::new("clock");
    let mut plan = Plan::new(scratch.0.clone(), binaries(), 4);
    plan.has_clock = true;
    plan.small_disk = Some((Node::Reservation, 16));
    let world = match World::start(plan).await {
        Err(WorldError::NotPermitted(reason)) => return eprintln!("skipped: {reason}"),
        world => world.unwrap(),
    };
    let created_at =
        async |answer: Response| answer.json::<Value>().await.unwrap()["createdAt"].as_str().unwrap().parse();
    let before: Timestamp = created_at(reserve(&world).await.unwrap()).await.unwrap();
    world.set_clock(3_600).unwrap();
    let after: Timestamp = created_at(reserve(&world).await.unwrap()).await.unwrap();
    assert!(after.as_second() - before.as_second() >= 3_600, "{before} {after}");
    world.set_clock(0).unwrap();

    let disk = world.disk().unwrap();
    disk.fill().unwrap();
    assert_eq!(reserve(&world).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    disk.free().unwrap();
    world.quiet(Instant::now()).await.unwrap();
    assert_eq!(reserve(&world).await.unwrap().status(), StatusCode::CREATED);
    world.end().await.unwrap();
}

#[tokio::test]
#[ignore = "needs what `scripts/kafka fetch` brings"]
async fn apache_kafka_serves_the_fleet_behind_the_same_links() {
    let scratch = Scratch::new("apache");
    let mut plan = Plan::new(scratch.0.clone(), binaries(), 5);
    plan.kafka = Kafka::Apache;
    let world = World::start(plan).await.unwrap();
    assert_eq!(reserve(&world).await.unwrap().status(), StatusCode::CREATED);
    world.quiet(Instant::now()).await.unwrap();
    world.broker().kill();
    assert_eq!(reserve(&world).await.unwrap().status(), StatusCode::CREATED);
    world.quiet(Instant::now()).await.unwrap();
    assert_eq!(events_of(&world, "2").await.len(), 3);
    world.end().await.unwrap();
}
