//! Description of a checkpoint's model.

use std::sync::Arc;

use tokenizer::Tokenizer;
use tokenizer::template::ChatTemplate;

use super::architecture::Architecture;
use super::error::CheckpointError;
use super::suggested::SuggestedSampling;

/// Everything but the weights.
pub(crate) struct Description {
    pub(crate) architecture: Architecture,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) template: Option<ChatTemplate>,
    pub(crate) name: String,
    pub(crate) suggested: SuggestedSampling,
    /// Size of the weight files, in bytes.
    pub(crate) file_bytes: u64,
}

/// Chat template that came with a tokenizer, compiled.
pub(super) fn template(tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>, CheckpointError> {
    let Some(source) = tokenizer.chat_template() else {
        return Ok(None);
    };
    let specials = tokenizer.specials();
    let spelling = |id: Option<u32>| id.and_then(|id| tokenizer.control_name(id));
    let bos = spelling(specials.bos).unwrap_or_default();
    let eos = spelling(specials.eos).unwrap_or_default();
    Ok(Some(ChatTemplate::new(source, bos, eos)?))
}
