//! A check with every choice made, and the requests of it.

use alignment::acceptance::{Losslessness, Method};
use proto::model::Sampling;
use proto::verifier::{Generate, Speculation};

use crate::prompts::NamedPrompt;

/// Draft tokens in a block, unless replies are shorter.
const BLOCK_TOKENS: u32 = 8;

/// Method, prompts, seeds and settings of a check.
pub(super) struct Check {
    pub(super) method: Method,
    pub(super) promise: Losslessness,
    pub(super) prompts: Vec<NamedPrompt>,
    pub(super) seeds: u64,
    pub(super) max_tokens: u32,
    pub(super) sampling: Sampling,
}

impl Check {
    /// The request with the method under test.
    pub(super) fn speculative(&self, named: &NamedPrompt, seed: u64) -> Generate {
        let method = Some(self.method.name().to_owned());
        // A block longer than the reply after its first token is wasted work. The length is fixed: an adaptive length might
        // propose nothing where drafting does not pay, and the check would pass without having checked.
        let useful = self.max_tokens.saturating_sub(1).max(1);
        let speculation = Speculation::Auto {
            method,
            block_tokens: Some(useful.min(BLOCK_TOKENS)),
            // The check must be able to show that a lossy method is lossy.
            allow_lossy: true,
            alternatives: None,
        };
        self.request(named, seed, speculation)
    }

    /// The same request without a drafter.
    pub(super) fn plain(&self, named: &NamedPrompt, seed: u64) -> Generate {
        self.request(named, seed, Speculation::Off)
    }

    fn request(&self, named: &NamedPrompt, seed: u64, speculation: Speculation) -> Generate {
        Generate {
            max_tokens: Some(self.max_tokens),
            sampling: self.sampling,
            seed: Some(seed),
            speculation,
            ..Generate::new(named.prompt.clone())
        }
    }
}
