//! The words that cross a service border: events, requests, roles. No behaviour.

pub mod events;
pub mod ledger;
pub mod roles;
pub mod visits;

pub use events::Event;
