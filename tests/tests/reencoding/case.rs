//! Random cases: what is committed, and what is drafted after it.

use std::fmt;

use alignment::{TargetToken, Vocabulary as _};
use tests::dice::Dice;
use tests::samples::{ALL, HARD};
use tests::vocabularies::RealVocabulary;

/// A vocabulary and the spellings of its control tokens.
pub(crate) struct Side {
    pub(crate) vocabulary: RealVocabulary,
    controls: Vec<u32>,
    spellings: Vec<String>,
}

/// One call of re-encoding.
pub(crate) struct Case {
    pub(crate) committed: Vec<TargetToken>,
    pub(crate) draft: Vec<u8>,
    pub(crate) max_tokens: usize,
    /// The committed tokens are a prefix of the encoding of the text that they spell.
    pub(crate) canonical: bool,
}

/// Committed tokens, and bytes that go on with their text.
struct Start {
    committed: Vec<u32>,
    rest: Vec<u8>,
    canonical: bool,
}

impl Side {
    pub(crate) fn load(name: &str) -> Self {
        let vocabulary = RealVocabulary::load(name);
        let tokenizer = vocabulary.tokenizer();
        let ids = 0..tokenizer.vocab_size() as u32;
        let named = |id: &u32| {
            tokenizer
                .control_name(*id)
                .is_some_and(|name| !name.is_empty())
        };
        let controls: Vec<u32> = ids.filter(named).collect();
        let spelling = |id: &u32| tokenizer.control_name(*id).unwrap_or_default().to_owned();
        Self {
            spellings: controls.iter().map(spelling).collect(),
            controls,
            vocabulary,
        }
    }

    pub(crate) fn family(&self) -> &str {
        self.vocabulary.family()
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.vocabulary.encode(text)
    }

    fn random_ids(&self, dice: &mut Dice, most: usize) -> Vec<u32> {
        let size = self.vocabulary.tokenizer().vocab_size();
        let count = dice.below(most + 1);
        (0..count).map(|_| dice.below(size) as u32).collect()
    }

    /// Each byte as a token; as the tokenizer has it where one of them has none.
    fn byte_by_byte(&self, text: &str) -> Vec<u32> {
        let singles = text.bytes().map(|byte| self.vocabulary.single_byte(byte));
        let singles: Option<Vec<u32>> = singles.collect();
        singles.unwrap_or_else(|| self.encode(text))
    }
}

impl Case {
    pub(crate) fn new(drafter: &Side, target: &Side, number: u64) -> Self {
        let dice = &mut Dice::new(&[drafter.family(), ">", target.family()], number);
        let start = start(target, &text(drafter, target, dice), dice);
        let draft = match dice.below(12) {
            0..=4 => drafted(drafter, &start.rest, dice),
            5 => start.rest,
            6 => text(drafter, target, dice).into_bytes(),
            7 => {
                let ids = drafter.random_ids(dice, 12);
                drafter.vocabulary.tokenizer().decode_bytes(&ids)
            }
            8 => (0..dice.below(24)).map(|_| dice.bits() as u8).collect(),
            9 => start.rest[..dice.below(start.rest.len() + 1)].to_vec(),
            10 => [dice.pick(&drafter.spellings).as_bytes(), &start.rest].concat(),
            _ => {
                let mut damaged = start.rest;
                if !damaged.is_empty() {
                    let at = dice.below(damaged.len());
                    damaged[at] = dice.bits() as u8;
                }
                damaged
            }
        };
        let max_tokens = if dice.once_in(8) {
            dice.below(6)
        } else {
            1 << 10
        };
        Self {
            committed: start.committed.into_iter().map(TargetToken).collect(),
            draft,
            max_tokens,
            canonical: start.canonical,
        }
    }
}

