//! Warping against brute force: every path of every small input.

use proptest::prelude::*;

use super::*;
use crate::aligned::Alignment;

const TIES: [Ties; 6] = [
    Ties::DiagonalUpLeft,
    Ties::DiagonalLeftUp,
    Ties::UpDiagonalLeft,
    Ties::UpLeftDiagonal,
    Ties::LeftDiagonalUp,
    Ties::LeftUpDiagonal,
];
const DISTANCES: [Distance; 3] = [
    Distance::Levenshtein,
    Distance::NormalisedLevenshtein,
    Distance::Equality,
];

/// (draft, candidate) of a cell.
type Cell = (usize, usize);

/// Steps back in the order of preference that the name of the variant says.
fn steps_back(ties: Ties) -> [Cell; 3] {
    let (diagonal, up, left) = ((1, 1), (1, 0), (0, 1));
    match ties {
        Ties::DiagonalUpLeft => [diagonal, up, left],
        Ties::DiagonalLeftUp => [diagonal, left, up],
        Ties::UpDiagonalLeft => [up, diagonal, left],
        Ties::UpLeftDiagonal => [up, left, diagonal],
        Ties::LeftDiagonalUp => [left, diagonal, up],
        Ties::LeftUpDiagonal => [left, up, diagonal],
    }
}

/// The cheapest path to (i, j) inside the band, by trying all of them; among equals the one whose last
/// step is preferred, and so on backwards.
fn brute_force(
    costs: &[Vec<u64>],
    (band, ties): (usize, Ties),
    (i, j): Cell,
) -> Option<(u64, Vec<Cell>)> {
    if i.abs_diff(j) > band {
        return None;
    }
    let mut best: Option<(u64, Vec<Cell>)> = ((i, j) == (0, 0)).then(|| (0, Vec::new()));
    for (up, left) in steps_back(ties) {
        let (Some(i), Some(j)) = (i.checked_sub(up), j.checked_sub(left)) else {
            continue;
        };
        let Some((cost, path)) = brute_force(costs, (band, ties), (i, j)) else {
            continue;
        };
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, path));
        }
    }
    best.map(|(cost, mut path)| {
        path.push((i, j));
        (cost + costs[i][j], path)
    })
}

fn check_against_brute_force(draft: &[&[u8]], candidates: &[&[u8]], options: &Options) {
    let draft_texts = options.markers.apply(draft);
    let candidate_texts = options.markers.apply(candidates);
    let row = |text: &&[u8]| {
        let mut distances = distance::Distances::new(options.distance);
        distances.prepare(text);
        candidate_texts
            .iter()
            .map(|candidate| distances.to(candidate))
            .collect()
    };
    let costs: Vec<Vec<u64>> = draft_texts.iter().map(row).collect();
    let band = match options.band {
        Band::Width(width) => width.max(draft.len().abs_diff(candidates.len())),
        Band::Unbounded => usize::MAX,
    };
    let last = (draft.len() - 1, candidates.len() - 1);
    let (_, path) = brute_force(&costs, (band, options.ties), last).unwrap();
    assert_eq!(
        align(draft, candidates, options),
        Ok(Alignment::of_path(path)),
        "{draft:?} {candidates:?} {options:?}"
    );
}

fn banded(width: usize) -> Options {
    Options {
        band: Band::Width(width),
        ..Options::default()
    }
}

/// Every list of `len` texts.
fn lists<'a>(texts: &[&'a [u8]], len: usize) -> Vec<Vec<&'a [u8]>> {
    if len == 0 {
        return vec![Vec::new()];
    }
    let shorter = lists(texts, len - 1);
    let longer = shorter.iter().flat_map(|list| {
        texts.iter().map(|text| {
            let mut list = list.clone();
            list.push(text);
            list
        })
    });
    longer.collect()
}

#[test]
fn warping_equals_brute_force_on_every_small_input() {
    let texts: [&[u8]; 4] = [b"a", b"b", b"ab", b" "];
    for (k, m) in (1..=3).flat_map(|k| (1..=3).map(move |m| (k, m))) {
        for draft in lists(&texts, k) {
            for candidates in lists(&texts, m) {
                for band in 0..=2 {
                    check_against_brute_force(&draft, &candidates, &banded(band));
                }
            }
        }
    }
}

