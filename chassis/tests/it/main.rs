#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod client;
mod consumer;
mod db;
mod lifecycle;
mod metrics;
mod service;
mod tokens;
