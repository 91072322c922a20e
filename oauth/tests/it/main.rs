//! The authorization server through its real router, on both databases, and its commands through the binary.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod clients;
mod commands;
mod discovery;
mod keys;
mod passwords;
mod refresh;
mod support;
mod users_file;
