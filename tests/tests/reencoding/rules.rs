//! Properties of every answer of re-encoding, independent of how it is done.

use alignment::reencode::{Candidates, TAIL_TOKENS, candidates};
use alignment::{TargetToken, Vocabulary};

use crate::case::Case;
use crate::tally::Seen;

/// Text of the last committed tokens.
struct Tail {
    ids: Vec<u32>,
    bytes: Vec<u8>,
    /// Bytes at the end that begin a character.
    begun: usize,
}

/// Checks one case; an error names the broken rule. `keeps_text` is whether the target's `encode` spells what it was
/// given, which a normaliser does not.
pub(crate) fn check(
    target: &impl Vocabulary,
    keeps_text: bool,
    case: &Case,
) -> Result<Vec<Seen>, String> {
    let found = candidates(target, &case.committed, &case.draft, case.max_tokens);
    spells_the_draft(target, case, &found)?;
    let recent = case.committed.len().saturating_sub(TAIL_TOKENS);
    let again = candidates(
        target,
        &case.committed[recent..],
        &case.draft,
        case.max_tokens,
    );
    rule(again == found, || {
        "tokens before the tail matter".to_owned()
    })?;

    let tail = Tail::of(target, &case.committed[recent..]);
    if keeps_text {
        covers_what_it_can(target, case, &tail, &found)?;
    }
    let expected = together(target, &tail, case);
    let proposed = !found.tokens.is_empty();
    let can_join = expected.is_some() && case.max_tokens > 0;
    rule(!found.joined || can_join, || {
        "joined, though the tail changes".to_owned()
    })?;
    rule(found.joined || !can_join, || {
        "the tail comes back, yet it is not joined".to_owned()
    })?;
    if let Some(expected) = expected.filter(|_| found.joined) {
        follows_the_tokenizer(target, case, &found, &expected)?;
    }
    let merged = proposed && !found.joined && !tail.ids.is_empty();
    let whole = found.dropped_bytes == 0;
    let canonical = case.canonical && proposed && found.joined;
    let seen = [
        (Seen::Joined, found.joined),
        (Seen::Merged, merged),
        (Seen::CharacterFinished, proposed && tail.begun > 0),
        (Seen::Whole, whole),
        (Seen::Cut, !whole && proposed),
        (Seen::Nothing, !whole && !proposed),
        (Seen::Canonical, canonical),
        (
            Seen::AsWholeText,
            canonical && as_whole_text(target, case, &found),
        ),
    ];
    Ok(seen
        .into_iter()
        .filter_map(|(what, was)| was.then_some(what))
        .collect())
}

/// The candidates are the draft's first bytes, exactly, and what is not covered is its end.
fn spells_the_draft(
    target: &impl Vocabulary,
    case: &Case,
    found: &Candidates,
) -> Result<(), String> {
    rule(found.tokens.len() <= case.max_tokens, || {
        "too many candidates".to_owned()
    })?;
    rule(found.tokens.len() == found.ends.len(), || {
        "not one end a candidate".to_owned()
    })?;
    let mut spelled = Vec::new();
    for (token, end) in found.tokens.iter().zip(&found.ends) {
        let bytes = target.token_bytes(token.0);
        rule(!bytes.is_empty(), || format!("{token:?} has no bytes"))?;
        spelled.extend_from_slice(bytes);
        rule(spelled.len() == *end as usize, || {
            format!("{token:?} ends elsewhere than at {end}")
        })?;
    }
    rule(case.draft.starts_with(&spelled), || {
        format!("spells {}", spelled.escape_ascii())
    })?;
    let dropped = case.draft.len() - spelled.len();
    rule(found.dropped_bytes == dropped, || {
        format!("{dropped} bytes are dropped")
    })
}

