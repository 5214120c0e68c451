//! The context over a tiny vocabulary: after any draft, the tokens are those of the committed text.

use ::tests::tiny::Tiny;
use inference::engine::{Engine, EngineOptions};

use super::*;

const BOUNDS: Bounds = Bounds {
    tokens: 8,
    bytes: 64,
};

fn vocabulary() -> Arc<DraftVocabulary> {
    let folder = tempfile::tempdir().unwrap();
    let path = Tiny::default().write_into(folder.path()).unwrap();
    let engine = Engine::load(&path, EngineOptions::default()).unwrap();
    Arc::new(DraftVocabulary::new(&engine))
}

fn context(vocabulary: &Arc<DraftVocabulary>, prompt: &str) -> Context {
    let prompt = vocabulary.spell(&[], prompt.as_bytes(), usize::MAX).ids;
    Context::new(Arc::clone(vocabulary), prompt, 4096)
}

/// Drafts the bytes one by one, the way no tokenizer would.
fn draft(context: &mut Context, text: &str) {
    for byte in text.bytes() {
        context.push(u32::from(byte));
    }
}

fn assert_fresh(context: &Context, vocabulary: &Arc<DraftVocabulary>, committed: &[u8]) {
    let mut fresh = self::context(vocabulary, "fn x");
    fresh.follow(committed);
    assert_eq!(
        context.reply(),
        fresh.reply(),
        "{:?}",
        String::from_utf8_lossy(committed)
    );
    assert_eq!(context.text(), committed);
}

#[test]
fn committed_text_has_its_canonical_tokens_after_any_draft() {
    let vocabulary = vocabulary();
    let replies = [
        "then the other in the  let  re = fn the\n\nthe",
        "é😀 the 日本語 in then\r\n\r\n  x",
        "aaaaaaaaaaaaaaaaaaaa 12345 the the the",
    ];
    for reply in replies {
        for step in 1..12 {
            let mut context = context(&vocabulary, "fn x");
            let mut committed = 0;
            while committed < reply.len() {
                // Half of what is drafted is right, the rest is in none of the replies.
                let next = (committed + step).min(reply.len());
                let right = &reply.as_bytes()[committed..committed + (next - committed) / 2];
                for byte in right.iter().chain(b"Z wrong") {
                    context.push(u32::from(*byte));
                }
                committed = next;
                let text = &reply.as_bytes()[..committed];
                context.follow(text);
                assert_fresh(&context, &vocabulary, text);
                assert!(context.is_complete());
            }
        }
    }
}

#[test]
fn draft_committed_in_canonical_tokens_stays_with_the_tokens_after_it() {
    let vocabulary = vocabulary();
    let mut context = context(&vocabulary, "fn x");
    context.follow(b"let");
    let the = vocabulary.spell(&[], b" the", usize::MAX).ids;
    assert_eq!(the.len(), 1);
    context.push(the[0]);
    draft(&mut context, "qz");
    let before = context.ids().to_vec();
    let followed = context.follow(b"let the");
    assert_eq!(
        followed,
        Followed {
            unchanged: 4,
            kept: 1,
            dropped: 0
        }
    );
    assert_eq!(context.ids(), before);
    let followed = context.follow(b"let theqx");
    assert_eq!(
        followed,
        Followed {
            unchanged: 3,
            kept: 1,
            dropped: 1
        }
    );
    assert_fresh(&context, &vocabulary, b"let theqx");
}

#[test]
fn prompt_is_never_spelled_anew() {
    let vocabulary = vocabulary();
    let mut context = context(&vocabulary, "t");
    context.follow(b"he end");
    assert_eq!(context.ids()[0], u32::from(b't'));
    assert_eq!(context.text(), b"he end");
}

#[test]
fn proposal_ends_on_a_whole_code_point_and_within_its_bounds() {
    let vocabulary = vocabulary();
    let mut context = context(&vocabulary, "fn x");
    context.follow(b"a");
    draft(&mut context, "bé😀");
    context.push(0xC3);
    let text = |bounds| context.proposal(1, bounds).map(|proposal| proposal.text);
    assert_eq!(text(BOUNDS), Some("bé😀".as_bytes().to_vec()));
    assert_eq!(
        text(Bounds {
            tokens: 6,
            ..BOUNDS
        }),
        Some("bé".as_bytes().to_vec())
    );
    assert_eq!(text(Bounds { bytes: 2, ..BOUNDS }), Some(b"b".to_vec()));
    assert_eq!(text(Bounds { bytes: 0, ..BOUNDS }), None);
    let proposal = context.proposal(1, BOUNDS).unwrap();
    assert_eq!(proposal.token_ends, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn block_after_half_a_code_point_begins_with_the_bytes_that_finish_it() {
    let vocabulary = vocabulary();
    let mut context = context(&vocabulary, "fn x");
    let committed = &"x😀".as_bytes()[..3];
    context.follow(committed);
    assert!(context.is_complete());
    assert_eq!(context.reply(), [u32::from(b'x'), 0xF0, 0x9F]);
    context.push(0x98);
    assert!(
        !context.is_enough(3, 1, BOUNDS),
        "a part of a code point cannot be sent"
    );
    assert_eq!(context.proposal(3, BOUNDS), None);
    context.push(0x80);
    assert!(context.is_enough(3, 1, BOUNDS));
    assert_eq!(context.proposal(3, BOUNDS).unwrap().text, [0x98, 0x80]);
}

#[test]
fn draft_that_is_no_text_is_not_sent() {
    let vocabulary = vocabulary();
    let mut context = context(&vocabulary, "fn x");
    context.follow(b"a");
    draft(&mut context, "b");
    context.push(0x80);
    assert!(
        context.is_enough(1, 8, BOUNDS),
        "more tokens do not mend it"
    );
    assert_eq!(context.proposal(1, BOUNDS).unwrap().text, b"b");
}