#[test]
fn one_token_aligns_with_all_of_the_other_side() {
    let spelled: Vec<&[u8]> = vec![b"re", b"tu", b"rn", b"ing"];
    let found = align(&[b"returning"], &spelled, &Options::default());
    assert_eq!(found.unwrap().to_string(), "0:0-3");
}

#[test]
fn markers_go_unless_nothing_stays() {
    assert_eq!(strip_markers(b" the"), b"the");
    assert_eq!(strip_markers("▁the".as_bytes()), b"the");
    assert_eq!(strip_markers("Ġthe".as_bytes()), b"the");
    assert_eq!(strip_markers(b"   "), b"   ");
    assert_eq!(strip_markers("▁".as_bytes()), "▁".as_bytes());
    assert_eq!(strip_markers(b""), b"");
    assert_eq!(strip_markers(b" a b "), b"a b");
}

#[test]
fn too_long_a_text_is_refused_before_any_work() {
    let long = [b'x'; 513];
    let refused = align(&[&long], &[b"x"], &Options::default());
    assert_eq!(
        refused,
        Err(Error::TextTooLong {
            bytes: 513,
            limit: 512
        })
    );
}

#[test]
fn empty_lists_align_only_with_each_other() {
    let options = Options::default();
    assert_eq!(align(&[], &[], &options), Ok(Alignment::default()));
    assert_eq!(align(&[b"a"], &[], &options), Err(Error::OneSideEmpty));
}

#[test]
fn band_wider_than_both_lists_changes_nothing() {
    let draft: Vec<&[u8]> = vec![b"fn", b" rev", b"erse", b"("];
    let candidates: Vec<&[u8]> = vec![b"fn", b" re", b"verse", b"(", b"s"];
    let unbounded = Options {
        band: Band::Unbounded,
        ..Options::default()
    };
    let expected = align(&draft, &candidates, &unbounded);
    for width in [5, 6, usize::MAX] {
        assert_eq!(align(&draft, &candidates, &banded(width)), expected);
    }
}

#[test]
fn kept_markers_count_in_the_distance() {
    let (draft, candidates): ([&[u8]; 2], [&[u8]; 3]) = ([b"a", b" a"], [b"a", b" a", b" a"]);
    let with = |markers| {
        let options = Options {
            markers,
            ..Options::default()
        };
        align(&draft, &candidates, &options).unwrap().to_string()
    };
    assert_eq!(with(Markers::Strip), "0:0-1 1:2");
    assert_eq!(with(Markers::Keep), "0:0 1:1-2");
}

#[test]
fn order_of_ties_decides_between_equal_paths() {
    let (draft, candidates): ([&[u8]; 2], [&[u8]; 2]) = ([b"a", b"a"], [b"a", b"a"]);
    let with = |ties| {
        let options = Options {
            ties,
            ..Options::default()
        };
        align(&draft, &candidates, &options).unwrap().to_string()
    };
    assert_eq!(with(Ties::DiagonalUpLeft), "0:0 1:1");
    assert_eq!(with(Ties::UpLeftDiagonal), "0-1:0-1");
}

proptest! {
    #[test]
    fn warping_equals_brute_force_on_longer_lists(
        draft in proptest::collection::vec("[ab ]{1,3}", 1..6),
        candidates in proptest::collection::vec("[ab ]{1,3}", 1..6),
        band in proptest::option::of(0_usize..6),
        distance in proptest::sample::select(&DISTANCES[..]),
        ties in proptest::sample::select(&TIES[..]),
        strip: bool,
    ) {
        let draft: Vec<&[u8]> = draft.iter().map(String::as_bytes).collect();
        let candidates: Vec<&[u8]> = candidates.iter().map(String::as_bytes).collect();
        let options = Options {
            distance,
            ties,
            band: band.map_or(Band::Unbounded, Band::Width),
            markers: if strip { Markers::Strip } else { Markers::Keep },
            ..Options::default()
        };
        check_against_brute_force(&draft, &candidates, &options);
    }
}
