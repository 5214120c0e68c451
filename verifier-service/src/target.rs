//! The target model: its engine, its vocabulary, and the tokens that end a reply.

use std::sync::Arc;

use alignment::{TargetToken, Vocabulary};
use inference::{engine::Engine, tokenizer::Tokenizer};
use proto::drafter::EndRole;

/// The target model. Shared by all requests.
pub(crate) struct Target {
    engine: Engine,
    vocabulary: TargetVocabulary,
}

/// The target's tokenizer, for re-encoding.
pub(crate) struct TargetVocabulary {
    tokenizer: Arc<Tokenizer>,
    /// Token of each single byte, if there is one.
    single_bytes: Vec<Option<u32>>,
}

impl TargetVocabulary {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>) -> Self {
        let mut single_bytes = vec![None; 1 << u8::BITS];
        for id in 0..tokenizer.vocab_size() as u32 {
            if let [byte] = tokenizer.token_bytes(id) {
                single_bytes[usize::from(*byte)].get_or_insert(id);
            }
        }
        Self {
            tokenizer,
            single_bytes,
        }
    }
}

impl Target {
    pub(crate) fn new(engine: Engine) -> Self {
        let vocabulary = TargetVocabulary::new(Arc::clone(engine.tokenizer()));
        Self { engine, vocabulary }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.vocabulary.tokenizer
    }

    /// Number of ids that may be emitted: those with a row of logits and a token.
    pub(crate) fn vocab_size(&self) -> usize {
        self.tokenizer()
            .vocab_size()
            .min(self.engine.info().vocab_size)
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
        self.vocabulary.token_bytes(id)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.vocabulary.encode(text)
    }

    fn single_byte(&self, byte: u8) -> Option<u32> {
        self.vocabulary.single_byte(byte)
    }
}

impl Vocabulary for TargetVocabulary {
    fn token_bytes(&self, id: u32) -> &[u8] {
        self.tokenizer.token_bytes(id)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text)
    }

    fn single_byte(&self, byte: u8) -> Option<u32> {
        self.single_bytes[usize::from(byte)]
    }
}
