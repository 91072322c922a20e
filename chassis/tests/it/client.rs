//! Calls to another service: what is known after one, and how much trouble it may make.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use chassis::Secret;
use chassis::client::{CallError, Client, ClientSettings, Credentials, CredentialsSettings, NOT_DONE_HEADER};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

/// Answers with these statuses one after another, then with the last for ever; 0 is no answer at all.
async fn server(statuses: &'static [u16]) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let router = Router::new().fallback(async move |headers: HeaderMap| {
        assert!(headers.contains_key("x-request-timeout-ms"));
        let call = counted.fetch_add(1, Ordering::SeqCst) as usize;
        match statuses[call.min(statuses.len() - 1)] {
            0 => std::future::pending().await,
            302 => (StatusCode::FOUND, [("location", "/login")]).into_response(),
            503 => (StatusCode::SERVICE_UNAVAILABLE, [(NOT_DONE_HEADER, "1")]).into_response(),
            status => StatusCode::from_u16(status).unwrap().into_response(),
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, calls)
}

fn client(url: &str, max_concurrency: usize) -> Client {
    let settings = ClientSettings {
        url: url.to_owned(),
        try_timeout: Duration::from_millis(200),
        total_timeout: Duration::from_millis(600),
        max_concurrency,
    };
    Client::new("test", settings, None).unwrap()
}

async fn call(client: &Client) -> Result<u16, CallError> {
    client.send_idempotent(Method::POST, "/", &json!({})).await.map(|answer| answer.status.as_u16())
}

fn is_unknown(outcome: &Result<u16, CallError>) -> bool {
    matches!(outcome, Err(CallError::Unknown(_)))
}

fn is_not_done(outcome: &Result<u16, CallError>) -> bool {
    matches!(outcome, Err(CallError::NotDone(_)))
}

#[tokio::test]
async fn an_answer_is_an_answer_also_if_it_is_a_refusal() {
    let (url, calls) = server(&[409]).await;
    assert_eq!(call(&client(&url, 10)).await, Ok(409));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failure_is_tried_again_and_a_later_success_counts() {
    let (url, calls) = server(&[500, 201]).await;
    assert_eq!(call(&client(&url, 10)).await, Ok(201));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn silence_is_an_unknown_outcome_also_if_the_last_try_was_refused() {
    let (url, _) = server(&[0]).await;
    assert!(is_unknown(&call(&client(&url, 10)).await));
    let (url, _) = server(&[500, 503]).await;
    assert!(is_unknown(&call(&client(&url, 10)).await), "the first try may have been heard");
}

#[tokio::test]
async fn a_refused_connection_and_an_honest_503_are_certainly_not_done() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    assert!(is_not_done(&call(&client(&url, 10)).await));
    let (url, _) = server(&[503]).await;
    assert!(is_not_done(&call(&client(&url, 10)).await));
}

#[tokio::test]
async fn beyond_its_limit_calls_are_shed_at_once() {
    let (url, calls) = server(&[0]).await;
    let client = client(&url, 1);
    let (first, second) = tokio::join!(call(&client), call(&client));
    assert!(is_unknown(&first) && is_not_done(&second));
    assert!(calls.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn a_sick_server_is_soon_left_alone_and_retries_stay_a_fraction() {
    let (url, calls) = server(&[500]).await;
    let client = client(&url, 10);
    for _ in 0..100 {
        call(&client).await.unwrap_err();
    }
    let calls = calls.load(Ordering::SeqCst);
    assert!(calls <= 30, "{calls} calls reached a server that answered none");
    assert!(is_not_done(&call(&client).await), "the breaker is open");
}

#[tokio::test]
async fn an_answer_after_a_silence_says_so() {
    for (statuses, follows) in [(&[500, 401][..], true), (&[503, 401], false), (&[401], false)] {
        let (url, _) = server(statuses).await;
        let answer = client(&url, 10).send_idempotent(Method::POST, "/", &json!({})).await.unwrap();
        assert_eq!((answer.status, answer.follows_silence), (StatusCode::UNAUTHORIZED, follows), "{statuses:?}");
    }
}

#[tokio::test]
async fn being_sent_elsewhere_is_no_success() {
    let (url, calls) = server(&[302, 200]).await;
    assert_eq!(call(&client(&url, 10)).await, Ok(302));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn calls_that_wait_for_the_same_token_ask_for_it_once() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let token_url = format!("http://{}/oauth/token", listener.local_addr().unwrap());
    let router = Router::new().fallback(async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        StatusCode::INTERNAL_SERVER_ERROR
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let settings = CredentialsSettings { token_url, client_id: "test".to_owned(), client_secret: Secret::new("test") };
    let credentials = Credentials::new(settings).unwrap();
    let calls = (0..20).map(|_| credentials.token());
    assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_err));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "each would wait for all before it");
}
