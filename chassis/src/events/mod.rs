//! Domain events between services: the outbox and its relay on the way out, the consumer with inbox and
//! dead letters on the way in, over the Kafka protocol, as CloudEvents in binary mode.

mod bearer;
pub mod consumer;
pub mod dead_letter;
pub mod inbox;
mod kafka;
mod lag;
mod lease;
pub mod message;
pub mod outbox;
mod producer;
pub mod relay;
pub mod replay;
pub mod security;

pub use consumer::Handler;
pub use message::{HandlerError, Message};
