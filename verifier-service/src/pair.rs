//! Fit of two tokenizers: overlap by bytes, round trips, roles, mapping of tokens, and a verdict.
//!
//! No model runs here. The service checks a drafter by the vocabulary that the drafter sends; the
//! command line has both tokenizers. Both get the same report.

mod round_trip;
mod texts;
mod verdict;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use proto::{
    drafter::{EndRole, VocabularyTable},
    model::Fingerprint,
    verifier::{Mapping, MethodFit, PairAcceptance, PairFit, PairReport, PairSide},
};
use tokenizer::Tokenizer;

use self::round_trip::{DraftText, TextReport};

/// Two tokenizers to be compared.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Name of the target model, or of its file.
    pub target_name: &'a str,
    /// The target's tokenizer.
    pub target: &'a Arc<Tokenizer>,
    /// Name of the draft model, or of its file.
    pub drafter_name: &'a str,
    /// The draft model's tokenizer, as far as it is known.
    pub drafter: Drafter<'a>,
}

/// A draft model's tokenizer, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub enum Drafter<'a> {
    /// The whole tokenizer.
    Tokenizer(&'a Tokenizer),
    /// The spelling of its tokens and the name of its family, as the drafter sends them.
    Vocabulary(&'a VocabularyTable, &'a str),
}

impl Pair<'_> {
    /// Compares the two. Takes some hundred milliseconds: not for the runtime's threads.
    pub fn report(&self) -> PairReport {
        let own;
        let draft = match self.drafter {
            Drafter::Tokenizer(tokenizer) => {
                own = table(tokenizer);
                &own
            }
            Drafter::Vocabulary(table, _) => table,
        };
        let target = table(self.target);
        let target_spellings = spellings(&target);
        let draft_spellings = spellings(draft);
        let shared = draft_spellings.intersection(&target_spellings).count();
        let texts = self.texts(draft, &target_spellings);
        let mapping = texts.iter().fold(Mapping::default(), |sum, text| Mapping {
            one_to_one: sum.one_to_one + text.mapping.one_to_one,
            one_to_many: sum.one_to_many + text.mapping.one_to_many,
            many_to_one: sum.many_to_one + text.mapping.many_to_one,
            many_to_many: sum.many_to_many + text.mapping.many_to_many,
        });
        let drafted: u32 = texts.iter().map(|text| text.trip.draft_tokens).sum();
        let in_both: u32 = texts.iter().map(|text| text.shared_tokens).sum();
        let overlap = Overlap {
            same: target.fingerprint == draft.fingerprint,
            of_ids: share(shared, draft_spellings.len()),
            of_text: share(in_both as usize, drafted as usize),
        };
        let drafter_family = match self.drafter {
            Drafter::Tokenizer(tokenizer) => tokenizer.family(),
            Drafter::Vocabulary(_, family) => family,
        };
        let target_side = side((self.target_name, self.target.family()), &target);
        let drafter_side = side((self.drafter_name, drafter_family), draft);
        let report = PairReport {
            target: with_spellings(target_side, target_spellings.len()),
            drafter: with_spellings(drafter_side, draft_spellings.len()),
            shared_spellings: shared as u32,
            exact_draft_tokens: matches!(self.drafter, Drafter::Tokenizer(_)),
            round_trips: texts.into_iter().map(|text| text.trip).collect(),
            methods: methods(&overlap, &mapping),
            mapping,
            fit: PairFit::Poor,
            verdict: String::new(),
            acceptance: None,
        };
        verdict::judged(report)
    }

    fn texts(&self, draft: &VocabularyTable, target: &HashSet<&[u8]>) -> Vec<TextReport> {
        let longest = match self.drafter {
            Drafter::Tokenizer(_) => HashMap::new(),
            Drafter::Vocabulary(..) => ids_by_spelling(draft),
        };
        let drafted = |text: &str| match self.drafter {
            Drafter::Tokenizer(tokenizer) => DraftText::of(draft, &tokenizer.encode(text)),
            Drafter::Vocabulary(..) => DraftText::of(draft, &longest_match(&longest, text)),
        };
        let texts = texts::ALL.iter();
        texts
            .map(|(name, text)| round_trip::run(self.target, target, name, text, &drafted(text)))
            .collect()
    }
}

