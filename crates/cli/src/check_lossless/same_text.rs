//! Byte-for-byte comparison, for methods that promise the same text for the same seed with and without a drafter.

use super::check::Check;
use super::replies::{Asker, DraftCounts, SampledReply};

/// Result of the comparison.
pub(super) struct TextComparison {
    /// Number of compared pairs of replies.
    pub(super) compared: usize,
    /// Pairs that differ.
    pub(super) differences: Vec<TextDifference>,
}

/// Difference between two replies that must be equal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TextDifference {
    pub(super) id: String,
    pub(super) seed: u64,
    /// Description of the difference.
    pub(super) what: String,
}

/// Asks for a reply to every prompt with every seed, with and without the method.
pub(super) async fn compare(
    asker: &Asker,
    check: &Check,
) -> anyhow::Result<(TextComparison, DraftCounts)> {
    let mut drafted = DraftCounts::default();
    let mut comparison = TextComparison {
        compared: 0,
        differences: Vec::new(),
    };
    for (done, named) in (1..).zip(&check.prompts) {
        let both = |seed| [check.plain(named, seed), check.speculative(named, seed)];
        let replies = asker.ask((0..check.seeds).flat_map(both).collect()).await?;
        for (seed, pair) in (0..).zip(replies.chunks(2)) {
            let [without, with] = pair else { continue };
            comparison.compared += 1;
            comparison
                .differences
                .extend(difference(without, with).map(|what| TextDifference {
                    id: named.id.clone(),
                    seed,
                    what,
                }));
        }
        drafted = drafted.with(&replies);
        asker.progress(done, check.prompts.len());
    }
    Ok((comparison, drafted))
}

/// First difference; none between equal replies.
fn difference(plain: &SampledReply, speculative: &SampledReply) -> Option<String> {
    if plain.text != speculative.text {
        let both = plain.text.bytes().zip(speculative.text.bytes());
        let at = both.take_while(|(one, other)| one == other).count();
        return Some(format!("the texts differ from byte {at}"));
    }
    if plain.reason != speculative.reason {
        let (one, other) = (plain.reason, speculative.reason);
        return Some(format!("it ends for {other:?} rather than {one:?}"));
    }
    if plain.tokens != speculative.tokens {
        let (one, other) = (plain.tokens, speculative.tokens);
        return Some(format!("it has {other} tokens rather than {one}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use proto::verifier::FinishReason;

    use super::*;

    #[test]
    fn text_reason_and_tokens_all_have_to_agree() {
        let reply = |text: &str, reason, tokens| SampledReply::described(text, reason, tokens);
        let plain = reply("abc", FinishReason::Stop, 2);
        assert_eq!(difference(&plain, &plain.clone()), None);
        for (other, said) in [
            (reply("abd", FinishReason::Stop, 2), "differ from byte 2"),
            (reply("abcd", FinishReason::Stop, 2), "differ from byte 3"),
            (reply("abc", FinishReason::Length, 2), "ends for Length"),
            (
                reply("abc", FinishReason::Stop, 3),
                "3 tokens rather than 2",
            ),
        ] {
            let found = difference(&plain, &other).unwrap();
            assert!(found.contains(said), "{found}");
        }
    }
}
