//! The system as its users meet it: real models, real processes, text that arrives over real connections.
//!
//! Most tests share one drafter and one verifier, because starting them takes longer than asking them. A test that kills, stops
//! or misconfigures a process starts its own. Nothing sleeps and no port is fixed: processes say in their logs where they
//! listen, and what has to happen is waited for by what they report.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod binaries;
mod collector;
mod exposition;
mod pair;
mod process;
mod prompts;

mod bench;
mod chat;
mod checks;
mod command_line;
mod drain;
mod lookups;
mod loss;
mod lossless;
mod methods;
mod metrics;
mod scale;
mod starts;
mod traces;
