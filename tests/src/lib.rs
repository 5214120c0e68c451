//! Things that tests of several crates share: the tree as text, tiny models, real tokenizers and texts for them;
//! the system tests themselves are in `tests/`.

pub mod dice;
pub mod imports;
pub mod samples;
pub mod tiny;
pub mod tree;
pub mod vocabularies;
