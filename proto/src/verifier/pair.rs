//! Fit of two tokenizers.

mod wire;

use crate::model::Fingerprint;

/// Asks how well a drafter goes with the verifier.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CheckPair {
    /// Address of the drafter; `None`: the first one in use.
    pub drafter: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedPair {
    /// Address of the drafter that was checked.
    pub address: String,
    /// Finding.
    pub report: PairReport,
}

/// Two tokenizers compared, as bytes; the schema describes each field.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    missing_docs,
    reason = "the schema documents each field under the same name"
)]
pub struct PairReport {
    pub target: PairSide,
    pub drafter: PairSide,
    pub shared_spellings: u32,
    pub exact_draft_tokens: bool,
    pub round_trips: Vec<RoundTrip>,
    pub mapping: Mapping,
    pub methods: Vec<MethodFit>,
    pub fit: PairFit,
    pub verdict: String,
    pub acceptance: Option<PairAcceptance>,
}

/// One tokenizer; the schema describes each field.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    missing_docs,
    reason = "the schema documents each field under the same name"
)]
pub struct PairSide {
    pub name: String,
    pub family: String,
    pub fingerprint: Fingerprint,
    pub vocabulary_size: u32,
    pub spellings: u32,
    pub end_of_sequence_tokens: u32,
    pub end_of_turn_tokens: u32,
}

/// A text cut into blocks and re-encoded; the schema describes each field.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(
    missing_docs,
    reason = "the schema documents each field under the same name"
)]
pub struct RoundTrip {
    pub text: String,
    pub bytes: u32,
    pub unspelled_bytes: u32,
    pub draft_tokens: u32,
    pub blocks: u32,
    pub whole_blocks: u32,
    pub candidates: u32,
    pub block_bytes: u32,
    pub dropped_bytes: u32,
    pub lost_bytes: u32,
}

/// Draft tokens by the kind of group they fall in: draft tokens first, target tokens second.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    missing_docs,
    reason = "the schema documents each field under the same name"
)]
pub struct Mapping {
    pub one_to_one: u32,
    pub one_to_many: u32,
    pub many_to_one: u32,
    pub many_to_many: u32,
}

/// Fit of an acceptance method for a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodFit {
    /// Its name.
    pub name: String,
    /// True if the pair admits it.
    pub fits: bool,
    /// Share of draft tokens that it can use as they are.
    pub share: f64,
    /// Why, in a few words.
    pub reason: String,
}

/// Verdict on running a pair.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PairFit {
    /// It is.
    Compatible,
    /// It works, and gains little.
    Poor,
    /// Next to nothing that is drafted can be verified.
    Unusable,
}

/// Acceptance of a pair that decoded greedily; the schema describes each field.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    missing_docs,
    reason = "the schema documents each field under the same name"
)]
pub struct PairAcceptance {
    pub prompts: u32,
    pub completion_tokens: u32,
    pub committed_bytes: u64,
    pub target_forwards: u32,
    pub proposed_tokens: u32,
    pub accepted_tokens: u32,
}

impl Mapping {
    /// All draft tokens counted.
    pub fn total(&self) -> u32 {
        self.one_to_one + self.one_to_many + self.many_to_one + self.many_to_many
    }
}

impl PairFit {
    /// One word, as reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compatible => "compatible",
            Self::Poor => "poor",
            Self::Unusable => "unusable",
        }
    }
}
