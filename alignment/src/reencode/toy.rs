//! Small vocabularies for tests: a byte-level BPE trained on a page of text, with merges across every
//! kind of boundary, and one that knows nothing but letters.

use std::collections::{BTreeMap, HashMap};

use crate::Vocabulary;

/// A page of code, prose, numbers and scripts with long code points. Emoji that share their first
/// bytes give merges that split code points.
pub(super) const PAGE: &str = r#"fn reverse(text: &str) -> String {
    // Walk the characters from the end.
    text.chars().rev().collect()
}

/// Returns the largest value, or None when the slice is empty.
pub fn largest(values: &[i64]) -> Option<i64> {
    let mut best = None;
    for value in values {
        if best.is_none() || Some(*value) > best {
            best = Some(*value);
        }
    }
    return best;
}

def fibonacci(n):
    if n < 2:
        return n
    a, b = 0, 1
    for _ in range(n - 1):
        a, b = b, a + b
    return b

The quick way to understand a program is to read it from the end: what does it return, and where
does that come from? It's what we don't see that makes us slow. In 1978 the band was 16 wide; in
2024 they'd say 1024 or 65536 rather than 12, and nobody's surprised.

    total = 1000 + 2000 + 3000; print("total:", total)
    items.forEach((item) => { console.log(item.name, item.value); });
    rows[0].name = item.name; last(rows).value = pair.1.value; tuple.0.name = {item}.value;
    (&item).name == names[item.value]?.name; Some(*item.name).unwrap().value

日本語の文章は空白なしで書かれます。日本の夏は暑い。漢字とかなが混ざる。
Привет, мир! Как дела? Это простой пример текста.
😀😃😄😁😆 😀😃 😄 🎉🎊 👩‍👩‍👧 👍🏽 café naïve résumé über

<|im_start|>user
What is this?<|im_end|>
"#;

/// Another page of the same kinds, to measure on: its rarer pieces stay several tokens.
pub(super) const UNSEEN: &str = r#"impl Iterator for Walk<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Self::Item> {
        let last = self.stack.pop()?;
        self.seen[last.value as usize] = true;
        for edge in &self.graph.edges[..] {
            if !edge.done() && edge.value != 17 { self.stack.push(edge.name.clone()); }
        }
        Some(Step { value: last.value, name: last.name.unwrap_or_default() })
    }
}

const total = rows.map(r => ({...r, name: `${r.name}!`})).filter(({value}) => value >= 1250000);
print({k: v for k, v in zip(names, values)}["total"].value, f"{item.name!r}", a[-1:].name);
if (x->name && *(y).value || !z[0]?.value) return {.name = "none", .value = 0x1f};

We don't know where it's from; they'd say (and nobody's sure) that "the end" comes first...
It was 98765 in 2031, then 1234567 -- what a value!  Two  spaces   and	tabs too.

今日は東京で日本語を書きます。Как это работает? Просто: читаем с конца.
😇🙂😀🚀 👨‍👩‍👦 👍🏿 déjà vu, naïve Ωμέγα ≤ ∞ → 𝒳
<|im_start|>assistant
"#;

/// A byte-level BPE: ids 0 to 255 are the bytes, then the merges, then one control token.
pub(super) struct Bpe {
    tokens: Vec<Vec<u8>>,
    merges: HashMap<(u32, u32), u32>,
    /// Text is normalised first, as some tokenizers do: e and a combining acute become é.
    pub(super) normalises: bool,
    /// [`Vocabulary::single_byte`] answers.
    pub(super) has_bytes: bool,
}

/// A vocabulary of the letters a to z; the rest is one unknown token without bytes.
pub(super) struct Letters;

