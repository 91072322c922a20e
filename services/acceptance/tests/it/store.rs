//! Rules of the database itself, on both kinds.

use acceptance::domain::NewBill;
use acceptance::store::{self, Which};
use chassis::testing::databases;
use chassis::{Db, DbError};

fn new_bill() -> NewBill {
    NewBill { reservation_id: 1, customer_id: None, treatment: None, fee: 10000 }
}

async fn insert(db: &Db) -> bool {
    db.write(|tx| Box::pin(async move { Ok::<_, DbError>(store::insert_in_tx(tx, &new_bill(), 5).await?.is_some()) }))
        .await
        .unwrap()
}

async fn forbid(db: &Db) -> bool {
    db.write(|tx| Box::pin(store::forbid_in_tx(tx, 1, 6))).await.unwrap()
}

#[tokio::test]
async fn of_many_bills_for_one_treatment_at_once_one_is_made() {
    for db in databases(store::MIGRATIONS).await {
        let mut billing = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let db = db.clone();
            billing.spawn(async move { insert(&db).await });
        }
        assert_eq!(billing.join_all().await.into_iter().filter(|made| *made).count(), 1);
    }
}

#[tokio::test]
async fn of_a_bill_and_a_cancellation_at_once_the_first_decides() {
    for db in databases(store::MIGRATIONS).await {
        let (billed, forbidden) = tokio::join!(insert(&db), forbid(&db));
        assert!(billed != forbidden);
        assert_eq!(store::find(&db, 1).await.unwrap().is_some(), billed);
    }
}

#[tokio::test]
async fn what_is_written_is_read_again() {
    for db in databases(store::MIGRATIONS).await {
        insert(&db).await;
        let written = db
            .write(|tx| {
                Box::pin(async move {
                    let mut bill = store::lock_in_tx(tx, Which::Reservation(1)).await?.unwrap();
                    bill.pay(Some("cash".to_owned()), 7).unwrap();
                    store::update_in_tx(tx, &bill).await?;
                    Ok::<_, DbError>(bill)
                })
            })
            .await
            .unwrap();
        assert_eq!(store::find(&db, written.id).await.unwrap(), Some(written));
    }
}
