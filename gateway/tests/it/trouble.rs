//! Services that are away, slow or break off, and clients that leave.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use tokio::net::TcpListener;

use crate::gateway::{Gateway, free_address, raw, serve};

#[tokio::test]
async fn a_service_that_is_away_is_a_503_and_back_it_works_at_once() {
    let address = free_address().await;
    let gateway = Gateway::before(address).await;
    for line in ["GET /reservations", "POST /reservations"] {
        let answer = gateway.ask(line, &[], "").await;
        assert_eq!((answer.status, answer.problem().as_str()), (503, "upstream-unavailable"));
        assert!(answer.header("retry-after").is_some());
        assert!(
            answer.body.contains("reservation") && !answer.body.contains(&address.port().to_string()),
            "{}",
            answer.body
        );
    }
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any("back"))).await });
    assert_eq!(gateway.ask("POST /reservations", &[], "{}").await.body, "back");
}

#[tokio::test]
async fn one_service_away_is_no_matter_to_the_others() {
    let (upstream, _) = serve(Router::new().fallback(any("well"))).await;
    let gateway = Gateway::before(upstream).await;
    assert_eq!(gateway.get("/notices").await.status, 503);
    assert_eq!(gateway.get("/reservations").await.status, 200);
}

#[tokio::test]
async fn a_request_that_changes_nothing_is_tried_once_more_and_no_other() {
    for (line, body, tries) in [
        ("GET /reservations", "", 2),
        ("HEAD /reservations", "", 2),
        ("OPTIONS /reservations", "", 2),
        ("GET /reservations", "a body", 1),
        ("POST /reservations", "{}", 1),
        ("POST /reservations", "", 1),
        ("PUT /reservations/1", "{}", 1),
        ("PATCH /reservations/1", "{}", 1),
        ("DELETE /reservations/1", "", 1),
    ] {
        let (upstream, connections) = raw(|_, mut wire| async move {
            wire.head().await;
        })
        .await;
        let gateway = Gateway::before(upstream).await;
        let answer = gateway.ask(line, &[], body).await;
        assert_eq!(answer.status, 502, "{line}");
        assert_eq!(connections.load(Ordering::Relaxed), tries, "{line} {body}");
        if !line.starts_with("HEAD") {
            assert_eq!(answer.problem(), "upstream-failed");
            let is_in_doubt = answer.body.contains("may or may not");
            assert_eq!(is_in_doubt, !line.starts_with("GET") && !line.starts_with("OPTIONS"), "{line}");
        }
    }
}

#[tokio::test]
async fn the_second_try_may_succeed() {
    let (upstream, connections) = raw(|number, mut wire| async move {
        wire.head().await;
        if number > 0 {
            wire.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell").await;
        }
    })
    .await;
    let answer = Gateway::before(upstream).await.get("/reservations").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "well"));
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_service_that_is_slow_is_a_504_and_asked_only_once() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let (upstream, connections) = raw(move |_, mut wire| {
        let told = told.clone();
        async move {
            wire.head().await;
            assert!(wire.has_ended().await, "it is told that nobody waits any more");
            told.send(()).unwrap();
        }
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    for line in ["GET /impatient", "DELETE /impatient"] {
        let answer = gateway.ask(line, &[], "").await;
        assert_eq!((answer.status, answer.problem().as_str()), (504, "upstream-timeout"));
        assert_eq!(answer.body.contains("may or may not"), line.starts_with("DELETE"));
        tells.recv().await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_answer_that_has_begun_may_take_longer_than_the_timeout() {
    let (go_on, gone_on) = tokio::sync::oneshot::channel::<()>();
    let gone_on = std::sync::Arc::new(std::sync::Mutex::new(Some(gone_on)));
    let (upstream, _) = raw(move |_, mut wire| {
        let gone_on = gone_on.lock().unwrap().take();
        async move {
            wire.head().await;
            wire.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none").await;
            gone_on.unwrap().await.unwrap();
            wire.write("two").await;
        }
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    let mut wire = gateway.connect().await;
    let token = gateway.token_of("anna");
    wire.write(&format!("GET /impatient HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
    wire.read_to("one").await;
    // Another request runs into the timeout meanwhile, so it has passed for this one.
    let (slow, _) = raw(|_, mut wire| async move {
        wire.head().await;
        wire.has_ended().await;
    })
    .await;
    assert_eq!(Gateway::before(slow).await.get("/impatient").await.status, 504);
    go_on.send(()).unwrap();
    assert_eq!(wire.read_to("two").await, "two");
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client_too() {
    for head in ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let (upstream, connections) = raw(move |_, mut wire| async move {
            wire.head().await;
            wire.write(&format!("HTTP/1.1 200 OK\r\n{head}")).await;
        })
        .await;
        let gateway = Gateway::before(upstream).await;
        let mut wire = gateway.connect().await;
        let token = gateway.token_of("anna");
        wire.write(&format!("GET /reservations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
        wire.read_to("half").await;
        let rest = wire.rest().await;
        assert!(!rest.contains("0\r\n"), "{rest:?} would look like a whole answer");
        assert_eq!(connections.load(Ordering::Relaxed), 1, "and it is not tried again");
    }
}

#[tokio::test]
async fn a_service_that_talks_nonsense_is_a_502() {
    for nonsense in
        ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"]
    {
        let (upstream, _) = raw(move |_, mut wire| async move {
            wire.head().await;
            wire.write(nonsense).await;
        })
        .await;
        let answer = Gateway::before(upstream).await.ask("POST /reservations", &[], "{}").await;
        assert_eq!((answer.status, answer.problem().as_str()), (502, "upstream-failed"), "{nonsense}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let (upstream, _) = raw(move |_, mut wire| {
        let told = told.clone();
        async move {
            wire.read_to("{}").await;
            told.send("asked").unwrap();
            assert!(wire.has_ended().await);
            told.send("left").unwrap();
        }
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    let mut wire = gateway.connect().await;
    let token = gateway.token_of("anna");
    let head =
        format!("POST /reservations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 2\r\n\r\n");
    wire.write(&format!("{head}{{}}")).await;
    assert_eq!(tells.recv().await, Some("asked"));
    drop(wire);
    assert_eq!(tells.recv().await, Some("left"));
}

#[tokio::test]
async fn many_clients_at_once_are_all_served() {
    let (upstream, _) = serve(Router::new().fallback(any(async |body: Body| Body::new(body)))).await;
    let gateway = Gateway::before(upstream).await;
    let asked = (0..200).map(|number| {
        let body = format!("body {number}");
        let gateway = &gateway;
        async move { (gateway.ask("POST /reservations", &[], &body).await.body, body) }
    });
    for (answered, sent) in futures_util::future::join_all(asked).await {
        assert_eq!(answered, sent);
    }
}