/// A few fragments of anything, some of which merge with their neighbours.
fn text(drafter: &Side, target: &Side, dice: &mut Dice) -> String {
    let fragments = 1 + dice.below(4);
    let mut text = String::new();
    for _ in 0..fragments {
        match dice.below(10) {
            0..=4 => {
                let sample = dice.pick(&ALL).text;
                text.push_str(part(sample, dice));
            }
            5 | 6 => text.push_str(dice.pick::<&str>(&HARD)),
            7 => {
                let side = if dice.once_in(2) { drafter } else { target };
                text.push_str(dice.pick::<String>(&side.spellings));
            }
            8 => {
                let space = dice.pick(&[" ", "\n", "\r\n", "\t", "\u{a0}", "\u{3000}", "  \n"]);
                text.push_str(&space.repeat(1 + dice.below(12)));
            }
            _ => (0..dice.below(10)).for_each(|_| text.push(dice.code_point())),
        }
    }
    text
}

/// Up to about a hundred bytes from anywhere in a text.
fn part<'a>(text: &'a str, dice: &mut Dice) -> &'a str {
    let from = &text[dice.cut(text)..];
    let length = dice.below(100).min(from.len());
    let end = (0..=length).rfind(|at| from.is_char_boundary(*at));
    &from[..end.unwrap_or(0)]
}

/// Cuts `text` in one of many ways, and commits what is to the left.
fn start(target: &Side, text: &str, dice: &mut Dice) -> Start {
    let cut = dice.cut(text);
    let (left, right) = text.split_at(cut);
    let with = |committed: Vec<u32>, canonical| Start {
        committed,
        rest: right.as_bytes().to_vec(),
        canonical,
    };
    match dice.below(10) {
        // The end of a token is inside a character now and then.
        0..=2 => {
            let ids = target.encode(text);
            let (committed, rest) = ids.split_at(dice.below(ids.len() + 1));
            Start {
                committed: committed.to_vec(),
                rest: target.vocabulary.tokenizer().decode_bytes(rest),
                // Without the bytes that have no token, what is left is another text.
                canonical: target.vocabulary.spells_every_byte_of(text.as_bytes()),
            }
        }
        3 | 4 => with(target.encode(left), false),
        5 => {
            let (first, second) = left.split_at(dice.cut(left));
            with(
                [target.encode(first), target.encode(second)].concat(),
                false,
            )
        }
        6 => {
            let last = dice.below(6);
            let from = left.char_indices().rev().nth(last).map_or(0, |(at, _)| at);
            let (first, second) = left.split_at(from);
            with(
                [target.encode(first), target.byte_by_byte(second)].concat(),
                false,
            )
        }
        7 => inside_character(target, text, cut, dice),
        8 => {
            let mut ids = target.encode(left);
            let back = dice.below(ids.len().min(5) + 1);
            ids.insert(ids.len() - back, *dice.pick(&target.controls));
            with(ids, false)
        }
        _ if dice.once_in(2) => with(Vec::new(), true),
        _ => with(target.random_ids(dice, 8), false),
    }
}

/// Commits the text up to `cut`, and some bytes of the character there.
fn inside_character(target: &Side, text: &str, cut: usize, dice: &mut Dice) -> Start {
    let width = text[cut..].chars().next().map_or(0, char::len_utf8);
    let split = cut + dice.below(width.max(1));
    let begun = text.as_bytes()[cut..split].iter();
    let begun = begun.filter_map(|byte| target.vocabulary.single_byte(*byte));
    let mut committed = target.encode(&text[..cut]);
    committed.extend(begun);
    Start {
        committed,
        rest: text.as_bytes()[split..].to_vec(),
        canonical: false,
    }
}

/// Block of a drafter that goes on as the text does: some of its own tokens, whose last may end inside a character.
fn drafted(drafter: &Side, rest: &[u8], dice: &mut Dice) -> Vec<u8> {
    let chunk = rest.utf8_chunks().find(|chunk| !chunk.valid().is_empty());
    let text = chunk.map_or("", |chunk| chunk.valid());
    // Bytes that finish a committed character come first.
    let begun = rest.iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
    let tokens = drafter.encode(text);
    let length = 1 + dice.below(16);
    let tokens = &tokens[..length.min(tokens.len())];
    let continued = drafter.vocabulary.tokenizer().decode_bytes(tokens);
    [&rest[..begun], &continued].concat()
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u32> = self.committed.iter().map(|token| token.0).collect();
        let (draft, most) = (self.draft.escape_ascii(), self.max_tokens);
        write!(f, "committed {ids:?}, draft b\"{draft}\", at most {most}")
    }
}
