//! Aligning and accepting across tokenizers: the pure algorithms of Duet.
//!
//! A draft model and a target model with different vocabularies decode one text together. This
//! crate holds what is neither network nor tensor: re-encoding draft bytes as target tokens ([`reencode`],
//! and [`candidate_tree`] with alternatives), aligning the two lists of tokens ([`spans`], [`dtw`], one
//! result type in [`aligned`]), accepting candidates ([`acceptance`], over the shared randomness of
//! [`noise`]), and adding the decisions of a round up to a verdict ([`round`]).
//!
//! Everything is deterministic: no clock, no input or output, no ambient randomness, and nothing
//! beyond `std`.

pub mod acceptance;
pub mod aligned;
pub mod candidate_tree;
pub mod dtw;
pub mod noise;
pub mod reencode;
pub mod round;
pub mod spans;
mod token;
mod vocabulary;

pub use token::{DraftToken, TargetToken};
pub use vocabulary::Vocabulary;
