//! Token ids of the two vocabularies. They are numbers without a common meaning, so each has its
//! own type and the compiler keeps them apart.

/// A token id of the draft model's vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DraftToken(pub u32);

/// A token id of the target model's vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetToken(pub u32);
