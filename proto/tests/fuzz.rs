//! A short run of every fuzz target; `cargo run -p proto --example fuzz_proto -- all 600` makes a long one.

#[path = "fuzz/input.rs"]
mod input;
#[path = "fuzz/samples.rs"]
mod samples;
#[path = "fuzz/targets.rs"]
mod targets;

#[test]
fn targets_hold_for_the_first_inputs() {
    for target in targets::targets() {
        for number in 0..20_000 {
            let input = input::generated(number, &target.seeds);
            let held = std::panic::catch_unwind(|| (target.run)(&input));
            assert!(held.is_ok(), "{} fails on input {number}", target.name);
        }
    }
}
