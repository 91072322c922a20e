#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod bad_input;
mod billing;
mod harness;
mod paying;
mod reading;
mod settings;
mod store;
