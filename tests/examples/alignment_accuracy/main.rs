//! Error rates of algorithms that align two token lists, on the tokenizers of real families.
//!
//! Every text of [`tests::samples`] is encoded as a whole by both tokenizers of each ordered pair and cut into blocks: a
//! block ends at the first byte where both lists have a boundary and the draft has enough tokens in it. Both
//! lists of a block spell the same bytes, so there is a truth, made of nothing but byte offsets: a draft token and a
//! candidate touch if a byte belongs to both, and a group is what is connected by touching. Two shares are counted:
//!
//! - *terminal*: of all candidates, those whose last touching draft token is another than in truth. It is the token whose
//!   probability a scalar transfer would take for the candidate.
//! - *group*: of all groups in truth, those that the method does not have with exactly the same tokens on both sides.
//!
//! `cargo run -p tests --example alignment_accuracy` prints tables for the report in `alignment`; it fetches the
//! tokenizers first, as `duet models pull` would.

mod methods;
mod score;

use std::io::{self, Write};

use alignment::Vocabulary as _;
use tests::samples::{ALL, Sample};
use tests::vocabularies::{FAMILIES, RealVocabulary};

use crate::methods::{Block, METHODS};
use crate::score::{SHAPES, Score};

/// Draft tokens of a block; the last is a whole text.
const LENGTHS: [usize; 4] = [8, 32, 128, usize::MAX];

/// The length for which every pair is listed.
const LISTED: usize = 32;

/// A text of one kind under one pair, or the sum of several.
struct Row {
    length: usize,
    kind: &'static str,
    pair: String,
    /// One for each method.
    scores: Vec<Score>,
}

fn main() -> io::Result<()> {
    let vocabularies: Vec<RealVocabulary> =
        FAMILIES.into_iter().map(RealVocabulary::load).collect();
    let mut rows = Vec::new();
    for drafter in &vocabularies {
        for target in &vocabularies {
            if drafter.family() != target.family() {
                for (sample, length) in ALL.iter().flat_map(|s| LENGTHS.map(|length| (s, length))) {
                    rows.push(row(drafter, target, sample, length));
                }
            }
        }
    }
    let mut out = io::stdout().lock();
    summary(&mut out, &rows)?;
    by_shape(&mut out, &rows)?;
    by_pair(&mut out, &rows)?;
    everything(&mut out, &rows)
}

fn row(drafter: &RealVocabulary, target: &RealVocabulary, sample: &Sample, length: usize) -> Row {
    let (draft, candidates) = (tokens(drafter, sample.text), tokens(target, sample.text));
    let mut scores = vec![Score::default(); METHODS.len()];
    for block in Block::cut(&draft, &candidates, length) {
        let truth = block.truth();
        for (method, score) in METHODS.iter().zip(&mut scores) {
            score.add(&(method.align)(&block), &truth);
        }
    }
    Row {
        length,
        kind: sample.kind,
        pair: format!("{} → {}", drafter.family(), target.family()),
        scores,
    }
}

/// The bytes of each token of a text.
fn tokens<'a>(vocabulary: &'a RealVocabulary, text: &str) -> Vec<&'a [u8]> {
    let ids = vocabulary.encode(text);
    ids.into_iter()
        .map(|id| vocabulary.token_bytes(id))
        .collect()
}

/// Methods by kind of text, over all pairs.
fn summary(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    for length in LENGTHS {
        writeln!(
            out,
            "\nBlocks of {}, terminal / group, all pairs:\n",
            named(length)
        )?;
        header(
            out,
            "method",
            ALL.map(|sample| sample.kind).into_iter().chain(["all"]),
        )?;
        let rows = || rows.iter().filter(|row| row.length == length);
        let kinds = || {
            ALL.map(|sample| Some(sample.kind))
                .into_iter()
                .chain([None])
        };
        let of_kind = |at: usize, kind: Option<&str>| {
            let rows = rows().filter(|row| kind.is_none_or(|kind| kind == row.kind));
            rows.map(|row| row.scores[at]).sum::<Score>()
        };
        let counted = kinds().map(|kind| of_kind(0, kind).counted());
        line(out, "candidates / groups", counted)?;
        for (at, method) in METHODS.iter().enumerate() {
            let cells = kinds().map(|kind| of_kind(at, kind).shares());
            line(out, method.name, cells)?;
        }
    }
    Ok(())
}

/// Wrong groups by their true shape, over all pairs and kinds of text.
fn by_shape(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    writeln!(
        out,
        "\nBlocks of {}, group by shape in truth, all pairs and kinds:\n",
        named(LISTED)
    )?;
    header(out, "method", SHAPES.into_iter())?;
    let of_method = |at: usize| {
        let rows = rows.iter().filter(|row| row.length == LISTED);
        rows.map(|row| row.scores[at]).sum::<Score>()
    };
    let shapes = 0..SHAPES.len();
    let counted = shapes.clone().map(|shape| of_method(0).counted_of(shape));
    line(out, "groups", counted)?;
    for (at, method) in METHODS.iter().enumerate() {
        let cells = shapes.clone().map(|shape| of_method(at).share_of(shape));
        line(out, method.name, cells)?;
    }
    Ok(())
}

/// Pairs by method, over all kinds of text.
fn by_pair(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    writeln!(
        out,
        "\nBlocks of {}, terminal / group, all kinds of text:\n",
        named(LISTED)
    )?;
    header(
        out,
        "draft → target",
        METHODS.iter().map(|method| method.name),
    )?;
    let rows: Vec<&Row> = rows.iter().filter(|row| row.length == LISTED).collect();
    for pair in rows.chunk_by(|a, b| a.pair == b.pair) {
        let of_method = |at: usize| pair.iter().map(|row| row.scores[at]).sum::<Score>();
        let cells = (0..METHODS.len()).map(|at| of_method(at).shares());
        line(out, &pair[0].pair, cells)?;
    }
    Ok(())
}

/// Every row.
fn everything(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    writeln!(out, "\nBlocks of {}, terminal / group:\n", named(LISTED))?;
    header(
        out,
        "text, draft → target",
        METHODS.iter().map(|method| method.name),
    )?;
    for row in rows.iter().filter(|row| row.length == LISTED) {
        let cells = row.scores.iter().map(Score::shares);
        line(out, &format!("{}, {}", row.kind, row.pair), cells)?;
    }
    Ok(())
}

fn header<'a>(
    out: &mut impl Write,
    first: &str,
    columns: impl Iterator<Item = &'a str> + Clone,
) -> io::Result<()> {
    let names: Vec<&str> = columns.collect();
    writeln!(out, "| {first} | {} |", names.join(" | "))?;
    writeln!(out, "|---{}|", "|---:".repeat(names.len()))
}

fn line(out: &mut impl Write, first: &str, cells: impl Iterator<Item = String>) -> io::Result<()> {
    let cells: Vec<String> = cells.collect();
    writeln!(out, "| {first} | {} |", cells.join(" | "))
}

fn named(length: usize) -> String {
    match length {
        usize::MAX => "a whole text".to_owned(),
        length => format!("{length} draft tokens"),
    }
}
