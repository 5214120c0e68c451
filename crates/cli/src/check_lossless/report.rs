//! What a check found, as text and as JSON.

use std::fmt;

use alignment::acceptance::Losslessness;
use serde_json::{Value, json};

use super::distribution::{self, LEVEL, POWER, Test};
use super::replies::Drafted;
use super::{Args, Found, Plan, same_text};

/// Differences, and tests, that the text lists; the JSON has all.
const LISTED: usize = 20;

/// A check as people read it.
pub(super) struct Text<'a>(
    pub(super) &'a Args,
    pub(super) &'a Plan,
    pub(super) &'a Found,
    pub(super) &'a Drafted,
);

/// One object, as `--json` prints it.
pub(super) fn json(args: &Args, plan: &Plan, found: &Found, drafted: &Drafted) -> Value {
    let mut report = json!({
        "differs": found.differs(),
        "verdict": verdict(plan, found),
        "target": args.target,
        "drafter": args.drafter,
        "method": plan.method.name(),
        "promise": plan.promise.to_string(),
        "prompts": plan.prompts.len(),
        "seeds": plan.seeds,
        "max_tokens": plan.max_tokens,
        "temperature": plan.sampling.temperature,
        "top_p": plan.sampling.top_p,
        "proposed_tokens": drafted.proposed,
        "accepted_tokens": drafted.accepted,
    });
    let (name, value) = match found {
        Found::Texts(comparison) => ("texts", texts(comparison)),
        Found::Distributions(comparison) => ("distributions", distributions(comparison)),
    };
    report[name] = value;
    report
}

fn texts(comparison: &same_text::Comparison) -> Value {
    let differences = comparison.differences.iter().map(|difference| {
        json!({
            "id": difference.id,
            "seed": difference.seed,
            "what": difference.what,
        })
    });
    json!({
        "compared": comparison.compared,
        "differences": differences.collect::<Vec<_>>(),
    })
}

fn distributions(comparison: &distribution::Comparison) -> Value {
    let test = |test: &Test| {
        let samples = &test.samples;
        json!({
            "id": test.id,
            "tokens": test.tokens,
            "outcomes": samples.outcomes,
            "degrees_of_freedom": test.freedom,
            "statistic": samples.statistic,
            "p": samples.p,
            "p_adjusted": test.adjusted,
            "rejects": test.rejects(),
            "total_variation": samples.total_variation,
            "total_variation_interval": [samples.interval.0, samples.interval.1],
            "total_variation_by_chance": samples.by_chance,
            "detectable_total_variation": test.detectable,
        })
    };
    json!({
        "test": TEST,
        "replies_a_side": comparison.size,
        "level": LEVEL,
        "strictest_level": comparison.strictest,
        "power": POWER,
        "tests": comparison.tests.iter().map(test).collect::<Vec<_>>(),
    })
}

/// The test in one sentence.
const TEST: &str = "Pearson's chi-square test of homogeneity of the first 1, 2, 3, .. tokens of replies, with and without \
                    speculation, other seeds on each side; outcomes seen fewer than 10 times pooled; Holm's adjustment";

fn verdict(plan: &Plan, found: &Found) -> String {
    let (method, promise) = (plan.method, plan.promise);
    let promised = match promise {
        Losslessness::SameText => "promises the same text",
        Losslessness::SameDistribution => "promises the same distribution",
        Losslessness::No => "promises nothing",
    };
    let seen = match (found, found.differs()) {
        (Found::Texts(comparison), false) => {
            format!("all {} pairs of replies are equal", comparison.compared)
        }
        (Found::Texts(comparison), true) => {
            let (differ, all) = (comparison.differences.len(), comparison.compared);
            format!("{differ} of {all} pairs of replies differ")
        }
        (Found::Distributions(comparison), false) => {
            let tests = comparison.tests.len();
            format!("none of {tests} tests tells its replies from plain decoding")
        }
        (Found::Distributions(comparison), true) => {
            let rejecting = comparison.tests.iter().filter(|test| test.rejects());
            let (rejecting, tests) = (rejecting.count(), comparison.tests.len());
            format!("{rejecting} of {tests} tests tell its replies from plain decoding")
        }
    };
    let lossless = if found.differs() {
        "lossy"
    } else {
        "no difference"
    };
    format!("{lossless}: {method} {promised}, and {seen}")
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(args, plan, found, drafted) = self;
        let (pair, method) = (
            format!("{} drafts for {}", args.drafter, args.target),
            plan.method,
        );
        let (temperature, top_p) = (plan.sampling.temperature, plan.sampling.top_p);
        writeln!(
            f,
            "{method}, {pair}: {} prompts, {} seeds, {} tokens, temperature {temperature}, top-p {top_p}",
            plan.prompts.len(),
            plan.seeds,
            plan.max_tokens,
        )?;
        let Drafted { proposed, accepted } = drafted;
        writeln!(f, "{proposed} tokens proposed, {accepted} accepted\n")?;
        match found {
            Found::Texts(comparison) => {
                for difference in comparison.differences.iter().take(LISTED) {
                    let same_text::Difference { id, seed, what } = difference;
                    writeln!(f, "{id}, seed {seed}: {what}")?;
                }
            }
            Found::Distributions(comparison) => write_distributions(f, plan, comparison)?,
        }
        write!(f, "{}", verdict(plan, found))
    }
}

fn write_distributions(
    f: &mut fmt::Formatter<'_>,
    plan: &Plan,
    comparison: &distribution::Comparison,
) -> fmt::Result {
    writeln!(f, "{TEST}.")?;
    let (size, percent) = (comparison.size, 100.0 * POWER);
    writeln!(
        f,
        "{size} replies a side and prompt, level {LEVEL} for all tests together; \"finds\" is the total variation found with \
         a probability of {percent:.0} % or more.\n"
    )?;
    writeln!(
        f,
        "{:<24}{:>7}{:>10}{:>10}{:>10}{:>10}{:>7}{:>15}{:>8}{:>7}",
        "prompt",
        "tokens",
        "outcomes",
        "chi2",
        "p",
        "adjusted",
        "TV",
        "middle 95 %",
        "chance",
        "finds"
    )?;
    let ids = plan.prompts.iter().map(|named| Some(named.id.as_str()));
    for id in ids.take(LISTED).chain([None]) {
        let Some(test) = comparison.strongest(id) else {
            continue;
        };
        let samples = &test.samples;
        let name: String = id.unwrap_or("all together").chars().take(23).collect();
        let interval = format!("{:.3} to {:.3}", samples.interval.0, samples.interval.1);
        writeln!(
            f,
            "{name:<24}{:>7}{:>10}{:>10.2}{:>10.4}{:>10.4}{:>7.3}{interval:>15}{:>8.3}{:>7.3}",
            test.tokens,
            samples.outcomes,
            samples.statistic,
            samples.p,
            test.adjusted,
            samples.total_variation,
            samples.by_chance,
            test.detectable,
        )?;
    }
    writeln!(
        f,
        "Of the tests of a prompt, the one with the smallest p. \"middle 95 %\" is of bootstrap samples: drawing anew adds a \
         distance of its own, so it may lie above the TV found.\n"
    )
}
