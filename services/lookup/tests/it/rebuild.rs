//! The view is built anew beside the one that is read and kept.

use std::sync::atomic::{AtomicBool, Ordering};

use chassis::events::{Message, dead_letter};
use chassis::testing::{databases, settings};
use chassis::{Db, config::Database};
use lookup::rebuild::{Build, RebuildError, Rebuilt};
use lookup::store;
use serde_json::json;

use crate::golden::original;
use crate::harness::{RESERVATION, View, reservation_event, sent, take_in};

/// What the broker would give: everything so far, and what has come when nobody may take anything in any more.
async fn rebuild(settings: &Database, first: &[Message], last: &[Message], check: bool) -> Rebuilt {
    let (live, shadow) = Db::attach_with_shadow(settings, store::MIGRATIONS).await.unwrap();
    let mut build = Build::begin(&shadow).await.unwrap();
    build.take_in(first).await.unwrap();
    let (last, dialect) = (last.to_vec(), live.dialect());
    let rebuilt: Result<Rebuilt, RebuildError> = live
        .write(move |tx| {
            Box::pin(async move {
                tx.hold_intake(dialect).await?;
                build.take_in(&last).await?;
                build.finish_in_tx(tx, check).await
            })
        })
        .await;
    live.remove_shadow(settings, shadow).await.unwrap();
    live.close().await;
    rebuilt.unwrap()
}

fn reserved(id: i64) -> Message {
    let event = reservation_event("ReservationReserved", id, "2020-05-01", "customer-1");
    // A partition of their own, so that their offsets are not those of the recorded ones.
    Message { partition: 9, ..sent(RESERVATION, id, 1, event) }
}

async fn fee(db: &Db, id: i64) -> Option<i64> {
    store::find(db, id).await.unwrap().unwrap().fee
}

#[tokio::test]
async fn a_view_that_is_right_stays_as_it_is_and_one_that_was_falsified_is_repaired() {
    for db in databases(store::MIGRATIONS).await {
        let mut messages = original();
        let poison = sent(RESERVATION, 51, 1, json!({"eventType": "Treated"}));
        messages.extend([Message { partition: 9, ..poison }, reserved(50)]);
        take_in(&db, &messages).await;
        let settings = settings(&db).await;
        let letters = dead_letter::list(&db, None, 0, 10).await.unwrap();

        let same = rebuild(&settings, &messages, &[], false).await;
        assert_eq!((same.rows, same.parked, same.differing), (18, 1, 0), "{same:?}");
        assert!(same.is_equal() && same.checksum_before == same.checksum_now, "{same:?}");
        assert_eq!(dead_letter::list(&db, None, 0, 10).await.unwrap(), letters);

        for falsify in [
            "UPDATE reservation_stats SET fee = 1 WHERE reservation_id = 50",
            "DELETE FROM reservation_history WHERE reservation_id = 2",
            "DELETE FROM reservation_stats WHERE reservation_id = 3",
        ] {
            sqlx::query(falsify).execute(db.reader()).await.unwrap();
        }
        let checked = rebuild(&settings, &messages, &[], true).await;
        assert!(!checked.is_equal() && checked.differing == 3, "{checked:?}");
        assert_eq!(fee(&db, 50).await, Some(1));

        let repaired = rebuild(&settings, &messages, &[], false).await;
        assert!(repaired.is_equal(), "{repaired:?}");
        assert_eq!(repaired.checksum_now, same.checksum_now);
        assert_eq!(fee(&db, 50).await, None);
        // What the group has yet to read is known already.
        take_in(&db, &messages).await;
        assert_eq!(rebuild(&settings, &messages, &[], true).await.checksum_now, same.checksum_now);
    }
}

#[tokio::test]
async fn what_is_taken_in_and_read_meanwhile_is_neither_lost_nor_refused() {
    for db in databases(store::MIGRATIONS).await {
        let messages: Vec<Message> = (1..=40).map(reserved).collect();
        take_in(&db, &messages[..20]).await;
        let (settings, view) = (settings(&db).await, View::on(db.clone()));
        let is_done = AtomicBool::new(false);
        let writing = async {
            for message in &messages[20..] {
                take_in(&db, std::slice::from_ref(message)).await;
            }
        };
        let reading = async {
            while !is_done.load(Ordering::Relaxed) {
                assert!(view.ids("?size=100").await.len() >= 20);
            }
        };
        let rebuilding = async {
            // It is ahead of the live view at the end, or behind it: the shadow has the whole topic either way.
            let rebuilt = rebuild(&settings, &messages[..30], &messages[30..], false).await;
            assert!(rebuilt.is_equal(), "{rebuilt:?}");
        };
        let done = async {
            tokio::join!(writing, rebuilding);
            is_done.store(true, Ordering::Relaxed);
        };
        tokio::join!(done, reading);
        let versions = async |id| store::find(&db, id).await.unwrap().unwrap().version;
        for id in 1..=40 {
            assert_eq!(versions(id).await, 1, "reservation {id}");
        }
        assert_eq!(store::count_all(&db).await.unwrap(), 40);
    }
}

#[tokio::test]
async fn a_rebuild_that_was_broken_off_leaves_the_view_and_does_not_keep_the_next_from_its_work() {
    for db in databases(store::MIGRATIONS).await {
        let messages: Vec<Message> = (1..=3).map(reserved).collect();
        take_in(&db, &messages).await;
        let settings = settings(&db).await;
        let (live, shadow) = Db::attach_with_shadow(&settings, store::MIGRATIONS).await.unwrap();
        Build::begin(&shadow).await.unwrap().take_in(&messages[..1]).await.unwrap();
        shadow.close().await;
        drop((live, shadow));

        assert_eq!(store::count_all(&db).await.unwrap(), 3);
        let rebuilt = rebuild(&settings, &messages, &[], false).await;
        assert!(rebuilt.is_equal() && rebuilt.differing == 0, "{rebuilt:?}");
    }
}

#[tokio::test]
async fn what_was_discarded_stays_discarded_and_what_waited_behind_it_goes_on() {
    for db in databases(store::MIGRATIONS).await {
        let poison = Message { partition: 9, ..sent(RESERVATION, 7, 1, json!({"eventType": "Treated"})) };
        let event = reservation_event("ReservationReserved", 7, "2020-05-01", "customer-1");
        let after = Message { partition: 9, ..sent(RESERVATION, 7, 2, event) };
        take_in(&db, std::slice::from_ref(&poison)).await;
        let id = dead_letter::list(&db, None, 0, 10).await.unwrap()[0].id;
        dead_letter::discard(&db, id, "a test").await.unwrap();
        take_in(&db, std::slice::from_ref(&after)).await;

        let rebuilt = rebuild(&settings(&db).await, &[poison, after], &[], false).await;
        assert_eq!((rebuilt.rows, rebuilt.parked, rebuilt.differing), (1, 0, 0), "{rebuilt:?}");
    }
}