/// The same report with the acceptance that decoding has measured, and a verdict drawn from it.
#[must_use]
pub fn with_acceptance(report: PairReport, acceptance: PairAcceptance) -> PairReport {
    verdict::judged(PairReport {
        acceptance: Some(acceptance),
        ..report
    })
}

/// Spelling and role of a tokenizer's ids, as its drafter would send them.
pub fn table(tokenizer: &Tokenizer) -> VocabularyTable {
    let specials = tokenizer.specials();
    let role = |id: u32| {
        let ends = specials.end_tokens.binary_search(&id).is_ok();
        let ends_turn = specials.end_of_turn == Some(id);
        let ends_sequence = ends.then_some(EndRole::EndOfSequence);
        ends_turn.then_some(EndRole::EndOfTurn).or(ends_sequence)
    };
    let ids = 0..tokenizer.vocab_size() as u32;
    let tokens = ids.map(|id| (tokenizer.token_bytes(id), role(id)));
    VocabularyTable::of(Fingerprint(tokenizer.fingerprint()), tokens)
}

/// Part of the draft model's vocabulary that the target has too.
struct Overlap {
    /// True if both are the same tokenizer.
    same: bool,
    /// Share of the spellings of draft tokens, from 0 to 1.
    of_ids: f64,
    /// Share of the draft tokens of the texts, from 0 to 1.
    of_text: f64,
}

/// Fit of each lossless method.
fn methods(overlap: &Overlap, mapping: &Mapping) -> Vec<MethodFit> {
    let whole = mapping.one_to_one + mapping.one_to_many;
    let paths = share(whole as usize, mapping.total() as usize);
    let (same, sameness) = if overlap.same {
        (1.0, "both tokenizers are the same")
    } else {
        (0.0, "the tokenizers differ")
    };
    let percent = 100.0 * overlap.of_ids;
    [
        ("greedy", 1.0, "works on bytes, at temperature 0".to_owned()),
        ("coupled", 1.0, "works on bytes".to_owned()),
        ("point_mass", 1.0, "works on bytes".to_owned()),
        ("standard", same, sameness.to_owned()),
        (
            "tli",
            overlap.of_text,
            format!("the target has {percent:.1} % of what draft tokens spell"),
        ),
        (
            "path_conditional",
            paths,
            "every draft token is spelled by itself; counted is where the target would cut alike"
                .to_owned(),
        ),
    ]
    .into_iter()
    .map(|(name, share, reason)| MethodFit {
        name: name.to_owned(),
        fits: share > 0.0,
        share,
        reason,
    })
    .collect()
}

fn side((name, family): (&str, &str), table: &VocabularyTable) -> PairSide {
    PairSide {
        name: name.to_owned(),
        family: family.to_owned(),
        fingerprint: table.fingerprint,
        vocabulary_size: table.size(),
        spellings: 0,
        end_of_sequence_tokens: table.end_of_sequence.len() as u32,
        end_of_turn_tokens: table.end_of_turn.len() as u32,
    }
}

fn with_spellings(side: PairSide, spellings: usize) -> PairSide {
    PairSide {
        spellings: spellings as u32,
        ..side
    }
}

fn spellings(table: &VocabularyTable) -> HashSet<&[u8]> {
    table.tokens().filter(|bytes| !bytes.is_empty()).collect()
}

fn ids_by_spelling(table: &VocabularyTable) -> HashMap<&[u8], u32> {
    let mut ids = HashMap::new();
    for (id, bytes) in (0..).zip(table.tokens()) {
        if !bytes.is_empty() {
            ids.entry(bytes).or_insert(id);
        }
    }
    ids
}

/// Tokens of a text by longest match, from the first byte on. Bytes without a token are left out.
fn longest_match(ids: &HashMap<&[u8], u32>, text: &str) -> Vec<u32> {
    let longest = ids.keys().map(|bytes| bytes.len()).max().unwrap_or(0);
    let mut rest = text.as_bytes();
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let lengths = (1..=longest.min(rest.len())).rev();
        let mut found = lengths.filter_map(|length| Some((length, *ids.get(&rest[..length])?)));
        let (length, id) = found.next().unzip();
        tokens.extend(id);
        rest = &rest[length.unwrap_or(1)..];
    }
    tokens
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests;
