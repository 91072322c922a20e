#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod accept;
mod access;
mod app;
mod bad_input;
mod capacity;
mod change;
mod events;
mod original;
mod overload;
mod records;
mod settings;
