//! An answer in one piece.

use proto::verifier::{Part, TokenLogprob};

use super::{
    error::ApiError,
    logprobs::Logprobs,
    replies::Replies,
    request::AnswerOptions,
    response::{self, Choice, Envelope, Usage},
};

/// A choice, put together from its parts.
#[derive(Debug, Default)]
pub(super) struct Whole {
    text: String,
    tokens: Vec<TokenLogprob>,
    finish_reason: Option<&'static str>,
}

impl Whole {
    /// Waits for all replies. The answer is JSON.
    pub(super) async fn read(
        mut replies: Replies,
        envelope: &Envelope,
        options: AnswerOptions,
    ) -> Result<Vec<u8>, ApiError> {
        let mut read: Vec<Self> = Vec::new();
        read.resize_with(replies.len(), Self::default);
        let mut usage = Usage::default();
        while let Some((index, part)) = replies.next().await {
            let choice = &mut read[index];
            match part? {
                Part::Chunk(chunk) => {
                    choice
                        .text
                        .extend(chunk.pieces.into_iter().map(|piece| piece.text));
                    choice.tokens.extend(chunk.tokens);
                }
                Part::Finish(finish) => {
                    let reason = response::reason(finish.reason);
                    choice.finish_reason = Some(reason.ok_or_else(ApiError::stopping)?);
                    usage.add(&finish.usage, index.is_multiple_of(options.choices));
                }
            }
        }
        let choices = read.iter_mut().enumerate();
        let choices = choices.map(|(index, whole)| Choice {
            index,
            logprobs: options.logprobs.then(|| {
                let tokens = std::mem::take(&mut whole.tokens);
                Logprobs::new(envelope.endpoint, tokens, &mut 0)
            }),
            content: envelope.all(&whole.text),
            finish_reason: whole.finish_reason,
        });
        let answer = envelope.whole(choices.collect(), usage);
        serde_json::to_vec(&answer).map_err(|error| ApiError::fault(error.to_string()))
    }
}
