//! Tests of distributions, for methods that promise the distribution of the text, or nothing.
//!
//! For each prompt there are two samples: replies without speculation, and replies to as many other seeds with it. Their
//! prefixes of 1, 2, 3, .. tokens are compared by Pearson's test of homogeneity. Even the first token can be a draft token,
//! because the verifier waits for a block before the pass over the prompt's last token. The statistics of all prompts are also
//! summed, which finds a small bias that all prompts share. Holm's adjustment keeps the probability of any false alarm below
//! [`LEVEL`].

use proto::verifier::FinishReason;
use tokenizer::Tokenizer;

use super::check::Check;
use super::replies::{Asker, DraftCounts, SampledReply};
use super::statistics::{self, SampleComparison};

/// Probability that a check calls a lossless method lossy, over all its tests together.
pub(super) const LEVEL: f64 = 0.01;
/// Probability of finding the smallest difference that the report calls detectable.
pub(super) const POWER: f64 = 0.9;
/// Marker of the end of a reply; no token has this id.
const END: u32 = u32::MAX;

/// Result of all tests.
pub(super) struct DistributionTests {
    /// Replies in each sample of a prompt.
    pub(super) size: usize,
    /// Level of the strictest test.
    pub(super) strictest: f64,
    /// Every test; those of single prompts first.
    pub(super) tests: Vec<HomogeneityTest>,
}

/// One test of homogeneity.
pub(super) struct HomogeneityTest {
    /// Id of the prompt; `None`: all prompts together.
    pub(super) id: Option<String>,
    /// Length of the compared prefixes in tokens.
    pub(super) tokens: usize,
    /// Number of prompts whose statistics are summed.
    prompts: usize,
    pub(super) samples: SampleComparison,
    pub(super) freedom: usize,
    /// p after Holm's adjustment.
    pub(super) adjusted: f64,
    /// Total variation that the test would have found with probability [`POWER`].
    pub(super) detectable: f64,
}

impl DistributionTests {
    /// True if any test rejects.
    pub(super) fn differs(&self) -> bool {
        self.tests.iter().any(HomogeneityTest::rejects)
    }

    /// Test with the smallest p, of a prompt or of all together.
    pub(super) fn strongest(&self, id: Option<&str>) -> Option<&HomogeneityTest> {
        let tests = self.tests.iter().filter(|test| test.id.as_deref() == id);
        tests.min_by(|one, other| one.samples.p.total_cmp(&other.samples.p))
    }
}

impl HomogeneityTest {
    /// True if the two distributions differ.
    pub(super) fn rejects(&self) -> bool {
        self.adjusted < LEVEL
    }
}

/// Asks for both samples of every prompt and compares them.
pub(super) async fn compare(
    asker: &Asker,
    check: &Check,
    tokenizer: &Tokenizer,
) -> anyhow::Result<(DistributionTests, DraftCounts)> {
    let mut drafted = DraftCounts::default();
    let mut tests = Vec::new();
    for (done, named) in (1..).zip(&check.prompts) {
        let without = (0..check.seeds).map(|seed| check.plain(named, seed));
        // Other seeds, so that no noise is shared between the two samples.
        let others = check.seeds..2 * check.seeds;
        let with = others.map(|seed| check.speculative(named, seed));
        let replies = asker.ask(without.chain(with).collect()).await?;
        let outcomes: Vec<Vec<u32>> = replies.iter().map(|r| outcome(tokenizer, r)).collect();
        let (without, with) = outcomes.split_at(check.seeds as usize);
        tests.extend(of_prompt(
            &named.id,
            check.max_tokens as usize,
            without,
            with,
        ));
        drafted = drafted.with(&replies);
        asker.progress(done, check.prompts.len());
    }
    Ok((judged(tests, check.seeds as usize), drafted))
}

/// Tokens of a reply, and its end if it has come. They are encoded from the text, so equal texts are equal outcomes.
fn outcome(tokenizer: &Tokenizer, reply: &SampledReply) -> Vec<u32> {
    let mut tokens = tokenizer.encode(&reply.text);
    if reply.reason == FinishReason::Stop {
        tokens.push(END);
    }
    tokens
}

/// Tests of one prompt.
fn of_prompt(
    id: &str,
    longest: usize,
    plain: &[Vec<u32>],
    other: &[Vec<u32>],
) -> Vec<HomogeneityTest> {
    let prefixes = |outcomes: &[Vec<u32>], tokens: usize| -> Vec<Vec<u32>> {
        let cut = |outcome: &Vec<u32>| outcome[..tokens.min(outcome.len())].to_vec();
        outcomes.iter().map(cut).collect()
    };
    let test = |tokens| {
        let (plain, other) = (prefixes(plain, tokens), prefixes(other, tokens));
        let samples = statistics::compare(&plain, &other);
        HomogeneityTest::new(Some(id.to_owned()), tokens, 1, samples)
    };
    (1..=longest).map(test).collect()
}

