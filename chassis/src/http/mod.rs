//! HTTP as every service speaks it: problem details, extractors, HAL, conditional and idempotent requests,
//! the server and its outermost layer.

pub mod actuator;
pub mod admission;
mod connections;
pub mod docs;
pub mod edge;
pub mod extract;
pub mod hal;
pub mod idempotency;
pub mod operator;
pub mod problem;
pub mod server;
pub mod trace;
