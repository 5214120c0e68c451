//! The rules of the architecture that neither the compiler nor clippy holds: which crate may import which, what a file looks like,
//! which words stay out, what every element of the schema has to say.
//!
//! Each test names its rule and, when it fails, every place that breaks it. The checks read the tree as text; a parser would
//! say no more about rules as coarse as these.

mod crates;
mod documents;
mod files;
mod names;

/// Packages of the two services.
pub(crate) const SERVICES: [&str; 2] = ["drafter-service", "verifier-service"];

/// Fails with the rule and every place that breaks it.
pub(crate) fn assert_holds(rule: &str, broken: &[String]) {
    assert!(
        broken.is_empty(),
        "{rule}; broken {} times:\n  {}",
        broken.len(),
        broken.join("\n  ")
    );
}
