//! Names of public types.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use tests::tree::rust_sources;

use crate::assert_holds;

/// Names that several public types have, each with the reason.
const SHARED_NAMES: [(&str, &str); 21] = [
    ("App", SKELETAL),
    ("Args", SKELETAL),
    ("Client", TWO_PROTOCOLS),
    ("Config", SKELETAL),
    ("ConfigError", SKELETAL),
    ("Description", TWO_PROTOCOLS),
    (
        "Distribution",
        "a row of numbers to judge by, and one that knows how it was sampled",
    ),
    ("Error", QUALIFIED),
    ("Limits", TWO_PROTOCOLS),
    ("Message", RECEIVED),
    ("Method", RECEIVED),
    (
        "Origin",
        "of a candidate in the draft, and of text in the reply",
    ),
    ("Prompt", RECEIVED),
    ("Role", RECEIVED),
    (
        "Round",
        "walks the candidates of a round, and reports one to the pacing; `alignment::round::` and `pacing::`",
    ),
    ("Sampling", RECEIVED),
    ("Serving", SKELETAL),
    ("SparseDistribution", RECEIVED),
    ("TargetToken", RECEIVED),
    ("Verdict", RECEIVED),
    (
        "Wish",
        "what the pacing wants, and as much of it as a drafter is sent; `pacing::` and `drafter::`",
    ),
];
const SKELETAL: &str = "both services have one skeleton and never meet in one scope";
const TWO_PROTOCOLS: &str = "one of each protocol, distinguished by `drafter::` and `verifier::`";
const RECEIVED: &str = "what the wire carries, and what the algorithms take in its place";
const QUALIFIED: &str = "always written with its module";

#[test]
fn public_types_have_names_of_their_own() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in rust_sources() {
        let is_wire = |part: &OsStr| part == "wire" || part == "wire.rs";
        let is_library = source.path.iter().any(|part| part == "src");
        if !is_library || source.path.iter().any(is_wire) {
            continue;
        }
        for (number, line) in source.production_lines() {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let is_type = |word| ["struct", "enum", "trait", "type", "union"].contains(&word);
            if words.next() == Some("pub") && words.next().is_some_and(is_type) {
                let name = words.next().unwrap_or_default().to_owned();
                let place = format!("{}:{number}", source.path.display());
                places.entry(name).or_default().push(place);
            }
        }
    }
    let mut broken = Vec::new();
    for (name, places) in &places {
        let is_shared = SHARED_NAMES.iter().any(|(shared, _)| shared == name);
        if places.len() > 1 && !is_shared {
            broken.push(format!("{name}: {}", places.join(", ")));
        }
    }
    for (name, reason) in SHARED_NAMES {
        if places.get(name).is_none_or(|places| places.len() < 2) {
            broken.push(format!("{name}: no exception is needed ({reason})"));
        }
    }
    assert_holds("a public type name means one thing", &broken);
}
