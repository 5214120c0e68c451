//! The target model: its engine, its vocabulary, and the tokens that end a reply.

use std::sync::Arc;

use alignment::{TargetToken, Vocabulary};
use inference::engine::Engine;
use proto::drafter::EndRole;
use tokenizer::Tokenizer;

/// The target model. Shared by all requests.
pub(crate) struct Target {
    engine: Engine,
}

impl Target {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn tokenizer(&self) -> &Arc<Tokenizer> {
        self.engine.tokenizer()
    }

    /// Number of ids that may be emitted: those with a logit and a token.
    pub(crate) fn vocab_size(&self) -> usize {
        self.tokenizer()
            .vocab_size()
            .min(self.engine.info().vocab_size)
    }

    /// Text of ids, control tokens by name.
    pub(crate) fn text_of(&self, ids: &[u32]) -> String {
        let tokenizer = self.tokenizer();
        let bytes = ids.iter().flat_map(|id| match tokenizer.control_name(*id) {
            Some(name) => name.as_bytes(),
            None => tokenizer.token_bytes(*id),
        });
        String::from_utf8_lossy(&bytes.copied().collect::<Vec<u8>>()).into_owned()
    }

    /// True if a reply ends with this token, which is no text.
    pub(crate) fn is_end(&self, id: u32) -> bool {
        self.tokenizer()
            .specials()
            .end_tokens
            .binary_search(&id)
            .is_ok()
    }

    /// The target's token for a role, or for the other role if it has only that.
    pub(crate) fn end_token(&self, role: EndRole) -> Option<TargetToken> {
        let specials = self.tokenizer().specials();
        let id = match role {
            EndRole::EndOfSequence => specials.eos.or(specials.end_of_turn),
            EndRole::EndOfTurn => specials.end_of_turn.or(specials.eos),
        };
        id.filter(|id| self.is_end(*id)).map(TargetToken)
    }
}

impl Vocabulary for Target {
    fn token_bytes(&self, id: u32) -> &[u8] {
        self.tokenizer().token_bytes(id)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer().encode(text)
    }

    fn single_byte(&self, byte: u8) -> Option<u32> {
        self.tokenizer().single_byte(byte)
    }
}
