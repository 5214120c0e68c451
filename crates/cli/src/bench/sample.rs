//! One measured reply, and two that belong together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use proto::verifier::{Client, FinishReason, Generate, Usage};

use crate::request::{self, per_second};

/// Longest time that one reply may take.
const MAX_REPLY: Duration = Duration::from_hours(1);

/// A reply and what it took.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) text: String,
    pub(super) reason: FinishReason,
    pub(super) usage: Usage,
    /// Method used; `None`: plain decoding.
    pub(super) method: Option<String>,
    /// From when it was due to be asked for until its end.
    pub(super) latency: Duration,
}

/// The reply to one prompt in one run, without and with speculation.
#[derive(Clone, Debug)]
pub(super) struct Compared {
    /// Index of the prompt in its workload.
    pub(super) task: usize,
    pub(super) plain: Arc<Sample>,
    pub(super) speculative: Arc<Sample>,
}

impl Sample {
    /// Asks for a reply; `due` is when it was to be asked for.
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

    /// Tokens a second of decoding; the prompt's pass is the same with and without speculation, and left out.
    pub(super) fn rate(&self) -> f64 {
        per_second(f64::from(self.usage.completion_tokens), self.usage.decode)
    }
}

impl Compared {
    /// Whether both are the same to the last byte, and end alike.
    pub(super) fn is_identical(&self) -> bool {
        let (plain, speculative) = (&self.plain, &self.speculative);
        plain.text == speculative.text
            && plain.reason == speculative.reason
            && plain.usage.completion_tokens == speculative.usage.completion_tokens
    }

    /// How much faster decoding was; none of a reply without tokens.
    pub(super) fn speedup(&self) -> Option<f64> {
        let ratio = super::statistics::ratio(self.speculative.rate(), self.plain.rate());
        ratio.filter(|ratio| *ratio > 0.0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A reply of so many tokens in so many milliseconds.
    pub(in super::super) fn sample(text: &str, tokens: u32, milliseconds: u64) -> Sample {
        Sample {
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

    /// The same text of ten tokens, in a second, and with half of its tokens accepted so many times faster.
    pub(in super::super) fn compared(task: usize, speedup: f64) -> Compared {
        let mut speculative = sample("same text", 10, (1000.0 / speedup) as u64);
        speculative.method = Some("greedy".to_owned());
        speculative.usage.target_forwards = 5;
        speculative.usage.proposed_tokens = 8;
        speculative.usage.accepted_tokens = 5;
        speculative.usage.rejected_tokens = 3;
        Compared {
            task,
            plain: Arc::new(sample("same text", 10, 1000)),
            speculative: Arc::new(speculative),
        }
    }

    #[test]
    fn identical_replies_agree_in_text_end_and_tokens() {
        let same = compared(0, 2.0);
        assert!(same.is_identical());
        assert!((same.speedup().unwrap() - 2.0).abs() < 1e-9);
        for other in [
            sample("same texT", 10, 500),
            sample("same text", 11, 500),
            Sample {
                reason: FinishReason::Stop,
                ..sample("same text", 10, 500)
            },
        ] {
            let other = Compared {
                speculative: Arc::new(other),
                ..same.clone()
            };
            assert!(!other.is_identical());
        }
    }
}
