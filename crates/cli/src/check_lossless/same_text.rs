//! On equals off, byte for byte: for methods that promise the same text for the same seed.

use super::Plan;
use super::replies::{Asker, Drafted, Reply};

/// What came of the comparison.
pub(super) struct Comparison {
    /// Pairs of replies compared.
    pub(super) compared: usize,
    /// Those that differ.
    pub(super) differences: Vec<Difference>,
}

/// Two replies that should be one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    pub(super) id: String,
    pub(super) seed: u64,
    /// What differs, and how.
    pub(super) what: String,
}

/// Asks for every prompt with every seed, with and without the method.
pub(super) async fn compare(asker: &Asker, plan: &Plan) -> anyhow::Result<(Comparison, Drafted)> {
    let mut drafted = Drafted::default();
    let mut comparison = Comparison {
        compared: 0,
        differences: Vec::new(),
    };
    for (done, named) in (1..).zip(&plan.prompts) {
        let both = |seed| [plan.plain(named, seed), plan.speculative(named, seed)];
        let replies = asker.ask((0..plan.seeds).flat_map(both).collect()).await?;
        for (seed, pair) in (0..).zip(replies.chunks(2)) {
            let [without, with] = pair else { continue };
            comparison.compared += 1;
            comparison
                .differences
                .extend(difference(without, with).map(|what| Difference {
                    id: named.id.clone(),
                    seed,
                    what,
                }));
        }
        drafted = drafted.with(&replies);
        asker.progress(done, plan.prompts.len());
    }
    Ok((comparison, drafted))
}

/// What is not the same.
fn difference(plain: &Reply, speculative: &Reply) -> Option<String> {
    if plain.text != speculative.text {
        let both = plain.text.bytes().zip(speculative.text.bytes());
        let at = both.take_while(|(one, other)| one == other).count();
        return Some(format!("the texts part at byte {at}"));
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
        let reply = |text: &str, reason, tokens| Reply::made(text, reason, tokens);
        let plain = reply("abc", FinishReason::Stop, 2);
        assert_eq!(difference(&plain, &plain.clone()), None);
        for (other, said) in [
            (reply("abd", FinishReason::Stop, 2), "part at byte 2"),
            (reply("abcd", FinishReason::Stop, 2), "part at byte 3"),
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
