//! The power fails in mid-load: what was acknowledged is there afterwards, once.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use journeys::{Fleet, Hospital, eventually, jackson};
use reqwest::Method;

const CLIENTS: usize = 16;
/// Acknowledged before the lights go out.
const ENOUGH: usize = 300;

/// What one client was promised, and the keys of requests that got no answer.
#[derive(Default)]
struct History {
    reserved: Vec<(String, i64)>,
    unanswered: Vec<String>,
}

async fn reserve_until(customer: Hospital, client: usize, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) -> History {
    let mut history = History::default();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("client-{client}-{n}");
        let answer = customer.try_send(Method::POST, "/reservations", Some(&jackson()), Some(&key)).await;
        match answer.filter(|answer| answer.status == 201).and_then(|answer| answer.body["id"].as_i64()) {
            Some(id) => {
                history.reserved.push((key, id));
                count.fetch_add(1, Ordering::Relaxed);
            }
            None => history.unanswered.push(key),
        }
    }
    history
}

#[tokio::test]
async fn after_kill_9_of_everything_nothing_acknowledged_is_missing_or_doubled() {
    let mut fleet = Fleet::start(&[]).await;
    let customer = fleet.as_role("customer");
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(reserve_until(customer.clone(), client, stop.clone(), count.clone())))
        .collect();
    eventually("there is load", async || (count.load(Ordering::Relaxed) >= ENOUGH).then_some(())).await;
    fleet.kill();
    stop.store(true, Ordering::Relaxed);
    let histories: Vec<History> = join_all(clients).await.into_iter().map(Result::unwrap).collect();
    fleet.start_again().await;

    // Requests without an answer are repeated with their key, as a client would.
    let customer = fleet.as_role("customer");
    let mut promised: BTreeSet<i64> = BTreeSet::new();
    for history in histories {
        for (key, id) in history.reserved {
            assert!(promised.insert(id), "{id} was given out twice");
            let again = customer.try_send(Method::POST, "/reservations", Some(&jackson()), Some(&key)).await.unwrap();
            assert_eq!((again.status.as_u16(), again.body["id"].as_i64()), (201, Some(id)), "{key}");
        }
        for key in history.unanswered {
            let id = eventually("a repeated request is answered", async || {
                let answer = customer.try_send(Method::POST, "/reservations", Some(&jackson()), Some(&key)).await?;
                answer.body["id"].as_i64().filter(|_| answer.status == 201)
            })
            .await;
            assert!(promised.insert(id), "{id} was given out twice");
        }
    }
    assert!(promised.len() >= ENOUGH);
    equal_everywhere(&customer, &promised).await;
}

/// Every reservation has one record, one bill, and one row of lookup, and there is nothing besides.
async fn equal_everywhere(customer: &Hospital, promised: &BTreeSet<i64>) {
    let ids = |items: Vec<serde_json::Value>, field: &str| -> Vec<i64> {
        let mut ids: Vec<i64> = items.iter().map(|item| item[field].as_i64().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    let expected: Vec<i64> = promised.iter().copied().collect();
    assert_eq!(ids(customer.all("reservations", "").await, "id"), expected);
    assert_eq!(ids(customer.all("medicalRecords", "").await, "reservationId"), expected);
    eventually("every treatment has its bill", async || {
        (customer.all("financialManagements", "").await.len() >= expected.len()).then_some(())
    })
    .await;
    assert_eq!(ids(customer.all("financialManagements", "").await, "reservationId"), expected);
    eventually("lookup shows every bill", async || {
        let rows = customer.all("reservationStats", "label=수납 대기").await;
        (rows.len() >= expected.len()).then_some(())
    })
    .await;
    assert_eq!(ids(customer.all("reservationStats", "").await, "id"), expected);
    eventually("each is told three times", async || {
        (customer.all("notices", "").await.len() >= 3 * expected.len()).then_some(())
    })
    .await;
    assert_eq!(customer.all("notices", "").await.len(), 3 * expected.len());
}
