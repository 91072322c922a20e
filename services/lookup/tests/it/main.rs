//! The view from outside: events go in by the consumer's own path, answers come out of the real router.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod api;
mod fold;
mod golden;
mod harness;
mod ledger;
mod rebuild;
mod view;
