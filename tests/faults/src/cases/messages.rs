//! Messages that come twice, out of order, or are none.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use rand::seq::SliceRandom;
use reqwest::Client;
use serde_json::Value;

use super::databases::writable;
use crate::checker::Invariant;
use crate::clients::Habits;
use crate::collect::{FOREIGN, KIND, POISON};
use crate::trial::Trial;
use crate::world::{Node, Process, Record, WorldError};

const CLIENTS: usize = 8;
/// So many that some are refused however slow the machine is, and however many are cancelled.
const RESERVED_AT_LEAST: usize = 10;
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn replayed(trial: &mut Trial) -> Result<(), WorldError> {
    trial.load(CLIENTS, Duration::from_secs(2)).await?;
    trial.judge().await?;
    let mut records = trial.world.read_topic().await?;
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    trial.world.publish_raw(&records).await?;
    records.shuffle(&mut trial.rng);
    trial.world.publish_raw(&records).await?;
    trial.judge_after(crowd).await?;

    let consumers: Vec<&Process> = Node::CONSUMERS.iter().flat_map(|node| trial.world.service(*node)).collect();
    try_join_all(consumers.iter().map(|process| process.stop())).await?;
    for node in Node::CONSUMERS {
        trial.world.reset_offsets(node).await?;
    }
    try_join_all(consumers.iter().map(|process| process.start())).await?;
    trial.heal();
    trial.load(CLIENTS, Duration::from_secs(1)).await?;
    trial.judge().await
}

pub async fn poison(trial: &mut Trial) -> Result<(), WorldError> {
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    let injected = [
        record("faults-utf8", POISON, b"{\"eventType\": \"Reser\xff\xfe\"}".to_vec()),
        record("faults-schema", POISON, br#"{"eventType": "ReservationReserved", "id": "one"}"#.to_vec()),
        record("faults-nameless", POISON, br#"{"eventType": "ReservationCanceled"}"#.to_vec()),
        record("faults-empty", POISON, Vec::new()),
        record("faults-large", POISON, vec![b'['; 2_000_000]),
        record("faults-newer", FOREIGN, br#"{"eventType": "SomethingNewer", "id": 1}"#.to_vec()),
    ];
    for injected in injected {
        trial.world.publish_raw(std::slice::from_ref(&injected)).await?;
    }
    trial.judge_after(crowd).await
}

pub fn record(key: &str, kind: &str, payload: Vec<u8>) -> Record {
    Record {
        partition: -1,
        offset: 0,
        key: Some(key.as_bytes().to_vec()),
        headers: vec![(KIND.to_owned(), kind.as_bytes().to_vec())],
        payload: Some(payload),
    }
}

/// A rule that was made by mistake refuses every second reservation's bills and notices, until it is removed.
pub async fn redrive(trial: &mut Trial) -> Result<(), WorldError> {
    let spoilt = [(Node::Acceptance, "bill"), (Node::Notice, "notice")];
    for (node, table) in spoilt {
        forbid(trial, node, table).await?;
    }
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    trial.until_reserved(RESERVED_AT_LEAST).await;
    crowd.leave().await;
    for (node, _) in spoilt {
        let parked = until_parked(trial, node).await?;
        if parked == 0 {
            trial.violated(Invariant::I9, format!("{node} parked nothing of what its database refused"));
        }
    }
    for (node, table) in spoilt {
        permit(trial, node, table).await?;
        let kept = redrive_all(trial, node).await?;
        if kept > 0 {
            trial.violated(Invariant::I9, format!("{kept} messages stay parked at {node} without a cause"));
        }
    }
    trial.judge().await
}

async fn forbid(trial: &Trial, node: Node, table: &str) -> Result<(), WorldError> {
    let statements = match trial.world.database_server() {
        None => vec![format!(
            "CREATE TRIGGER mistake BEFORE INSERT ON {table} WHEN NEW.reservation_id % 2 = 0
             BEGIN SELECT RAISE(ABORT, 'by mistake'); END"
        )],
        Some(_) => vec![
            "CREATE FUNCTION mistake() RETURNS trigger AS
             'BEGIN IF NEW.reservation_id % 2 = 0 THEN RAISE EXCEPTION ''by mistake''; END IF; RETURN NEW; END'
             LANGUAGE plpgsql"
                .to_owned(),
            format!("CREATE TRIGGER mistake BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION mistake()"),
        ],
    };
    execute(trial, node, statements).await
}

async fn permit(trial: &Trial, node: Node, table: &str) -> Result<(), WorldError> {
    let statement = match trial.world.database_server() {
        None => "DROP TRIGGER mistake".to_owned(),
        Some(_) => format!("DROP TRIGGER mistake ON {table}"),
    };
    execute(trial, node, vec![statement]).await
}

async fn execute(trial: &Trial, node: Node, statements: Vec<String>) -> Result<(), WorldError> {
    let pool = writable(trial, node).await?;
    for statement in statements {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&pool).await?;
    }
    pool.close().await;
    Ok(())
}

async fn until_parked(trial: &Trial, node: Node) -> Result<i64, WorldError> {
    let started = Instant::now();
    loop {
        let pool = trial.world.database(node).await?;
        let (parked,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM dead_letter").fetch_one(&pool).await?;
        let lag = trial.world.lag(node).await?;
        if (parked > 0 && lag == 0) || started.elapsed() > PATIENCE {
            return Ok(parked);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Redrives until nothing is parked or nothing moves any more; what is left.
async fn redrive_all(trial: &Trial, node: Node) -> Result<u64, WorldError> {
    let admin = trial.world.token("admin").await?;
    let url = format!("{}/actuator/dead-letters/redrive", trial.process(node).url());
    loop {
        let answer = Client::new().post(&url).bearer_auth(&admin).send().await?.error_for_status()?;
        let outcome: Value = answer.json().await?;
        let processed = outcome["processed"].as_u64().unwrap_or_default();
        if processed == 0 {
            let kept = outcome["stillParked"].as_u64();
            return kept.ok_or_else(|| WorldError::failed(format!("a redrive does not say what it kept: {outcome}")));
        }
    }
}
