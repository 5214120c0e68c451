//! Look-up drafters: alone, and in a cascade before a model.

use drafter_service::source::Source;
use proto::{
    BaseHash, ClientError,
    drafter::{Block, Open, Verdict, Wish},
    model::{Fingerprint, Message, Prompt, Role},
};
use tests::tiny::Tiny;
use tonic::{Code, Request};

use crate::drafter::{Running, open, serve_source, serving};

const SAID: &str = "let total = first + second;\nreturn total;\n\nAgain:\n";

fn lookup() -> Open {
    Open {
        prompt: Prompt::Text(SAID.to_owned()),
        ..open()
    }
}

async fn serve_lookup() -> Running {
    serve_source(|_| Source::Lookup, Tiny::default(), serving()).await
}

async fn serve_cascade() -> Running {
    serve_source(Source::Cascade, Tiny::default(), serving()).await
}

fn text(block: &Block) -> &str {
    std::str::from_utf8(&block.text).expect("whole code points")
}

#[tokio::test]
async fn what_was_said_before_is_proposed_again_in_words_and_signs() {
    let running = serve_lookup().await;
    let mut peer = running.open(lookup()).await;
    let empty = peer.block().await;
    assert!(empty.declines(), "nothing is said twice yet: {empty:?}");
    peer.settle(&empty, 0, b"let total");
    let block = peer.block().await;
    assert_eq!((text(&block), block.base_length), (" = first + second;", 9));
    assert_eq!(block.token_ends, [2, 8, 10, 17, 18]);
    assert_eq!(block.base_hash, BaseHash::of(b"let total"));
    assert_eq!(block.ends_with, None);
    // Half is kept; the rest is replaced by text that never occurred.
    peer.settle(&block, 8, b" - third");
    let empty = peer.block().await;
    assert!(empty.declines(), "{empty:?}");
    peer.settle(&empty, 0, b";\nreturn");
    assert_eq!(text(&peer.block().await), " total;\n\nAgain:\n");
}

#[tokio::test]
async fn messages_of_a_chat_are_looked_up_without_any_template() {
    let running = serve_lookup().await;
    let said = |role, content: &str| Message::new(role, content);
    let messages = vec![said(Role::System, "Be brief."), said(Role::User, SAID)];
    let open = Open {
        prompt: Prompt::chat(messages),
        committed: b"let total".to_vec(),
        ..lookup()
    };
    let mut peer = running.open(open).await;
    // One byte more agrees than in the words: that both messages begin here.
    assert_eq!(text(&peer.block().await), " = first + second;\n");
}

#[tokio::test]
async fn next_block_of_a_look_up_is_that_of_a_fresh_session() {
    let running = serve_lookup().await;
    let appended: [&[u8]; 5] = [
        b"let total",
        "é ".as_bytes(),
        b"\nAgain:\n",
        b"first + ",
        b"x",
    ];
    for credit in [1, 3] {
        let open = Open { credit, ..lookup() };
        let mut peer = running.open(open.clone()).await;
        let mut block = peer.block().await;
        for round in 0..30 {
            let length = block.text.len();
            let kept = [length, length / 2, 0][round % 3];
            peer.settle(&block, kept, appended[round % appended.len()]);
            // Blocks sent before this verdict follow another text, unless they guessed right.
            block = loop {
                let block = peer.block().await;
                if block.base_hash == peer.committed.hash() {
                    break block;
                }
            };
            let fresh = Open {
                committed: peer.committed.bytes().to_vec(),
                ..open.clone()
            };
            let fresh = running.open(fresh).await.block().await;
            assert_eq!(
                (&block.text, &block.token_ends),
                (&fresh.text, &fresh.token_ends)
            );
        }
    }
}

#[tokio::test]
async fn look_up_with_credit_continues_its_own_proposal_before_the_verdict() {
    let running = serve_lookup().await;
    let open = Open {
        credit: 2,
        committed: b"let total".to_vec(),
        max_block_tokens: 3,
        ..lookup()
    };
    let mut peer = running.open(open).await;
    let (first, second) = (peer.block().await, peer.block().await);
    assert_eq!((text(&first), text(&second)), (" = first +", " second;\n"));
    let presumed = b"let total = first +";
    assert_eq!(second.base_hash, BaseHash::of(presumed));
    // Kept in full, and what is added is what the second begins with: that is still good, and is not sent again.
    let verdict = Verdict {
        next: Some(Wish::chain(3)),
        ..peer.verdict(&first, first.text.len(), b" second")
    };
    peer.send(verdict);
    let third = peer.block().await;
    assert_eq!(
        third.base_length as usize,
        presumed.len() + second.text.len()
    );
    assert_eq!(text(&third), "return total;");
}

