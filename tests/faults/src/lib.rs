//! The fault campaign: the real fleet with every link behind a proxy and every process at hand, clients that log
//! what they were told, and a checker that compares it with what is there afterwards.

pub mod campaign;
pub mod cases;
pub mod checker;
pub mod cli;
pub mod clients;
pub mod collect;
pub mod evidence;
pub mod history;
pub mod plant;
pub mod points;
pub mod report;
pub mod trial;
mod undecided;
pub mod world;
