#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod client;
mod consumer;
mod db;
mod dead_letters;
mod lifecycle;
mod metrics;
mod outbox;
mod overload;
mod postgres;
mod service;
mod tokens;
