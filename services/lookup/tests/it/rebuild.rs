//! The view after a rebuild is the view before it.

use chassis::Db;
use chassis::testing::databases;
use lookup::domain::{HistoryEntry, STATES, Stats};
use lookup::{rebuild, store};
use serde_json::json;

use crate::golden::original;
use crate::harness::{RESERVATION, View, reservation_event, sent, take_in};

async fn contents(db: &Db) -> (Vec<Stats>, Vec<HistoryEntry>, Vec<i64>) {
    let ids: Vec<i64> = (1..=60).collect();
    let mut rows = Vec::new();
    for id in &ids {
        rows.extend(store::find(db, *id).await.unwrap());
    }
    let mut counts = vec![store::count_all(db).await.unwrap()];
    for state in STATES {
        counts.push(store::count_of(db, Some(state)).await.unwrap());
    }
    (rows, store::histories(db, &ids).await.unwrap(), counts)
}

#[tokio::test]
async fn folding_everything_again_gives_the_view_that_was() {
    for db in databases(store::MIGRATIONS).await {
        let mut messages = original();
        let reserved = reservation_event("ReservationReserved", 50, "2020-05-01", "customer-1");
        let mut poison = sent(RESERVATION, 51, 1, json!({"eventType": "Treated"}));
        // A partition of their own, so that their offsets are not those of the recorded ones.
        let mut reserved = sent(RESERVATION, 50, 1, reserved);
        (poison.partition, reserved.partition) = (9, 9);
        messages.extend([poison, reserved]);
        take_in(&db, &messages).await;
        let before = contents(&db).await;
        assert_eq!(before.0.len(), 18);

        store::empty(&db, 0).await.unwrap();
        assert_eq!(contents(&db).await, (Vec::new(), Vec::new(), vec![0; 8]));
        take_in(&db, &messages).await;
        store::finish_rebuild(&db).await.unwrap();
        assert_eq!(contents(&db).await, before);
        assert_eq!(chassis::events::dead_letter::list(&db, None, 0, 1000).await.unwrap().len(), 1);

        // What the group has yet to read is known already.
        take_in(&db, &messages).await;
        assert_eq!(contents(&db).await, before);
    }
}

#[tokio::test]
async fn a_view_that_is_half_rebuilt_is_not_served() {
    for db in databases(store::MIGRATIONS).await {
        rebuild::refuse_half_built(&db).await.unwrap();
        store::empty(&db, 0).await.unwrap();
        let refusal = rebuild::refuse_half_built(&db).await.unwrap_err().to_string();
        assert!(refusal.contains("lookup rebuild"), "{refusal}");
        // A second try begins anew and ends well.
        store::empty(&db, 0).await.unwrap();
        store::finish_rebuild(&db).await.unwrap();
        rebuild::refuse_half_built(&db).await.unwrap();
    }
}

#[tokio::test]
async fn a_rebuild_asks_the_broker_before_it_empties_anything() {
    let folder = std::env::temp_dir().join(format!("lookup-rebuild-{}", std::process::id()));
    let url = format!("sqlite:{}/lookup.db", folder.display());
    let config = || lookup::Config {
        database: chassis::config::Database { url: chassis::Secret::new(url.clone()), max_connections: 1 },
        kafka: chassis::config::Kafka {
            // Nobody listens there.
            brokers: "127.0.0.1:1".to_owned(),
            topic: "events".to_owned(),
            partitions: 1,
            replication: 1,
            group: "lookup".to_owned(),
        },
    };
    let db = Db::open(&config().database, store::MIGRATIONS).await.unwrap();
    let view = View::on(db.clone());
    view.visit(1, "2020-05-01", "customer-1").await;

    let in_use = rebuild::rebuild(config(), false).await.unwrap_err().to_string();
    assert!(in_use.contains("another process has this database"), "{in_use}");
    db.close().await;
    drop((view, db));

    let unreachable = rebuild::rebuild(config(), false).await.unwrap_err().to_string();
    assert!(unreachable.contains("broker"), "{unreachable}");
    let db = Db::open(&config().database, store::MIGRATIONS).await.unwrap();
    assert_eq!(store::count_all(&db).await.unwrap(), 1);
    rebuild::refuse_half_built(&db).await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}
