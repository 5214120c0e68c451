//! An answer in one piece.

use proto::verifier::{Part, TokenLogprob};

use super::{
    error::ApiError,
    logprobs::Logprobs,
    output::{Output, OutputReader},
    replies::Replies,
    request::AnswerOptions,
    response::{self, Choice, Envelope, Usage},
};

/// A choice, put together from its parts.
struct Whole {
    reader: OutputReader,
    output: Output,
    /// Tokens of the prompt, where the answer repeats it, and of the reply.
    tokens: Vec<TokenLogprob>,
    finish_reason: Option<&'static str>,
}

/// Waits for all replies. The answer is JSON.
pub(super) async fn read(
    mut replies: Replies,
    envelope: &Envelope,
    options: &AnswerOptions,
) -> Result<Vec<u8>, ApiError> {
    let begun = (0..replies.len()).map(|index| Whole::new(options, index));
    let mut read: Vec<Whole> = begun.collect();
    let mut usage = Usage::default();
    while let Some((index, part)) = replies.next().await {
        let part = part?;
        if let Part::Finish(finish) = &part {
            usage.add(&finish.usage, index.is_multiple_of(options.choices));
        }
        read[index].take(part)?;
    }
    let choices = read.iter_mut().enumerate();
    let choices = choices.map(|(index, whole)| Choice {
        index,
        logprobs: options.logprobs.then(|| {
            let tokens = std::mem::take(&mut whole.tokens);
            let logprobs = Logprobs::new(envelope.endpoint, tokens, &mut 0);
            match options.echo {
                Some(_) => logprobs.without_first(),
                None => logprobs,
            }
        }),
        content: envelope.all(&whole.output),
        finish_reason: whole.finish_reason,
    });
    let answer = envelope.whole(choices.collect(), usage);
    serde_json::to_vec(&answer).map_err(|error| ApiError::fault(error.to_string()))
}

impl Whole {
    fn new(options: &AnswerOptions, index: usize) -> Self {
        Self {
            reader: OutputReader::new(&options.form),
            output: Output {
                text: options.echo_of(index).unwrap_or_default().to_owned(),
                ..Output::default()
            },
            tokens: Vec::new(),
            finish_reason: None,
        }
    }

    fn take(&mut self, part: Part) -> Result<(), ApiError> {
        let additions = match part {
            Part::Reading(reading) => {
                self.tokens.extend(reading.tokens);
                return Ok(());
            }
            Part::Chunk(chunk) => {
                let text = chunk.text();
                self.tokens.extend(chunk.tokens);
                self.reader.push(&text)
            }
            Part::Finish(finish) => {
                let additions = self.reader.finish();
                let reason = response::reason(finish.reason, self.reader.has_calls());
                self.finish_reason = Some(reason.ok_or_else(ApiError::stopping)?);
                additions
            }
        };
        for more in &additions {
            self.output.add(more);
        }
        Ok(())
    }
}
