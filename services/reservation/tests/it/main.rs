#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod access;
mod app;
mod bad_input;
mod cancel;
mod change;
mod events;
mod idempotency;
mod ledger;
mod overload;
mod reserve;
mod stand_in;
mod unanswered;