/// All of the draft that is text after the committed bytes is covered, unless a limit or a missing byte is in the way.
fn covers_what_it_can(
    target: &impl Vocabulary,
    case: &Case,
    tail: &Tail,
    found: &Candidates,
) -> Result<(), String> {
    let begun = &tail.bytes[tail.bytes.len() - tail.begun..];
    let from_begun = [begun, &case.draft].concat();
    let text = valid(&from_begun);
    if found.tokens.len() == case.max_tokens || !has_every_byte(target, text) {
        return Ok(());
    }
    let expected = text.len().saturating_sub(tail.begun);
    rule(found.covered_bytes() == expected, || {
        format!(
            "covers {} of {expected} bytes, {found:?}",
            found.covered_bytes()
        )
    })
}

/// Joined candidates are what the tokenizer says, up to the first token that would spell something else.
fn follows_the_tokenizer(
    target: &impl Vocabulary,
    case: &Case,
    found: &Candidates,
    expected: &[u32],
) -> Result<(), String> {
    let ids = ids(found);
    rule(expected.starts_with(&ids), || {
        format!("joined {ids:?}, the tokenizer says {expected:?}")
    })?;
    let rest = &case.draft[found.covered_bytes()..];
    let next = expected
        .get(ids.len())
        .filter(|_| ids.len() < case.max_tokens);
    let next = next.map_or(&[][..], |id| target.token_bytes(*id));
    rule(next.is_empty() || !rest.starts_with(next), || {
        format!(
            "cut before {}, which the draft has there",
            next.escape_ascii()
        )
    })
}

/// Tokens after the tail when it is encoded together with the draft; none if the tail does not come back, or if the
/// draft adds nothing to it that is text.
fn together(target: &impl Vocabulary, tail: &Tail, case: &Case) -> Option<Vec<u32>> {
    let bytes = [&tail.bytes[..], &case.draft].concat();
    let text = valid(&bytes);
    if tail.ids.is_empty() || text.len() <= tail.bytes.len() {
        return None;
    }
    let ids = target.encode(text);
    ids.strip_prefix(&tail.ids[..]).map(<[u32]>::to_vec)
}

/// True if committed tokens and candidates are a prefix of the encoding of all of the text, back to its beginning.
fn as_whole_text(target: &impl Vocabulary, case: &Case, found: &Candidates) -> bool {
    let committed = case.committed.iter().map(|token| token.0);
    let mut bytes: Vec<u8> = committed
        .clone()
        .flat_map(|id| target.token_bytes(id).to_vec())
        .collect();
    bytes.extend_from_slice(&case.draft);
    let all: Vec<u32> = committed.chain(ids(found)).collect();
    target.encode(valid(&bytes)).starts_with(&all)
}

impl Tail {
    /// The longest run of last tokens that is text.
    fn of(target: &impl Vocabulary, recent: &[TargetToken]) -> Self {
        let runs = (0..recent.len()).map(|from| &recent[from..]);
        let tails = runs.filter_map(|run| {
            let ids: Vec<u32> = run.iter().map(|token| token.0).collect();
            let without_bytes = ids.iter().any(|id| target.token_bytes(*id).is_empty());
            let bytes: Vec<u8> = ids
                .iter()
                .flat_map(|id| target.token_bytes(*id))
                .copied()
                .collect();
            let begun = bytes.len() - valid(&bytes).len();
            let is_text = !without_bytes && (begun == 0 || is_begun(&bytes[bytes.len() - begun..]));
            is_text.then_some(Self { ids, bytes, begun })
        });
        let nothing = Self {
            ids: Vec::new(),
            bytes: Vec::new(),
            begun: 0,
        };
        { tails }.next().unwrap_or(nothing)
    }
}

/// True if some character begins with these bytes and goes on after them.
fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
}

/// SmolLM2 has no tokens for a few control characters.
fn has_every_byte(target: &impl Vocabulary, text: &str) -> bool {
    text.bytes().all(|byte| target.single_byte(byte).is_some())
}

fn ids(found: &Candidates) -> Vec<u32> {
    found.tokens.iter().map(|token| token.0).collect()
}

fn valid(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

fn rule(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
