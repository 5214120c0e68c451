//! One measured reply, and the pair of replies to one prompt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use proto::verifier::{Client, FinishReason, Generate, Usage};

use crate::request::{self, per_second};

/// Longest time of one reply.
const MAX_REPLY: Duration = Duration::from_hours(1);

/// A reply with its token counts and times.
#[derive(Clone, Debug)]
pub(super) struct MeasuredReply {
    pub(super) text: String,
    pub(super) reason: FinishReason,
    pub(super) usage: Usage,
    /// Acceptance method used; `None`: plain decoding.
    pub(super) method: Option<String>,
    /// Time from when the request was due until the end of the reply.
    pub(super) latency: Duration,
}

/// The reply to one prompt in one run, without and with speculation.
#[derive(Clone, Debug)]
pub(super) struct ReplyPair {
    /// Index of the prompt in its workload.
    pub(super) task: usize,
    pub(super) plain: Arc<MeasuredReply>,
    pub(super) speculative: Arc<MeasuredReply>,
}

impl MeasuredReply {
    /// Sends the request and waits for the reply; `due` is when the request should be sent.
    pub(super) async fn take(
        client: &mut Client,
        request: Generate,
        due: Instant,
    ) -> anyhow::Result<Self> {
        let asked = request::ask(client, request, |_| Ok(()));
        let answer = tokio::time::timeout(MAX_REPLY, asked).await;
        let answer = answer.with_context(|| format!("no reply within {MAX_REPLY:?}"))??;
        Ok(Self {
            text: answer.text,
            reason: answer.finish.reason,
            usage: answer.finish.usage,
            method: answer.finish.method,
            latency: due.elapsed(),
        })
    }

    /// Tokens per second of decoding. The prefill is left out: it is the same with and without speculation.
    pub(super) fn rate(&self) -> f64 {
        per_second(f64::from(self.usage.completion_tokens), self.usage.decode)
    }
}

impl ReplyPair {
    /// True if both texts are equal byte for byte and both end for the same reason.
    pub(super) fn is_identical(&self) -> bool {
        let (plain, speculative) = (&self.plain, &self.speculative);
        plain.text == speculative.text
            && plain.reason == speculative.reason
            && plain.usage.completion_tokens == speculative.usage.completion_tokens
    }

    /// Ratio of the decoding rates; none for a reply without tokens.
    pub(super) fn speedup(&self) -> Option<f64> {
        let ratio = super::statistics::ratio(self.speculative.rate(), self.plain.rate());
        ratio.filter(|ratio| *ratio > 0.0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A reply with this number of tokens, decoded in this time.
    pub(in super::super) fn reply(text: &str, tokens: u32, milliseconds: u64) -> MeasuredReply {
        MeasuredReply {
            text: text.to_owned(),
            reason: FinishReason::Length,
            usage: Usage {
                completion_tokens: tokens,
                committed_bytes: text.len() as u64,
                target_forwards: tokens,
                decode: Duration::from_millis(milliseconds),
                ..Usage::default()
            },
            method: None,
            latency: Duration::from_millis(2 * milliseconds),
        }
    }

    /// Two replies of ten tokens: one in a second, the other `speedup` times as fast, with half of its tokens accepted.
    pub(in super::super) fn pair(task: usize, speedup: f64) -> ReplyPair {
        let mut speculative = reply("same text", 10, (1000.0 / speedup) as u64);
        speculative.method = Some("greedy".to_owned());
        speculative.usage.target_forwards = 5;
        speculative.usage.proposed_tokens = 8;
        speculative.usage.accepted_tokens = 5;
        speculative.usage.rejected_tokens = 3;
        ReplyPair {
            task,
            plain: Arc::new(reply("same text", 10, 1000)),
            speculative: Arc::new(speculative),
        }
    }

    #[test]
    fn identical_replies_agree_in_text_end_and_tokens() {
        let same = pair(0, 2.0);
        assert!(same.is_identical());
        assert!((same.speedup().unwrap() - 2.0).abs() < 1e-9);
        for other in [
            reply("same texT", 10, 500),
            reply("same text", 11, 500),
            MeasuredReply {
                reason: FinishReason::Stop,
                ..reply("same text", 10, 500)
            },
        ] {
            let other = ReplyPair {
                speculative: Arc::new(other),
                ..same.clone()
            };
            assert!(!other.is_identical());
        }
    }
}
