//! What a client needs to make prompts of its own: the template and the tokens that it names.

use inference::engine::Engine;
use serde::Serialize;

/// Description of the tokenizer, by the names of Hugging Face's `tokenizer_config.json`.
#[derive(Serialize)]
pub(super) struct About {
    tokenizer_class: String,
    model_max_length: usize,
    vocab_size: usize,
    /// True if a text begins with `bos_token` unless its request says otherwise.
    add_bos_token: bool,
    bos_token: Option<String>,
    eos_token: Option<String>,
    /// Never known: nothing here is padded.
    pad_token: Option<String>,
    /// All tokens that end a reply.
    eos_token_ids: Vec<u32>,
    chat_template: Option<String>,
}

impl About {
    pub(super) fn of(engine: &Engine) -> Self {
        let tokenizer = engine.tokenizer();
        let specials = tokenizer.specials();
        let name = |id: Option<u32>| tokenizer.control_name(id?).map(ToOwned::to_owned);
        Self {
            tokenizer_class: tokenizer.family().to_owned(),
            model_max_length: engine.info().context_length,
            vocab_size: tokenizer.vocab_size(),
            add_bos_token: specials.adds_bos,
            bos_token: name(specials.bos),
            eos_token: name(specials.eos),
            pad_token: None,
            eos_token_ids: specials.end_tokens.clone(),
            chat_template: tokenizer.chat_template().map(ToOwned::to_owned),
        }
    }
}
