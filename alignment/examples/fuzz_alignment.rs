//! Runs a fuzz target of this crate, or all of them, each for so many seconds:
//! `cargo run -p alignment --example fuzz_alignment -- TARGET|all SECONDS [FIRST]`. Inputs are numbered from FIRST,
//! 0 by default, so a run with another FIRST has other inputs. A finding is a panic, and is shown with the
//! number of its input.
//!
//! Ours because the usual fuzzers need a nightly compiler. It is blind to coverage; the targets make up
//! for it by reading structure off the bytes.

#[path = "../tests/fuzz/input.rs"]
mod input;
#[path = "../tests/fuzz/plain.rs"]
mod plain;
#[path = "../tests/fuzz/targets.rs"]
mod targets;
#[expect(dead_code, reason = "the tests that share it use more of it")]
#[path = "../src/reencode/toy.rs"]
mod toy;

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use alignment::Vocabulary;
use targets::{Models, TARGETS};

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: fuzz TARGET|all SECONDS [FIRST]";
    let mut args = std::env::args().skip(1);
    let wanted = args.next().ok_or(usage)?;
    let seconds = args.next().ok_or(usage)?.parse()?;
    let first: u64 = args.next().map_or(Ok(0), |first| first.parse())?;
    let chosen = |name: &str| wanted == "all" || wanted == name;
    if !TARGETS.iter().any(|(name, _)| chosen(name)) {
        let names = TARGETS.map(|(name, _)| name).join(", ");
        return Err(format!("{wanted:?} is none of {names}").into());
    }
    let models = Models::new();
    let mut out = std::io::stdout();
    for (name, target) in TARGETS.into_iter().filter(|(name, _)| chosen(name)) {
        let began = Instant::now();
        let mut number = first;
        while began.elapsed() < Duration::from_secs(seconds) {
            let guard = Finding { name, number };
            target(&models, &input::generated(number, toy::PAGE.as_bytes()));
            std::mem::forget(guard);
            number += 1;
        }
        writeln!(out, "{name}: {} inputs without a finding", number - first)?;
    }
    Ok(())
}

/// Says which input was being tried when a panic passes by.
struct Finding {
    name: &'static str,
    number: u64,
}

impl Drop for Finding {
    fn drop(&mut self) {
        let (name, number) = (self.name, self.number);
        // Nothing can be done where standard error is gone.
        let _ = writeln!(std::io::stderr(), "{name} fails on input {number}");
    }
}
