//! Runs a fuzz target of this crate, or all of them, each for so many seconds:
//! `cargo run -p proto --example fuzz_proto -- TARGET|all SECONDS`. A finding is a panic, and is shown with the number of its
//! input.

#[path = "../tests/fuzz/input.rs"]
mod input;
#[path = "../tests/fuzz/samples.rs"]
mod samples;
#[path = "../tests/fuzz/targets.rs"]
mod targets;

use std::{
    error::Error,
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: fuzz TARGET|all SECONDS";
    let mut args = std::env::args().skip(1);
    let wanted = args.next().ok_or(usage)?;
    let seconds = args.next().ok_or(usage)?.parse()?;
    let mut targets = targets::targets();
    let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
    let unknown = format!("{wanted:?} is none of all, {}", names.join(", "));
    targets.retain(|target| wanted == "all" || wanted == target.name);
    if targets.is_empty() {
        return Err(unknown.into());
    }
    let mut out = std::io::stdout();
    for target in targets {
        let began = Instant::now();
        let mut number = 0;
        while began.elapsed() < Duration::from_secs(seconds) {
            let input = input::generated(number, &target.seeds);
            let held = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
            held.map_err(|_| format!("{} fails on input {number}", target.name))?;
            number += 1;
        }
        writeln!(out, "{}: {number} inputs without a finding", target.name)?;
    }
    Ok(())
}
