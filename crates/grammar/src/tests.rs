//! Walks through grammars over a vocabulary of single bytes.

use std::time::{Duration, Instant};

use super::*;

fn grammars() -> (Arc<Tokenizer>, Grammars) {
    let tokenizer = Arc::new(Tokenizer::of_bytes().unwrap());
    let size = tokenizer.vocab_size();
    (
        Arc::clone(&tokenizer),
        Grammars::new(tokenizer, size).unwrap(),
    )
}

/// A text that the guide admits: at each place the allowed token that `choose` picks among them.
fn walk(tokenizer: &Tokenizer, guide: &mut Guide, mut choose: impl FnMut(&[u32]) -> u32) -> String {
    let mut text = Vec::new();
    for _ in 0..400 {
        if guide.is_complete() {
            break;
        }
        let set = guide.allowed().unwrap().clone();
        let ids: Vec<u32> = (0..tokenizer.vocab_size() as u32)
            .filter(|id| set.has(*id))
            .collect();
        let id = choose(&ids);
        if tokenizer.is_control(id) {
            break;
        }
        guide.take(id).unwrap();
        text.extend_from_slice(tokenizer.token_bytes(id));
    }
    String::from_utf8(text).unwrap()
}

/// Chooser among allowed tokens by a fixed sequence of numbers.
fn random(mut state: u64) -> impl FnMut(&[u32]) -> u32 {
    move |ids| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ids[(state >> 33) as usize % ids.len()]
    }
}

#[test]
fn whatever_is_chosen_the_json_is_valid() {
    let (tokenizer, grammars) = grammars();
    let schema = r#"{"type": "object", "properties": {"name": {"enum": ["Ann", "Bob"]}, "age": {"type": "integer", "minimum": 0,
                  "maximum": 150}, "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}},
                  "required": ["name", "age"], "additionalProperties": false}"#;
    let guide = grammars.json_schema(schema).unwrap();
    for seed in 0..50 {
        let text = walk(&tokenizer, &mut guide.fork(), random(seed));
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(value["age"].as_u64().unwrap() <= 150, "{text}");
        assert!(
            ["Ann", "Bob"].contains(&value["name"].as_str().unwrap()),
            "{text}"
        );
    }
}

#[test]
fn what_only_one_text_fits_is_forced() {
    let (tokenizer, grammars) = grammars();
    let schema = r#"{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false}"#;
    let mut guide = grammars.json_schema(schema).unwrap();
    let forced = guide.forced();
    assert_eq!(tokenizer.decode_bytes(&forced), b"{\"name\": \"");
    for id in forced {
        assert!(guide.allowed().unwrap().has(id));
        guide.take(id).unwrap();
    }
    assert_eq!(guide.forced(), [0; 0]);
    let ids = tokenizer.encode("Ann\"}!");
    assert_eq!(guide.admits(&ids), 5);
    assert!(guide.try_take(&ids[..5]) && guide.is_complete());
}

#[test]
fn choices_and_expressions_are_whole_texts() {
    let (tokenizer, grammars) = grammars();
    let texts = ["yes", "no \"thanks\"", "\u{e9}t\u{e9}\n"].map(ToOwned::to_owned);
    let choices = grammars.choices(&texts).unwrap();
    let regex = grammars.regex("[a-c]{2,4}-[0-9]").unwrap();
    for seed in 0..20 {
        let text = walk(&tokenizer, &mut choices.fork(), random(seed));
        assert!(texts.contains(&text), "{text}");
        let text = walk(&tokenizer, &mut regex.fork(), random(seed));
        let (letters, digit) = text.split_once('-').unwrap();
        assert!(
            (2..=4).contains(&letters.len()) && digit.len() == 1,
            "{text}"
        );
    }
}

#[test]
fn fork_goes_on_by_itself() {
    let (tokenizer, grammars) = grammars();
    let mut one = grammars.regex("ab|ac").unwrap();
    one.take(tokenizer.encode("a")[0]).unwrap();
    let mut other = one.fork();
    one.take(tokenizer.encode("b")[0]).unwrap();
    other.take(tokenizer.encode("c")[0]).unwrap();
    assert!(one.is_complete() && other.is_complete());
}

#[test]
fn bad_grammars_are_refused_with_a_reason() {
    let (_, grammars) = grammars();
    for schema in [
        "{",
        "[]",
        "3",
        r#"{"type": "hiccup"}"#,
        r##"{"$ref": "#/nowhere"}"##,
    ] {
        let error = grammars.json_schema(schema).unwrap_err().to_string();
        assert!(
            !error.is_empty() && error.len() <= 4 * MAX_REASON,
            "{schema}: {error}"
        );
    }
    assert!(grammars.regex("(").is_err());
    assert!(grammars.lark("start: nothing").is_err());
    assert!(grammars.lark("").is_err());
}

#[test]
fn hostile_grammars_take_bounded_time() {
    let (_, grammars) = grammars();
    let nested = (0..60).fold(r#"{"type": "string"}"#.to_owned(), |inner, _| {
        format!(r#"{{"type": "array", "items": {inner}}}"#)
    });
    let wide: Vec<String> = (0..3000)
        .map(|i| format!(r#""k{i}": {{"type": "string", "pattern": "^(a|b|ab)*c{{{i}}}$"}}"#))
        .collect();
    let chain: Vec<String> = (0..2000)
        .map(|i| format!(r##""d{i}": {{"$ref": "#/$defs/d{}"}}"##, i + 1))
        .collect();
    let doubling: Vec<String> = (0..28)
        .map(|i| format!(r##""d{i}": {{"allOf": [{{"$ref": "#/$defs/d{0}"}}, {{"$ref": "#/$defs/d{0}"}}]}}"##, i + 1))
        .collect();
    let schemas = [
        nested,
        format!(
            r#"{{"type": "object", "properties": {{{}}}}}"#,
            wide.join(", ")
        ),
        format!(
            r##"{{"$defs": {{{}, "d2000": {{"type": "null"}}}}, "$ref": "#/$defs/d0"}}"##,
            chain.join(", ")
        ),
        format!(
            r##"{{"$defs": {{{}, "d28": {{"type": "null"}}}}, "$ref": "#/$defs/d0"}}"##,
            doubling.join(", ")
        ),
        r##"{"$ref": "#"}"##.to_owned(),
        r#"{"type": "string", "pattern": "^((a{0,500}){0,500}){0,500}$"}"#.to_owned(),
        r#"{"type": "array", "minItems": 1000000, "items": {"type": "integer"}}"#.to_owned(),
        r#"{"type": "string", "maxLength": 1000000000}"#.to_owned(),
    ];
    for schema in schemas {
        let began = Instant::now();
        let guide = grammars.json_schema(&schema);
        let took = began.elapsed();
        let shown: String = schema.chars().take(80).collect();
        assert!(
            took < Duration::from_secs(20),
            "{took:?}, {}: {shown}",
            guide.is_ok()
        );
    }
}
