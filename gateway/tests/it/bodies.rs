//! How much may be sent, in which form, and by clients that do it badly.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

use crate::gateway::{Gateway, raw, serve};

const LIMIT: usize = 64 * 1024;

async fn counting() -> std::net::SocketAddr {
    let count = async |body: Body| match body.collect().await {
        Ok(body) => body.to_bytes().len().to_string(),
        Err(_) => "broken".to_owned(),
    };
    serve(Router::new().fallback(any(count))).await.0
}

fn chunked(length: usize) -> String {
    let mut text = String::new();
    for start in (0..length).step_by(1000) {
        let size = 1000.min(length - start);
        text += &format!("{size:x}\r\n{}\r\n", "x".repeat(size));
    }
    text + "0\r\n\r\n"
}

#[tokio::test]
async fn a_body_of_just_the_limit_passes_whole_and_chunked() {
    let gateway = Gateway::before(counting().await).await;
    let whole = gateway.ask("POST /reservations", &[], &"x".repeat(LIMIT)).await;
    assert_eq!((whole.status, whole.body.as_str()), (200, "65536"));
    let chunks = gateway.ask("POST /reservations", &["Transfer-Encoding: chunked"], &chunked(LIMIT)).await;
    assert_eq!((chunks.status, chunks.body.as_str()), (200, "65536"));
}

#[tokio::test]
async fn one_byte_more_is_refused_by_its_length_before_the_service_hears_of_it() {
    let (upstream, connections) = raw(|_, _| async {}).await;
    let gateway = Gateway::before(upstream).await;
    for length in [LIMIT + 1, 500_000] {
        let answer = gateway.ask("POST /reservations", &[], &"x".repeat(length)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (413, "body-too-large"));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn one_byte_more_in_chunks_is_refused_on_the_way() {
    let gateway = Gateway::before(counting().await).await;
    for length in [LIMIT + 1, 500_000] {
        let answer = gateway.ask("POST /reservations", &["Transfer-Encoding: chunked"], &chunked(length)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (413, "body-too-large"), "{length}");
    }
}

#[tokio::test]
async fn who_asks_first_is_refused_before_sending_or_told_to_go_on() {
    let gateway = Gateway::before(counting().await).await;
    let too_large = ["Content-Length: 70000", "Expect: 100-continue"];
    assert_eq!(gateway.ask("POST /reservations", &too_large, "").await.status, 413);

    let mut wire = gateway.connect().await;
    let token = gateway.token_of("anna");
    let head = "Content-Length: 2\r\nExpect: 100-continue";
    wire.write(&format!("POST /reservations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{head}\r\n\r\n"))
        .await;
    assert_eq!(wire.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    wire.write("ok").await;
    assert_eq!(wire.answer(false).await.body, "2");
}

#[tokio::test]
async fn a_length_beside_chunks_cannot_smuggle_a_second_request() {
    let (upstream, _) = raw(|_, mut wire| async move {
        let head = wire.head().await.to_ascii_lowercase();
        wire.read_to("0\r\n\r\n").await;
        let is_clear = head.contains("transfer-encoding: chunked") && !head.contains("content-length");
        let body = if is_clear { "clear" } else { "mixed" };
        wire.write(&format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}")).await;
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    let head = ["Content-Length: 4", "Transfer-Encoding: chunked", "Connection: close"];
    let answer = gateway.ask("POST /reservations", &head, "2\r\nok\r\n0\r\n\r\n").await;
    assert!(answer.status == 400 || answer.body == "clear", "{answer:?}");
}

#[tokio::test]
async fn a_coding_that_only_this_hop_could_undo_is_refused() {
    let gateway = Gateway::before(counting().await).await;
    let answer = gateway.ask("POST /reservations", &["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n").await;
    assert_eq!((answer.status, answer.problem().as_str()), (501, "transfer-coding"));
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_the_clients_fault() {
    let gateway = Gateway::before(counting().await).await;
    let answer = gateway.ask("POST /impatient", &["Content-Length: 10"], "half").await;
    assert_eq!((answer.status, answer.problem().as_str()), (408, "request-timeout"));
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_at_the_service_too() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let (upstream, _) = raw(move |_, mut wire| {
        let told = told.clone();
        async move {
            wire.read_to("half").await;
            told.send("begun").unwrap();
            assert!(wire.has_ended().await);
            told.send("ended").unwrap();
        }
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    let mut wire = gateway.connect().await;
    let token = gateway.token_of("anna");
    let head = format!(
        "POST /reservations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 10\r\n\r\n"
    );
    wire.write(&format!("{head}half")).await;
    assert_eq!(tells.recv().await, Some("begun"));
    wire.stream.shutdown().await.unwrap();
    assert_eq!(tells.recv().await, Some("ended"));
}

#[tokio::test]
async fn a_client_that_closes_its_half_is_taken_for_gone_and_blocks_nobody() {
    let gateway = Gateway::before(counting().await).await;
    let mut in_the_head = gateway.connect().await;
    in_the_head.write("GET /reservations HTTP/1.1\r\nHost: a").await;
    in_the_head.stream.shutdown().await.unwrap();
    assert!(in_the_head.has_ended().await);
    assert_eq!(gateway.get("/reservations").await.status, 200);
}