impl Bpe {
    pub(super) fn trained(text: &str, merges: usize) -> Self {
        let mut words: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
        for word in pretokens(text) {
            *words
                .entry(word.bytes().map(u32::from).collect())
                .or_default() += 1;
        }
        let mut bpe = Self {
            tokens: (0..=255).map(|byte| vec![byte]).collect(),
            merges: HashMap::new(),
            normalises: false,
            has_bytes: true,
        };
        for _ in 0..merges {
            let mut pairs: BTreeMap<(u32, u32), usize> = BTreeMap::new();
            for (word, count) in &words {
                for pair in word.windows(2) {
                    *pairs.entry((pair[0], pair[1])).or_default() += count;
                }
            }
            let best = pairs
                .iter()
                .max_by_key(|(pair, count)| (**count, std::cmp::Reverse(**pair)));
            let Some((&(left, right), _)) = best else {
                break;
            };
            let id = bpe.tokens.len() as u32;
            let bytes = [bpe.token_bytes(left), bpe.token_bytes(right)].concat();
            bpe.tokens.push(bytes);
            bpe.merges.insert((left, right), id);
            let mut shorter = BTreeMap::new();
            for (mut word, count) in words {
                merge(&mut word, (left, right), id);
                *shorter.entry(word).or_default() += count;
            }
            words = shorter;
        }
        bpe
    }

    /// The control token, whose spelling is `<|im_end|>`.
    pub(super) fn control(&self) -> u32 {
        self.tokens.len() as u32
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter()
            .flat_map(|id| self.token_bytes(*id))
            .copied()
            .collect()
    }
}

impl Vocabulary for Bpe {
    fn token_bytes(&self, id: u32) -> &[u8] {
        self.tokens.get(id as usize).map_or(&[], Vec::as_slice)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let normalised = if self.normalises {
            text.replace("e\u{301}", "é")
        } else {
            text.to_owned()
        };
        let encoded = pretokens(&normalised).into_iter().flat_map(|word| {
            let mut ids: Vec<u32> = word.bytes().map(u32::from).collect();
            // Merge ids grow in the order learnt, so the least is the first to apply.
            while let Some((id, pair)) = ids
                .windows(2)
                .filter_map(|pair| {
                    let pair = (pair[0], pair[1]);
                    self.merges.get(&pair).map(|id| (*id, pair))
                })
                .min()
            {
                merge(&mut ids, pair, id);
            }
            ids
        });
        encoded.collect()
    }

    fn single_byte(&self, byte: u8) -> Option<u32> {
        self.has_bytes.then_some(u32::from(byte))
    }
}

impl Vocabulary for Letters {
    fn token_bytes(&self, id: u32) -> &[u8] {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
        let at = id as usize;
        LETTERS.get(at..=at).unwrap_or_default()
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        text.chars()
            .map(|c| {
                if c.is_ascii_lowercase() {
                    u32::from(c) - u32::from('a')
                } else {
                    26
                }
            })
            .collect()
    }
}

fn merge(ids: &mut Vec<u32>, (left, right): (u32, u32), merged: u32) {
    let mut out = Vec::with_capacity(ids.len());
    let mut i = 0;
    while i < ids.len() {
        if ids[i] == left && ids.get(i + 1) == Some(&right) {
            out.push(merged);
            i += 2;
        } else {
            out.push(ids[i]);
            i += 1;
        }
    }
    *ids = out;
}

/// Pieces within which merges happen, by the usual rules: a letter run with one character before it,
/// up to three digits, punctuation with the space before it and the line ends after it, blanks.
fn pretokens(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (piece, after) = rest.split_at(piece_length(rest, first).max(first.len_utf8()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

fn piece_length(rest: &str, first: char) -> usize {
    let run = |from: usize, most: usize, holds: fn(char) -> bool| {
        let chars = rest[from..].chars().take(most);
        from + chars
            .take_while(|c| holds(*c))
            .map(char::len_utf8)
            .sum::<usize>()
    };
    let is_line_end = |c: char| c == '\n' || c == '\r';
    let before = if first.is_alphanumeric() || is_line_end(first) {
        0
    } else {
        first.len_utf8()
    };
    let letters = run(before, usize::MAX, char::is_alphabetic);
    if letters > before {
        return letters;
    }
    if first.is_numeric() {
        return run(0, 3, char::is_numeric);
    }
    let space = usize::from(first == ' ');
    let marks = run(space, usize::MAX, |c| {
        !c.is_whitespace() && !c.is_alphanumeric()
    });
    if marks > space {
        return run(marks, usize::MAX, |c| c == '\n' || c == '\r');
    }
    let blanks = run(0, usize::MAX, char::is_whitespace);
    if let Some(line_end) = rest[..blanks].rfind(is_line_end) {
        return line_end + 1;
    }
    if blanks == rest.len() {
        return blanks;
    }
    // The last blank goes with what follows it.
    blanks - rest[..blanks].chars().next_back().map_or(0, char::len_utf8)
}
