//! Choice of the tokens that are proposed.

use alignment::{
    acceptance::{self, Distribution},
    noise::SharedNoise,
};
use inference::{
    engine::Engine,
    sampling::{DistributionEvaluator, History, Sampling as NativeSampling},
};
use proto::{
    drafter::{EndRole, Open},
    model::Sampling,
};
use tests::tiny::Tiny;
use tokenizer::prompt::Prompt as NativePrompt;

use crate::drafter::{open, serve, serve_default, serving};

/// Text that a verifier with the same model emits under `coupled`, token by token.
async fn emitted(engine: &Engine, open: &Open, tokens: usize) -> Vec<u8> {
    let tokenizer = engine.tokenizer();
    let key = |id| (tokenizer.token_bytes(id), tokenizer.rank(id));
    let sampling = NativeSampling {
        temperature: open.sampling.temperature,
        top_k: open.sampling.top_k,
        top_p: open.sampling.top_p,
        // As the drafter has it.
        min_p: 1e-5,
        ..NativeSampling::greedy()
    };
    let prompt = NativePrompt::Text("fn ".to_owned());
    let mut ids = engine.encode_prompt(&prompt).expect("a prompt");
    let history = History::new(&ids);
    let noise = SharedNoise::new(open.seed);
    let mut session = engine.open().expect("room");
    let mut text = Vec::new();
    for _ in 0..tokens {
        let logits = session
            .forward(ids, 1, |logits| logits.row(0).to_vec())
            .await;
        let logits = logits.expect("a pass").value;
        let mut evaluator = DistributionEvaluator::new(sampling.clone(), tokenizer.vocab_size());
        let distribution = evaluator
            .evaluate(&logits, &history)
            .expect("a distribution");
        let distribution = Distribution {
            ids: distribution.ids,
            log_probs: distribution.log_probs,
        };
        let position = noise.at(text.len() as u64, 0);
        let id = acceptance::coupled(&distribution, open.sharpness, &position, key);
        text.extend_from_slice(tokenizer.token_bytes(id));
        ids = vec![id];
    }
    text
}

#[tokio::test]
async fn coupled_drafts_what_a_verifier_with_the_same_model_emits() {
    let running = serve_default().await;
    for (seed, top_p, top_k, sharpness) in [
        (1, 1.0, 0, 1.0),
        (2, 0.9, 0, 1.0),
        (3, 1.0, 20, 1.0),
        (4, 1.0, 0, 2.0),
    ] {
        let sampling = Sampling {
            temperature: 1.0,
            top_p,
            top_k,
            ..Sampling::default()
        };
        let method = "coupled".to_owned();
        let open = Open {
            method,
            seed,
            sampling,
            sharpness,
            max_block_tokens: 12,
            ..open()
        };
        let block = running.open(open.clone()).await.block().await;
        let expected = emitted(&running.engine, &open, block.token_ends.len()).await;
        assert_eq!(block.text, expected, "seed {seed}");
    }
}

#[tokio::test]
async fn seeds_decide_under_coupled_and_nowhere_else() {
    let running = serve_default().await;
    for (method, decides) in [("coupled", true), ("greedy", false), ("point_mass", false)] {
        let mut texts = Vec::new();
        for seed in [1, 1, 2, 3] {
            let sampling = Sampling::default();
            let open = Open {
                method: method.to_owned(),
                seed,
                sampling,
                ..open()
            };
            texts.push(running.open(open).await.block().await.text);
        }
        assert_eq!(texts[0], texts[1], "{method}");
        assert_eq!(
            texts[2..].iter().any(|text| *text != texts[0]),
            decides,
            "{method}"
        );
    }
}

#[tokio::test]
async fn draft_stops_at_its_own_end_and_goes_on_when_the_verifier_disagrees() {
    let running = serve(
        Tiny {
            ends: 1.0,
            ..Tiny::default()
        },
        serving(),
    )
    .await;
    let mut peer = running
        .open(Open {
            credit: 3,
            ..open()
        })
        .await;
    for round in 1..=3 {
        let block = peer.block().await;
        assert_eq!(block.round, round);
        assert!(block.text.is_empty() && block.token_ends.is_empty());
        let role = block.ends_with.expect("an end");
        assert!(matches!(role, EndRole::EndOfTurn | EndRole::EndOfSequence));
        peer.settle(&block, 0, b"not yet ");
    }
}

#[tokio::test]
async fn control_tokens_that_end_nothing_are_never_proposed() {
    let running = serve(
        Tiny {
            controls: 1.0,
            ..Tiny::default()
        },
        serving(),
    )
    .await;
    let sampling = Sampling {
        top_p: 0.9,
        ..Sampling::default()
    };
    for method in ["greedy", "coupled"] {
        let method = method.to_owned();
        let mut peer = running
            .open(Open {
                method,
                sampling,
                ..open()
            })
            .await;
        for _ in 0..3 {
            let block = peer.block().await;
            assert_eq!(block.token_ends.len(), 6);
            assert!(
                block.token_ends.is_sorted_by(|a, b| a < b),
                "every token has bytes"
            );
            assert_eq!(block.ends_with, None);
            let all = block.text.len();
            peer.settle(&block, all, b"\n");
        }
    }
}

#[tokio::test]
async fn spelled_control_tokens_in_the_reply_are_text() {
    let running = serve_default().await;
    let committed = b"<|im_end|>".to_vec();
    let spelled = running
        .open(Open {
            committed,
            ..open()
        })
        .await;
    let left = spelled.session.opened.context_left;
    let empty = running.open(open()).await.session.opened.context_left;
    assert!(
        empty - left > 5,
        "{empty} {left}: one token would be the control token"
    );
}
