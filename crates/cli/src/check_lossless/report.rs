//! The report of a check, as text and as JSON.

use std::fmt;

use alignment::acceptance::Losslessness;
use serde_json::{Value, json};

use super::check::Check;
use super::distribution::{DistributionTests, HomogeneityTest, LEVEL, POWER};
use super::findings::Findings;
use super::replies::DraftCounts;
use super::same_text::{TextComparison, TextDifference};

/// Most differences, or tests, that the text lists; the JSON has all.
const LISTED: usize = 20;

/// Findings of a check, with everything that the report says about it.
pub(super) struct Summary<'a> {
    pub(super) target: &'a str,
    pub(super) drafter: &'a str,
    pub(super) check: &'a Check,
    pub(super) findings: &'a Findings,
    pub(super) drafted: &'a DraftCounts,
}

impl Summary<'_> {
    /// One object, as `--json` prints it.
    pub(super) fn json(&self) -> Value {
        let (check, findings) = (self.check, self.findings);
        let mut report = json!({
            "differs": findings.differs(),
            "verdict": verdict(check, findings),
            "target": self.target,
            "drafter": self.drafter,
            "method": check.method.name(),
            "promise": check.promise.to_string(),
            "prompts": check.prompts.len(),
            "seeds": check.seeds,
            "max_tokens": check.max_tokens,
            "temperature": check.sampling.temperature,
            "top_p": check.sampling.top_p,
            "proposed_tokens": self.drafted.proposed,
            "accepted_tokens": self.drafted.accepted,
        });
        let (name, value) = match findings {
            Findings::Texts(comparison) => ("texts", texts(comparison)),
            Findings::Distributions(tests) => ("distributions", distributions(tests)),
        };
        report[name] = value;
        report
    }
}

fn texts(comparison: &TextComparison) -> Value {
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

fn distributions(comparison: &DistributionTests) -> Value {
    let test = |test: &HomogeneityTest| {
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

/// Description of the test in one sentence.
const TEST: &str = "Pearson's chi-square test of homogeneity of the first 1, 2, 3, .. tokens of replies, with and without \
                    speculation, other seeds on each side; outcomes seen fewer than 10 times pooled; Holm's adjustment";

fn verdict(check: &Check, findings: &Findings) -> String {
    let (method, promise) = (check.method, check.promise);
    let promised = match promise {
        Losslessness::SameText => "promises the same text",
        Losslessness::SameDistribution => "promises the same distribution",
        Losslessness::No => "promises nothing",
    };
    let seen = match (findings, findings.differs()) {
        (Findings::Texts(comparison), false) => {
            format!("all {} pairs of replies are equal", comparison.compared)
        }
        (Findings::Texts(comparison), true) => {
            let (differ, all) = (comparison.differences.len(), comparison.compared);
            format!("{differ} of {all} pairs of replies differ")
        }
        (Findings::Distributions(comparison), false) => {
            let tests = comparison.tests.len();
            format!("none of {tests} tests tells its replies from plain decoding")
        }
        (Findings::Distributions(comparison), true) => {
            let rejecting = comparison.tests.iter().filter(|test| test.rejects());
            let (rejecting, tests) = (rejecting.count(), comparison.tests.len());
            format!("{rejecting} of {tests} tests tell its replies from plain decoding")
        }
    };
    let lossless = if findings.differs() {
        "lossy"
    } else {
        "no difference"
    };
    format!("{lossless}: {method} {promised}, and {seen}")
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (check, findings) = (self.check, self.findings);
        let pair = format!("{} drafts for {}", self.drafter, self.target);
        let method = check.method;
        let (temperature, top_p) = (check.sampling.temperature, check.sampling.top_p);
        writeln!(
            f,
            "{method}, {pair}: {} prompts, {} seeds, {} tokens, temperature {temperature}, top-p {top_p}",
            check.prompts.len(),
            check.seeds,
            check.max_tokens,
        )?;
        let DraftCounts { proposed, accepted } = self.drafted;
        writeln!(f, "{proposed} tokens proposed, {accepted} accepted\n")?;
        match findings {
            Findings::Texts(comparison) => {
                for difference in comparison.differences.iter().take(LISTED) {
                    let TextDifference { id, seed, what } = difference;
                    writeln!(f, "{id}, seed {seed}: {what}")?;
                }
            }
            Findings::Distributions(comparison) => write_distributions(f, check, comparison)?,
        }
        write!(f, "{}", verdict(check, findings))
    }
}

fn write_distributions(
    f: &mut fmt::Formatter<'_>,
    check: &Check,
    comparison: &DistributionTests,
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
    let ids = check.prompts.iter().map(|named| Some(named.id.as_str()));
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
        "For each prompt the test with the smallest p. \"middle 95 %\" is of bootstrap samples: resampling adds a \
         distance of its own, so it may lie above the TV found.\n"
    )
}
