//! A short run of every fuzz target; `cargo run -p alignment --example fuzz_alignment -- all 600` makes a long one.

#[path = "fuzz/input.rs"]
mod input;
#[path = "fuzz/plain.rs"]
mod plain;
#[path = "fuzz/targets.rs"]
mod targets;
#[expect(dead_code, reason = "the tests that share it use more of it")]
#[path = "../src/reencode/toy.rs"]
mod toy;

use alignment::Vocabulary;
use targets::{Models, TARGETS};

#[test]
fn targets_hold_for_the_first_inputs() {
    let models = Models::new();
    for (name, target) in TARGETS {
        for number in 0..4_000 {
            let input = input::generated(number, toy::PAGE.as_bytes());
            let held =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&models, &input)));
            assert!(held.is_ok(), "{name} fails on input {number}");
        }
    }
}