#[tokio::test]
async fn proposal_finishes_a_code_point_that_is_committed_in_part_and_splits_none() {
    let running = serve_lookup().await;
    let prompt = Prompt::Text("Wetter: ☀️😀 und 😟.\n".to_owned());
    let committed = "Wetter: ☀️😀";
    for cut in 0..4 {
        let open = Open {
            prompt: prompt.clone(),
            committed: committed.as_bytes()[..committed.len() - cut].to_vec(),
            max_block_bytes: 8,
            ..lookup()
        };
        let block = running.open(open).await.block().await;
        let whole = [&committed.as_bytes()[..committed.len() - cut], &block.text].concat();
        let whole = String::from_utf8(whole).expect("whole code points");
        assert!("Wetter: ☀️😀 und 😟.\n".starts_with(&whole), "{whole}");
        assert!(whole.len() > committed.len());
    }
}

#[tokio::test]
async fn look_up_says_that_it_has_no_model_and_refuses_what_needs_one() {
    let running = serve_lookup().await;
    let mut client = running.client.clone();
    let described = client.describe(Request::new(())).await.unwrap();
    let model = &described.model;
    assert_eq!(
        (model.architecture.as_str(), model.vocabulary_size),
        ("ngram", 0)
    );
    assert_eq!(model.tokenizer_fingerprint, Fingerprint::NONE);
    let methods = described.methods.iter().map(|method| method.name.as_str());
    assert!(methods.eq(["greedy", "coupled", "point_mass"]));
    let Err(ClientError::Status(status)) = client.vocabulary(Request::new(())).await else {
        panic!("there is no vocabulary")
    };
    assert_eq!(status.code(), Code::FailedPrecondition);
    for method in ["tli", "token_timing"] {
        let method = method.to_owned();
        let Err(ClientError::Status(status)) = running.try_open(Open { method, ..lookup() }).await
        else {
            panic!("there is no distribution")
        };
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(
            status
                .message()
                .ends_with("one of greedy, coupled, point_mass"),
            "{status}"
        );
    }
}

#[tokio::test]
async fn proposal_of_a_look_up_is_the_same_under_every_method_and_seed() {
    let running = serve_lookup().await;
    for (method, seed) in [
        ("greedy", 0),
        ("coupled", 1),
        ("coupled", 2),
        ("point_mass", 3),
    ] {
        let open = Open {
            method: method.to_owned(),
            seed,
            committed: b"return".to_vec(),
            prompt: Prompt::Text(format!("\n{SAID}")),
            ..lookup()
        };
        let block = running
            .open(Open {
                committed: b";\nreturn".to_vec(),
                ..open
            })
            .await
            .block()
            .await;
        assert_eq!(text(&block), " total;\n\nAgain:\n", "{method}");
        assert!(block.draws.is_empty());
    }
}

#[tokio::test]
async fn cascade_asks_its_model_only_where_the_look_up_finds_nothing() {
    let cascade = serve_cascade().await;
    let alone = serve_source(Source::Model, Tiny::default(), serving()).await;
    let mut peer = cascade.open(lookup()).await;
    let appended: [&[u8]; 4] = [b"let total = first", b"then ", b" x\nreturn", b"\n"];
    let (mut looked_up, mut of_the_model) = (0, 0);
    for round in 0..24 {
        let block = peer.block().await;
        let fresh = Open {
            committed: peer.committed.bytes().to_vec(),
            ..lookup()
        };
        let said = [SAID.as_bytes(), peer.committed.bytes()].concat();
        let asked = alone.open(fresh).await.block().await;
        let is_of_the_model = block.text == asked.text && block.token_ends == asked.token_ends;
        let is_said_before = said.ends_with(b"let total = first");
        if is_said_before {
            assert!(!is_of_the_model && !block.declines(), "{block:?}");
            looked_up += 1;
        } else if is_of_the_model {
            of_the_model += usize::from(!block.declines());
        } else {
            // A look-up that has been right proposes after shorter matches. At least the first piece occurred before.
            let piece = &block.text[..block.token_ends[0] as usize];
            let mut places = said.windows(piece.len());
            assert!(places.any(|place| place == piece), "{block:?}");
        }
        let length = block.text.len();
        let kept = if is_of_the_model {
            [length, length / 2, 0][round % 3]
        } else {
            // A look-up that was wrong would yield to the model, which a fresh session does not know.
            length
        };
        peer.settle(&block, kept, appended[round % appended.len()]);
    }
    assert_eq!(looked_up, 6);
    assert!(of_the_model > 0, "the model is never asked");
    let model = cascade
        .client
        .clone()
        .describe(Request::new(()))
        .await
        .unwrap()
        .model;
    assert_eq!(model.architecture, "ngram + llama");
}

