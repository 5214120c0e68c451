//! Checks of tiny tokenizers against each other.

use std::path::Path;

use ::tests::tiny::Tiny;
use inference::checkpoint::BareTokenizer;

use super::*;

fn tokenizer(merges: &'static [(&'static str, &'static str)]) -> Arc<Tokenizer> {
    let folder = tempfile::tempdir().unwrap();
    let tiny = Tiny {
        merges,
        ..Tiny::default()
    };
    let path = tiny.write_into(folder.path()).unwrap();
    open(&path)
}

fn open(path: &Path) -> Arc<Tokenizer> {
    Arc::new(BareTokenizer::open(path).unwrap().tokenizer)
}

fn check(target: &Arc<Tokenizer>, drafter: Drafter<'_>) -> PairReport {
    let pair = Pair {
        target_name: "target",
        target,
        drafter_name: "drafter",
        drafter,
    };
    pair.report()
}

#[test]
fn same_tokenizer_maps_one_to_one_and_admits_every_method() {
    let one = tokenizer(::tests::tiny::MERGES);
    let report = check(&one, Drafter::Tokenizer(&one));
    assert_eq!(report.fit, PairFit::Compatible, "{}", report.verdict);
    assert!(report.methods.iter().all(|method| method.fits));
    assert_eq!(report.mapping.one_to_one, report.mapping.total());
    assert_eq!(report.shared_spellings, report.target.spellings);
    for trip in &report.round_trips {
        assert_eq!((trip.lost_bytes, trip.unspelled_bytes), (0, 0), "{trip:?}");
    }
}

#[test]
fn coarser_drafter_maps_one_token_to_several() {
    let (bytes, words) = (tokenizer(&[]), tokenizer(::tests::tiny::MERGES));
    let report = check(&bytes, Drafter::Tokenizer(&words));
    let Mapping {
        one_to_many,
        many_to_one,
        many_to_many,
        ..
    } = report.mapping;
    assert!(one_to_many > 0, "{report:?}");
    assert_eq!((many_to_one, many_to_many), (0, 0));
    assert_eq!(report.shared_spellings, 256);
    let standard = report.methods.iter().find(|m| m.name == "standard");
    assert!(!standard.unwrap().fits);
    let other_way = check(&words, Drafter::Tokenizer(&bytes)).mapping;
    assert!(other_way.many_to_one > 0 && other_way.one_to_many == 0);
}

#[test]
fn vocabulary_from_the_wire_gives_nearly_the_report_of_the_tokenizer() {
    let (target, drafter) = (tokenizer(&[]), tokenizer(::tests::tiny::MERGES));
    let exact = check(&target, Drafter::Tokenizer(&drafter));
    let table = table(&drafter);
    let family = drafter.family();
    let sent = check(&target, Drafter::Vocabulary(&table, family));
    assert!(exact.exact_draft_tokens && !sent.exact_draft_tokens);
    assert_eq!(sent.drafter, exact.drafter);
    assert_eq!(sent.shared_spellings, exact.shared_spellings);
    assert_eq!(sent.fit, exact.fit);
    for (sent, exact) in sent.round_trips.iter().zip(&exact.round_trips) {
        assert_eq!(
            (sent.bytes, sent.lost_bytes),
            (exact.bytes, exact.lost_bytes)
        );
        let difference = sent.draft_tokens.abs_diff(exact.draft_tokens);
        assert!(difference * 10 <= exact.draft_tokens, "{sent:?} {exact:?}");
    }
}

#[test]
fn drafter_that_spells_almost_nothing_is_unusable() {
    let target = tokenizer(&[]);
    let none: &[u8] = b"";
    let tokens: [(&[u8], Option<EndRole>); 2] = [(b"z", None), (none, None)];
    let table = VocabularyTable::of(Fingerprint([0; 32]), tokens);
    let report = check(&target, Drafter::Vocabulary(&table, ""));
    assert_eq!(report.fit, PairFit::Unusable, "{}", report.verdict);
    assert!(report.verdict.starts_with("unusable: "));
    assert!(report.verdict.contains("ends of replies cannot be drafted"));
}

#[test]
fn acceptance_can_spoil_a_verdict() {
    let one = tokenizer(::tests::tiny::MERGES);
    let report = check(&one, Drafter::Tokenizer(&one));
    let acceptance = |accepted_tokens| PairAcceptance {
        prompts: 1,
        completion_tokens: 100,
        committed_bytes: 400,
        target_forwards: 100,
        proposed_tokens: 400,
        accepted_tokens,
    };
    let good = with_acceptance(report.clone(), acceptance(150));
    assert_eq!(good.fit, PairFit::Compatible);
    assert!(
        good.verdict.contains("1.50 drafted tokens"),
        "{}",
        good.verdict
    );
    let bad = with_acceptance(report, acceptance(3));
    assert_eq!(bad.fit, PairFit::Poor);
}

#[test]
fn longest_tokens_win_and_missing_bytes_are_left_out() {
    let tokens: [(&[u8], Option<EndRole>); 4] =
        [(b"a", None), (b"ab", None), (b"", None), (b"abc", None)];
    let table = VocabularyTable::of(Fingerprint([0; 32]), tokens);
    let ids = ids_by_spelling(&table);
    assert_eq!(longest_match(&ids, "aabxabc"), [0, 1, 3]);
}