impl HomogeneityTest {
    fn new(id: Option<String>, tokens: usize, prompts: usize, samples: SampleComparison) -> Self {
        Self {
            id,
            tokens,
            prompts,
            freedom: samples.freedom(),
            samples,
            adjusted: 1.0,
            detectable: 1.0,
        }
    }
}

/// Adds the tests over all prompts, and computes adjusted p and detectable difference of each.
fn judged(mut tests: Vec<HomogeneityTest>, size: usize) -> DistributionTests {
    let longest = tests.iter().map(|test| test.tokens).max().unwrap_or(0);
    let together: Vec<HomogeneityTest> = (1..=longest)
        .filter_map(|tokens| all(&tests, tokens))
        .collect();
    tests.extend(together);
    // A test with a single outcome can never reject, so it is left out.
    let testable: Vec<&mut HomogeneityTest> =
        tests.iter_mut().filter(|test| test.freedom > 0).collect();
    let p: Vec<f64> = testable.iter().map(|test| test.samples.p).collect();
    let strictest = LEVEL / testable.len().max(1) as f64;
    for (test, adjusted) in testable.into_iter().zip(statistics::holm(&p)) {
        test.adjusted = adjusted;
        test.detectable =
            statistics::detectable(test.freedom, size * test.prompts, POWER, strictest);
    }
    DistributionTests {
        size,
        strictest,
        tests,
    }
}

/// Summed statistics of all prompts for prefixes of `tokens` tokens; none with a single prompt.
fn all(tests: &[HomogeneityTest], tokens: usize) -> Option<HomogeneityTest> {
    let parts = tests.iter().filter(|test| test.tokens == tokens);
    let parts: Vec<&SampleComparison> = parts.map(|test| &test.samples).collect();
    let sum = statistics::sum(&parts)?;
    let freedom = parts.iter().map(|samples| samples.freedom()).sum();
    let test = HomogeneityTest::new(None, tokens, parts.len(), sum);
    Some(HomogeneityTest { freedom, ..test })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outcomes of two tokens, the second by these counts.
    fn outcomes(counts: [usize; 3]) -> Vec<Vec<u32>> {
        let each = (0..).zip(counts);
        each.flat_map(|(token, count)| vec![vec![7, token]; count])
            .collect()
    }

    #[test]
    fn lossy_rule_is_found_on_one_prompt_and_named() {
        let plain = outcomes([101, 58, 41]);
        let biased = outcomes([167, 20, 13]);
        let fair = outcomes([95, 66, 39]);
        let mut tests = of_prompt("fair", 2, &plain, &fair);
        tests.extend(of_prompt("biased", 2, &plain, &biased));
        let found = judged(tests, 200);
        assert!(found.differs());
        let rejects = |id: Option<&str>| found.strongest(id).unwrap().rejects();
        assert!(rejects(Some("biased")) && rejects(None) && !rejects(Some("fair")));
        let fair = judged(of_prompt("fair", 2, &plain, &fair), 200);
        assert!(!fair.differs());
        assert!(fair.strongest(None).is_none(), "one prompt is no sum");
    }

    #[test]
    fn small_bias_everywhere_is_found_by_all_prompts_together() {
        let (plain, biased) = (outcomes([100, 60, 40]), outcomes([125, 45, 30]));
        let tests = (0..40).flat_map(|i| of_prompt(&i.to_string(), 2, &plain, &biased));
        let found = judged(tests.collect(), 200);
        assert!(!found.strongest(Some("0")).unwrap().rejects());
        let together = found.strongest(None).unwrap();
        assert!(together.rejects() && together.freedom == 80);
        assert!(together.detectable < found.strongest(Some("0")).unwrap().detectable);
    }

    #[test]
    fn end_of_a_reply_is_an_outcome_and_short_replies_are_compared_whole() {
        let plain = vec![vec![7, END]; 100];
        let other = vec![vec![7]; 100];
        let found = judged(of_prompt("ends", 4, &plain, &other), 100);
        let (first, longer) = found.tests.split_first().unwrap();
        assert!(longer.len() == 3 && !first.rejects());
        assert!(longer.iter().all(HomogeneityTest::rejects));
    }
}
