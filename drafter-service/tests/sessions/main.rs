//! The service over a real port and a tiny model: what a verifier sees of it.

mod alternatives;
mod chances;
mod drafter;
mod drawing;
mod endings;
mod lookups;
mod observing;
mod proposing;
mod refusals;
mod verdicts;
