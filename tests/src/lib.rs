//! What tests of several crates share: the tree as text, and tiny models; the system tests themselves are in `tests/`.

pub mod samples;
pub mod tiny;
pub mod tree;
pub mod vocabularies;
