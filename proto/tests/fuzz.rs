//! Every message that enters from outside, over random bytes, each for a fifth of a second.
//! `ARBTEST_BUDGET_MS=600000 cargo test -p proto --test fuzz NAME` tries one for ten minutes. A failure names the seed that
//! repeats it.

#[path = "fuzz/input.rs"]
mod input;
#[path = "fuzz/samples.rs"]
mod samples;
#[path = "fuzz/targets.rs"]
mod targets;

use arbtest::arbtest;
use targets::Target;

/// Random bytes that an input is made of, at most.
const SIZE: u32 = 1 << 12;

fn check(target: &Target) {
    let test = arbtest(|u| {
        (target.run)(&input::input(u, &target.seeds)?);
        Ok(())
    });
    let test = test.size_max(SIZE);
    // A budget of the test would hide that of the environment.
    if std::env::vars().any(|(name, _)| name == "ARBTEST_BUDGET_MS") {
        test.run();
    } else {
        test.budget_ms(200).run();
    }
}

#[test]
fn messages_to_the_drafter_are_read_or_refused() {
    check(&targets::to_drafter());
}

#[test]
fn messages_from_the_drafter_are_read_or_refused() {
    check(&targets::from_drafter());
}

#[test]
fn descriptions_of_drafters_are_read_or_refused() {
    check(&targets::drafter_description());
}

#[test]
fn requests_for_vocabularies_are_read_or_refused() {
    check(&targets::vocabulary_request());
}

#[test]
fn pages_of_vocabularies_are_read_or_refused() {
    check(&targets::vocabulary_page());
}

#[test]
fn requests_to_generate_are_read_or_refused() {
    check(&targets::generate());
}

#[test]
fn usage_is_read_or_refused() {
    check(&targets::usage());
}

#[test]
fn parts_of_replies_are_read_or_refused() {
    check(&targets::part());
}

#[test]
fn descriptions_of_verifiers_are_read_or_refused() {
    check(&targets::verifier_description());
}

#[test]
fn requests_to_check_pairs_are_read_or_refused() {
    check(&targets::check_pair());
}

#[test]
fn checked_pairs_are_read_or_refused() {
    check(&targets::checked_pair());
}
