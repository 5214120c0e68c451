//! What tests of several crates share; the system tests themselves are in `tests/`.

pub mod tree;
