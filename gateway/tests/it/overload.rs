//! More requests than a service can have at once.

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use tokio::sync::{Notify, mpsc};

use crate::gateway::{Answer, Gateway, Wire, mirror, serve};

/// A gateway whose one service answers when it is let go, with as many requests under way as it may have.
struct Busy {
    gateway: Gateway,
    go_on: Arc<Notify>,
    under_way: Wire,
    _tells: mpsc::UnboundedReceiver<()>,
}

async fn busy(settings: &[(&str, &str)]) -> Busy {
    let (told, mut tells) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let waits = go_on.clone();
    let answer = async move || {
        told.send(()).unwrap();
        waits.notified().await;
        "done"
    };
    let (upstream, _) = serve(Router::new().fallback(any(answer))).await;
    let gateway = Gateway::with(upstream, settings).await;
    let mut under_way = gateway.connect().await;
    let token = gateway.token_of("anna");
    under_way.write(&format!("GET /reservations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
    tells.recv().await.unwrap();
    Busy { gateway, go_on, under_way, _tells: tells }
}

fn is_refused_at_once(answer: &Answer) -> bool {
    let is_told_when = answer.header("retry-after").is_some();
    (answer.status, answer.problem().as_str(), is_told_when) == (503, "overloaded", true)
}

#[tokio::test]
async fn one_request_too_many_is_refused_before_its_token_is_looked_at() {
    let mut busy = busy(&[("proxy.max_in_flight", "1")]).await;
    assert!(is_refused_at_once(&busy.gateway.get("/reservations").await));
    let forged = busy.gateway.ask("POST /open", &["Authorization: Bearer forged"], "{}").await;
    assert!(is_refused_at_once(&forged), "the limit is the service's, over all routes that lead to it");

    busy.go_on.notify_one();
    assert_eq!(busy.under_way.answer(false).await.body, "done");
    busy.go_on.notify_one();
    assert_eq!(busy.gateway.get("/reservations").await.status, 200, "its place is free again");
}

#[tokio::test]
async fn a_busy_service_takes_nothing_from_the_others() {
    let other = format!("http://{}", mirror().await);
    let busy = busy(&[("proxy.max_in_flight", "1"), ("upstreams.notice", &other)]).await;
    assert!(is_refused_at_once(&busy.gateway.get("/reservations").await));
    assert_eq!(busy.gateway.get("/notices").await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let busy = busy(&[("proxy.max_in_flight", "1")]).await;
    drop(busy.under_way);
    // The gateway notices it when it notices it.
    while is_refused(&busy.gateway).await {
        tokio::task::yield_now().await;
    }
}

/// Asks with a connection that is given up as soon as it is let in.
async fn is_refused(gateway: &Gateway) -> bool {
    let answer = tokio::time::timeout(std::time::Duration::from_millis(100), gateway.get("/reservations")).await;
    answer.is_ok_and(|answer| is_refused_at_once(&answer))
}

#[tokio::test]
async fn the_gateways_own_limit_spares_its_probes() {
    let busy = busy(&[("http.max_in_flight", "1")]).await;
    assert!(is_refused_at_once(&busy.gateway.get("/notices").await));
    for path in ["/actuator/health/liveness", "/actuator/health/readiness", "/metrics"] {
        assert_eq!(busy.gateway.get(path).await.status, 200, "{path}");
    }
}
