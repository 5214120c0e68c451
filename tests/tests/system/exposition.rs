//! Metrics as a scraper gets them: plain HTTP, and text read strictly, so that what a lenient one would pass over fails a test.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::TcpStream,
};

/// Values by name and labels as they are written: `duet_verifier_requests_total{outcome="stop"}`.
pub(crate) type Samples = BTreeMap<String, f64>;

/// Body of a page of the admin port, which must be there.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("an admin port");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .expect("a request");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    body.to_owned()
}

/// All samples of `/metrics`. Every sample must belong to the family declared above it, and be there once.
pub(crate) fn scrape(address: &str) -> Samples {
    let text = get(address, "/metrics");
    let mut samples = Samples::new();
    let (mut families, mut kind, mut family) = (BTreeSet::new(), "", "");
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<&str> = comment.splitn(3, ' ').collect();
            let [keyword, name, rest] = words[..] else {
                panic!("a comment that declares nothing: {line}");
            };
            assert!(is_name(name), "{line}");
            match keyword {
                "HELP" => assert!(families.insert(name), "declared twice: {line}"),
                "TYPE" => kind = rest,
                _ => panic!("not a declaration: {line}"),
            }
            family = name;
            continue;
        }
        let (key, value) = line
            .rsplit_once(' ')
            .unwrap_or_else(|| panic!("no value: {line}"));
        let name = key.split('{').next().unwrap_or(key);
        let suffix = name
            .strip_prefix(family)
            .unwrap_or_else(|| panic!("out of place: {line}"));
        assert!(
            suffixes(kind).contains(&suffix),
            "a {kind} has no {suffix:?}: {line}"
        );
        labels(&key[name.len()..]).unwrap_or_else(|| panic!("labels: {line}"));
        let value = value
            .parse()
            .unwrap_or_else(|_| panic!("not a number: {line}"));
        assert!(
            samples.insert(key.to_owned(), value).is_none(),
            "twice: {line}"
        );
    }
    samples
}

/// Growth of a sample; one that was not there was 0.
pub(crate) fn growth(before: &Samples, after: &Samples, key: &str) -> f64 {
    let at = |samples: &Samples| samples.get(key).copied().unwrap_or(0.0);
    at(after) - at(before)
}

/// Endings of the samples of a family of this kind.
fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" | "gauge" => &[""],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => panic!("no kind of metric: {kind:?}"),
    }
}

/// True if these are labels, `{name="value",...}` or nothing at all.
fn labels(text: &str) -> Option<()> {
    if text.is_empty() {
        return Some(());
    }
    let mut rest = text.strip_prefix('{')?.strip_suffix('}')?;
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"")?;
        let (value, after) = value.split_once('"')?;
        let is_right = is_name(name) && !value.contains(['\\', '\n']);
        rest = after.strip_prefix(',').unwrap_or(after);
        is_right.then_some(())?;
    }
    Some(())
}

fn is_name(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
