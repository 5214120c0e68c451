//! One distribution or two: for methods that promise the distribution of the text, or nothing.
//!
//! For each prompt, replies to as many seeds without speculation and to as many other seeds with it are two samples. Their
//! beginnings of 1, 2, 3, .. tokens are compared by Pearson's test of homogeneity: the first token can be a drafted one already,
//! since a block is waited for before the prompt's last token goes through the model. Statistics of all prompts are added up
//! too, which finds a small bias that is everywhere. Holm's adjustment holds the chance of any false alarm below [`LEVEL`].

use proto::verifier::FinishReason;
use tokenizer::Tokenizer;

use super::Plan;
use super::replies::{Asker, Drafted, Reply};
use super::statistics::{self, Comparison as Samples};

/// Chance that a lossless method is called lossy, all tests of a check together.
pub(super) const LEVEL: f64 = 0.01;
/// How often a difference should be found, where the report says how large it has to be.
pub(super) const POWER: f64 = 0.9;
/// Where a reply has ended; no token has this number.
const END: u32 = u32::MAX;

/// What came of the comparison.
pub(super) struct Comparison {
    /// Replies of each side, for each prompt.
    pub(super) size: usize,
    /// Level of the strictest test.
    pub(super) strictest: f64,
    /// Every test, prompts first.
    pub(super) tests: Vec<Test>,
}

/// One test.
pub(super) struct Test {
    /// The prompt; `None`: all together.
    pub(super) id: Option<String>,
    /// Tokens of the beginnings that were compared.
    pub(super) tokens: usize,
    /// Prompts whose statistics are in it.
    prompts: usize,
    pub(super) samples: Samples,
    pub(super) freedom: usize,
    /// p after Holm's adjustment.
    pub(super) adjusted: f64,
    /// The total variation that would have been found with probability [`POWER`].
    pub(super) detectable: f64,
}

impl Comparison {
    /// Whether any test rejects.
    pub(super) fn differs(&self) -> bool {
        self.tests.iter().any(Test::rejects)
    }

    /// The test with the smallest p, for a prompt or for all together.
    pub(super) fn strongest(&self, id: Option<&str>) -> Option<&Test> {
        let tests = self.tests.iter().filter(|test| test.id.as_deref() == id);
        tests.min_by(|one, other| one.samples.p.total_cmp(&other.samples.p))
    }
}

impl Test {
    /// Whether there are two distributions.
    pub(super) fn rejects(&self) -> bool {
        self.adjusted < LEVEL
    }
}

/// Asks for both samples of every prompt and compares them.
pub(super) async fn compare(
    asker: &Asker,
    plan: &Plan,
    tokenizer: &Tokenizer,
) -> anyhow::Result<(Comparison, Drafted)> {
    let mut drafted = Drafted::default();
    let mut tests = Vec::new();
    for (done, named) in (1..).zip(&plan.prompts) {
        let without = (0..plan.seeds).map(|seed| plan.plain(named, seed));
        // Other seeds, so that no noise is shared between the two samples.
        let others = plan.seeds..2 * plan.seeds;
        let with = others.map(|seed| plan.speculative(named, seed));
        let replies = asker.ask(without.chain(with).collect()).await?;
        let outcomes: Vec<Vec<u32>> = replies.iter().map(|r| outcome(tokenizer, r)).collect();
        let (without, with) = outcomes.split_at(plan.seeds as usize);
        tests.extend(of_prompt(
            &named.id,
            plan.max_tokens as usize,
            without,
            with,
        ));
        drafted = drafted.with(&replies);
        asker.progress(done, plan.prompts.len());
    }
    Ok((judged(tests, plan.seeds as usize), drafted))
}

/// A reply as tokens, and its end if it has come. What they are read from is the text: the same text is the same outcome.
fn outcome(tokenizer: &Tokenizer, reply: &Reply) -> Vec<u32> {
    let mut tokens = tokenizer.encode(&reply.text);
    if reply.reason == FinishReason::Stop {
        tokens.push(END);
    }
    tokens
}

/// The tests of one prompt.
fn of_prompt(id: &str, longest: usize, plain: &[Vec<u32>], other: &[Vec<u32>]) -> Vec<Test> {
    let beginnings = |outcomes: &[Vec<u32>], tokens: usize| -> Vec<Vec<u32>> {
        let cut = |outcome: &Vec<u32>| outcome[..tokens.min(outcome.len())].to_vec();
        outcomes.iter().map(cut).collect()
    };
    let test = |tokens| {
        let (plain, other) = (beginnings(plain, tokens), beginnings(other, tokens));
        let samples = statistics::compare(&plain, &other);
        Test::new(Some(id.to_owned()), tokens, 1, samples)
    };
    (1..=longest).map(test).collect()
}

impl Test {
    fn new(id: Option<String>, tokens: usize, prompts: usize, samples: Samples) -> Self {
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

/// Adds the tests over all prompts, adjusts, and says what each would have found.
fn judged(mut tests: Vec<Test>, size: usize) -> Comparison {
    let longest = tests.iter().map(|test| test.tokens).max().unwrap_or(0);
    let together: Vec<Test> = (1..=longest)
        .filter_map(|tokens| all(&tests, tokens))
        .collect();
    tests.extend(together);
    // A test of a single outcome can never reject, so it takes no part.
    let part: Vec<&mut Test> = tests.iter_mut().filter(|test| test.freedom > 0).collect();
    let p: Vec<f64> = part.iter().map(|test| test.samples.p).collect();
    let strictest = LEVEL / part.len().max(1) as f64;
    for (test, adjusted) in part.into_iter().zip(statistics::holm(&p)) {
        test.adjusted = adjusted;
        test.detectable =
            statistics::detectable(test.freedom, size * test.prompts, POWER, strictest);
    }
    Comparison {
        size,
        strictest,
        tests,
    }
}

/// The statistics of all prompts for beginnings of `tokens` tokens, added up; none of a single prompt.
fn all(tests: &[Test], tokens: usize) -> Option<Test> {
    let parts = tests.iter().filter(|test| test.tokens == tokens);
    let parts: Vec<&Samples> = parts.map(|test| &test.samples).collect();
    let sum = statistics::sum(&parts)?;
    let freedom = parts.iter().map(|samples| samples.freedom()).sum();
    let test = Test::new(None, tokens, parts.len(), sum);
    Some(Test { freedom, ..test })
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
        assert!(longer.iter().all(Test::rejects));
    }
}
