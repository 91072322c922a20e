#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod delivering;
mod harness;
mod ledger;
mod noting;
mod reading;
mod settings;
mod stand_in;
mod store;
