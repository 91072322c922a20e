//! The fault campaign: the real fleet with every link behind a proxy and every process at hand, clients that log
//! what they were told, and a checker that compares it with what is there afterwards.

pub mod checker;
pub mod evidence;
pub mod history;
pub mod world;
