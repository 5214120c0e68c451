//! Baselines of the comparison give whole alignments, so that they can be compared.

#[path = "../benches/aligning/baselines.rs"]
mod baselines;

use alignment::aligned::Alignment;
use proptest::prelude::*;

fn check(draft: &[&[u8]], candidates: &[&[u8]], subsequence: &str, proportional: &str) {
    let shown = |path: &[(usize, usize)]| Alignment::along(path).expect("a path").to_string();
    assert_eq!(
        shown(&baselines::common_subsequence(draft, candidates)),
        subsequence
    );
    let (k, m) = (draft.len(), candidates.len());
    assert_eq!(shown(&baselines::proportional(k, m)), proportional);
}

#[test]
fn equal_texts_pair_and_the_rest_goes_with_its_neighbours() {
    check(
        &[b"fn", b" reverse", b"("],
        &[b"fn", b" re", b"verse", b"("],
        "0:0 1:1-2 2:3",
        "0:0 1:1-2 2:3",
    );
    check(&[b"a", b"b", b"c"], &[b"b"], "0-2:0", "0-2:0");
    check(&[b"b"], &[b"a", b"b", b"c"], "0:0-2", "0:0-2");
    check(&[b"a", b"b"], &[b"x", b"y", b"z"], "0-1:0-2", "0:0 1:1-2");
    check(&[], &[], "", "");
}

proptest! {
    #[test]
    fn paths_cover_both_lists(
        draft in proptest::collection::vec("[abc]", 1..12),
        candidates in proptest::collection::vec("[abc]", 1..12),
    ) {
        let draft: Vec<&[u8]> = draft.iter().map(String::as_bytes).collect();
        let candidates: Vec<&[u8]> = candidates.iter().map(String::as_bytes).collect();
        let (k, m) = (draft.len(), candidates.len());
        for path in [baselines::common_subsequence(&draft, &candidates), baselines::proportional(k, m)] {
            prop_assert_eq!(path.last(), Some(&(k - 1, m - 1)));
            prop_assert!(Alignment::along(&path).is_some(), "{:?}", path);
        }
    }
}
