//! An experiment: everything that one call of `duet bench` measures, with every choice made.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use alignment::acceptance::Method;
use proto::limits::MAX_BLOCK_TOKENS;
use proto::model::Sampling;
use proto::verifier::Speculation;

use super::task::KnownWorkload;

/// Most sessions that a service takes.
const MAX_SESSIONS: usize = 4096;

/// Models, workloads, settings and loads to measure.
pub(super) struct Experiment {
    pub(super) targets: Vec<String>,
    pub(super) drafters: Vec<String>,
    /// Address of a running verifier. With one, `targets`, `drafters` and `round_trips` have no effect.
    pub(super) verifier: Option<String>,
    pub(super) workloads: Vec<KnownWorkload>,
    pub(super) prompts: Option<PathBuf>,
    pub(super) count: usize,
    pub(super) runs: u32,
    pub(super) max_tokens: u32,
    pub(super) sampling: Sampling,
    pub(super) seed: u64,
    pub(super) variants: Vec<Variant>,
    pub(super) loads: Vec<OfferedLoad>,
    pub(super) round_trips: Vec<Duration>,
    pub(super) threads: usize,
    pub(super) is_pinned: bool,
    pub(super) is_patient: bool,
    pub(super) cache: Option<PathBuf>,
    pub(super) plots: Option<PathBuf>,
    pub(super) json: bool,
}

/// One way to speculate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Variant {
    pub(super) method: MethodChoice,
    pub(super) block_length: BlockLength,
    /// Alternatives in a block; `None`: the verifier chooses.
    pub(super) alternatives: Option<u32>,
}

/// Draft tokens in a block; `None`: the verifier adapts the length.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct BlockLength(pub(super) Option<u32>);

/// An acceptance method; `None`: the verifier's choice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct MethodChoice(pub(super) Option<Method>);

/// Arrival of the requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum OfferedLoad {
    /// This number in progress at all times.
    AtOnce(usize),
    /// Arrivals a second.
    Arriving(f64),
}

impl Experiment {
    /// Most requests that a service has to hold at once.
    pub(super) fn sessions(&self) -> usize {
        let of = |load: &OfferedLoad| match *load {
            OfferedLoad::AtOnce(count) => count,
            // All of them, if they arrive faster than they finish. A service refuses those beyond its limit.
            OfferedLoad::Arriving(_) => self.count.min(MAX_SESSIONS),
        };
        self.loads.iter().map(of).max().unwrap_or(1)
    }

    /// Longest block length given as a number; 1 if there is none.
    pub(super) fn longest_block(&self) -> u32 {
        let lengths = self.variants.iter();
        let lengths = lengths.filter_map(|variant| variant.block_length.0);
        lengths.max().unwrap_or(1)
    }
}

impl Variant {
    /// Block length, and the number of alternatives where it is given.
    pub(super) fn length(self) -> String {
        let more = self.alternatives.map(|count| format!("+{count}"));
        format!("{}{}", self.block_length, more.unwrap_or_default())
    }

    /// The same as the field of a request.
    pub(super) fn speculation(self) -> Speculation {
        Speculation::Auto {
            method: self.method.0.map(|method| method.name().to_owned()),
            block_tokens: self.block_length.0,
            // Only a method asked for by its name can be lossy.
            allow_lossy: self.method.0.is_some(),
            alternatives: self.alternatives,
        }
    }
}

impl fmt::Display for BlockLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(tokens) => f.pad(&tokens.to_string()),
            None => f.pad("auto"),
        }
    }
}

impl FromStr for BlockLength {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let tokens = text.parse().ok();
        let tokens = tokens.filter(|tokens| (1..=MAX_BLOCK_TOKENS).contains(tokens));
        let wrong = || format!("it must be auto, or 1 to {MAX_BLOCK_TOKENS}");
        tokens.map(|tokens| Self(Some(tokens))).ok_or_else(wrong)
    }
}

impl fmt::Display for MethodChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.map_or("auto", Method::name))
    }
}

impl FromStr for MethodChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let names = Method::ALL.map(Method::name).join(", ");
        let wrong = |_| format!("it must be auto or one of {names}");
        text.parse().map(|method| Self(Some(method))).map_err(wrong)
    }
}

impl fmt::Display for OfferedLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtOnce(count) => f.pad(&count.to_string()),
            Self::Arriving(rate) => f.pad(&format!("{rate}/s")),
        }
    }
}
