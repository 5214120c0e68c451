//! Properties over random bytes, each for a second. `ARBTEST_BUDGET_MS=600000 cargo test -p alignment --test fuzz NAME` tries
//! one for ten minutes. A failure names the seed that repeats it.

#[path = "fuzz/plain.rs"]
mod plain;
#[path = "fuzz/targets.rs"]
mod targets;
#[expect(dead_code, reason = "the tests that share it use more of it")]
#[path = "../src/reencode/toy.rs"]
mod toy;

use alignment::Vocabulary;
use arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use targets::Models;

/// Bytes at most: no property reads more.
const SIZE: u32 = 1 << 13;

fn check(property: impl FnMut(&mut Unstructured<'_>) -> Result<()>) {
    let test = arbtest(property).size_max(SIZE);
    // A budget of the test would hide that of the environment.
    let is_longer = std::env::vars().any(|(name, _)| name == "ARBTEST_BUDGET_MS");
    if is_longer {
        test.run();
    } else {
        test.budget_ms(1000).run();
    }
}

#[test]
fn warping_gives_the_alignment_of_its_definition() {
    check(targets::warping);
}

#[test]
fn spans_part_at_common_boundaries_or_are_refused() {
    check(targets::byte_spans);
}

#[test]
fn candidates_spell_the_draft_after_any_committed_tokens() {
    let models = Models::new();
    check(|u| targets::reencoding(&models, u));
}

#[test]
fn rules_over_any_distribution_emit_distributions_of_the_target() {
    let models = Models::new();
    check(|u| targets::distributions(&models, u));
}
