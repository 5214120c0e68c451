//! The decoder, the engine and checkpoints, over tiny models with random weights that need no download.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agreement;
mod bare;
mod chat;
mod damage;
mod engines;
mod files;
mod model;
mod passes;
mod prefixes;
mod prompts;
mod reference;
mod sessions;
mod trees;
mod turns;
