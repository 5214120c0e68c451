//! Warping against brute force: every path of every small input.

use proptest::prelude::*;

use super::*;
use crate::aligned::Alignment;

/// The definition, without scratch or short cuts.
fn plain_distance(a: &[u8], b: &[u8]) -> u64 {
    let (Some((x, a_rest)), Some((y, b_rest))) = (a.split_first(), b.split_first()) else {
        return (a.len() + b.len()) as u64;
    };
    let replaced = plain_distance(a_rest, b_rest) + u64::from(x != y);
    let deleted = plain_distance(a_rest, b) + 1;
    let inserted = plain_distance(a, b_rest) + 1;
    replaced.min(deleted).min(inserted)
}

/// The cheapest path to (i, j) inside the band, by trying all of them; among equals the one whose
/// last step is diagonal, then up, then left, and so on backwards.
fn brute_force(
    costs: &[Vec<u64>],
    band: usize,
    (i, j): (usize, usize),
) -> Option<(u64, Vec<(usize, usize)>)> {
    if i.abs_diff(j) > band {
        return None;
    }
    let came_from = [
        (i.checked_sub(1), j.checked_sub(1)),
        (i.checked_sub(1), Some(j)),
        (Some(i), j.checked_sub(1)),
    ];
    let mut best: Option<(u64, Vec<(usize, usize)>)> = ((i, j) == (0, 0)).then(|| (0, Vec::new()));
    for step in came_from {
        let (Some(i), Some(j)) = step else { continue };
        let Some((cost, path)) = brute_force(costs, band, (i, j)) else {
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

fn check_against_brute_force(draft: &[&[u8]], proxies: &[&[u8]], band: usize) {
    let costs: Vec<Vec<u64>> = draft
        .iter()
        .map(|d| {
            let row = proxies.iter();
            row.map(|t| plain_distance(strip_markers(d), strip_markers(t)))
                .collect()
        })
        .collect();
    let widened = band.max(draft.len().abs_diff(proxies.len()));
    let last = (draft.len() - 1, proxies.len() - 1);
    let (_, path) = brute_force(&costs, widened, last).unwrap();
    let options = Options {
        band,
        ..Options::default()
    };
    assert_eq!(
        align(draft, proxies, &options),
        Ok(Alignment::of_path(path)),
        "{draft:?} {proxies:?} band {band}"
    );
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
            for proxies in lists(&texts, m) {
                for band in 0..=2 {
                    check_against_brute_force(&draft, &proxies, band);
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
    let proxies: Vec<&[u8]> = vec![b"fn", b" re", b"verse", b"(", b"s"];
    let with = |band| {
        let options = Options {
            band,
            ..Options::default()
        };
        align(&draft, &proxies, &options)
    };
    assert_eq!(with(5), with(usize::MAX / 4));
}

proptest! {
    #[test]
    fn distance_equals_its_definition(a in "[abc]{0,6}", b in "[abc]{0,6}") {
        let mut distance = Levenshtein::default();
        distance.between(b"scratch of", b"another call");
        let found = distance.between(a.as_bytes(), b.as_bytes());
        prop_assert_eq!(found, plain_distance(a.as_bytes(), b.as_bytes()));
    }

    #[test]
    fn warping_equals_brute_force_on_longer_lists(
        draft in proptest::collection::vec("[ab ]{1,3}", 1..6),
        proxies in proptest::collection::vec("[ab ]{1,3}", 1..6),
        band in 0_usize..6,
    ) {
        let draft: Vec<&[u8]> = draft.iter().map(String::as_bytes).collect();
        let proxies: Vec<&[u8]> = proxies.iter().map(String::as_bytes).collect();
        check_against_brute_force(&draft, &proxies, band);
    }
}