#[tokio::test]
async fn look_up_that_was_wrong_yields_to_the_model() {
    let cascade = serve_cascade().await;
    let alone = serve_source(Source::Model, Tiny::default(), serving()).await;
    let mut peer = cascade.open(lookup()).await;
    let first = peer.block().await;
    peer.settle(&first, 0, b"let total = first");
    let wrong = peer.block().await;
    assert!(text(&wrong).starts_with(" + second"), "{wrong:?}");
    peer.settle(&wrong, 0, b"? let total = first");
    let fresh = Open {
        committed: peer.committed.bytes().to_vec(),
        ..lookup()
    };
    let asked = alone.open(fresh).await.block().await;
    assert_eq!(peer.block().await.text, asked.text);
}

#[tokio::test]
async fn look_up_learns_from_what_it_did_not_propose() {
    let running = serve_lookup().await;
    let said = "one two; three; four; five; six; seven; eight; nine; ten; eleven;\n";
    let sure = Wish {
        least_percent: 60,
        ..Wish::chain(6)
    };
    let open = Open {
        prompt: Prompt::Text(said.to_owned()),
        first: Some(sure),
        ..lookup()
    };
    let mut peer = running.open(open).await;
    let mut block = peer.block().await;
    // Nine bytes that agree are no reason, until it turns out that they are.
    for (appended, is_proposed) in [("four; fiv", false), ("e; ? three; fo", true)] {
        let verdict = peer.verdict(&block, 0, appended.as_bytes());
        peer.send(Verdict {
            next: Some(sure),
            ..verdict
        });
        block = peer.block().await;
        assert_eq!(!block.declines(), is_proposed, "{appended}: {block:?}");
    }
    assert_eq!(text(&block), "ur");
}

#[tokio::test]
async fn model_of_a_cascade_has_read_the_prompt_before_it_is_asked() {
    let cascade = serve_cascade().await;
    let open = Open {
        committed: b"let total = first".to_vec(),
        ..lookup()
    };
    let mut peer = cascade.open(open).await;
    // Nothing has been asked of the model yet: the first block is looked up.
    assert!(cascade.engine.load_now().cache_bytes > 0);
    assert!(text(&peer.block().await).starts_with(" + second"));
}

#[tokio::test]
async fn cascade_with_credit_drafts_what_a_fresh_session_would_propose() {
    let running = serve_cascade().await;
    // The earlier occurrence ends with the prompt, so that the model has to continue what was looked up.
    for said in [
        "one two three four five; one two three four",
        "let the other in then; let the other in th",
        "fn ",
    ] {
        let open = Open {
            prompt: Prompt::Text(said.to_owned()),
            credit: 2,
            max_block_tokens: 2,
            ..open()
        };
        let mut peer = running.open(open.clone()).await;
        let mut reply = Vec::new();
        for _ in 0..6 {
            let block = peer.block().await;
            assert_eq!(block.base_hash, BaseHash::of(&reply));
            let fresh = Open {
                committed: reply.clone(),
                ..open.clone()
            };
            let fresh = running.open(fresh).await.block().await;
            assert_eq!(block.text, fresh.text, "{said:?}");
            reply.extend_from_slice(&block.text);
            let verdict = Verdict {
                next: Some(Wish::chain(2)),
                ..peer.verdict(&block, block.text.len(), b"")
            };
            peer.send(verdict);
        }
    }
}
