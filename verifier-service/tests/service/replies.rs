//! Replies: their end, their parts, their usage.

use proto::{
    model::{Message, Prompt, Role, Sampling},
    verifier::{FinishReason, Generate, Origin, RoundReport, Speculation},
};
use tonic::Request;
use verifier_service::config::Serving;

use crate::{
    drafters::{Kind, Running},
    harness::{CONTEXT, Process, Whole, endless, request, requests, serving},
};

/// The reply to each request with an honest drafter and without any.
async fn both(requests: &[Generate]) -> Vec<(Whole, Whole)> {
    let drafter = Running::start(Kind::Ahead).await;
    let serving = Serving {
        draft_ahead: 1,
        ..serving(&[&drafter.address])
    };
    let process = Process::start(endless(), serving).await;
    let mut replies = Vec::new();
    for request in requests {
        let unstopped = Generate {
            stop: Vec::new(),
            ..request.clone()
        };
        drafter.learn(&process.plain(&unstopped).await.text);
        let plain = process.plain(request).await;
        replies.push((process.generate(request).await, plain));
    }
    drafter.seen(|seen| assert_eq!(seen.faults, Vec::<String>::new()));
    replies
}

#[tokio::test]
async fn stop_string_ends_the_reply_at_any_cut_of_tokens_and_rounds() {
    let process = Process::endless(&[]).await;
    for request in requests() {
        let whole = process.plain(&request).await.text;
        let chars: Vec<usize> = whole.char_indices().map(|(at, _)| at).collect();
        let cases: Vec<(usize, usize)> = [(3, 4), (8, 9), (11, 1), (20, 6), (30, 12)]
            .map(|(from, length)| (chars[from], chars[from + length]))
            .to_vec();
        let stopped: Vec<Generate> = cases
            .iter()
            .map(|(from, to)| Generate {
                stop: vec!["\u{1f980}".to_owned(), whole[*from..*to].to_owned()],
                ..request.clone()
            })
            .collect();
        for ((reply, plain), (from, to)) in both(&stopped).await.iter().zip(cases) {
            let stop = &whole[from..to];
            let expected = &whole[..whole.find(stop).expect("it is there")];
            assert_eq!(reply.text, expected);
            assert_eq!(plain.text, expected);
            assert_eq!(reply.finish.reason, FinishReason::Stop);
            assert_eq!(reply.finish.matched_stop.as_deref(), Some(stop));
            let (usage, other) = (&reply.finish.usage, &plain.finish.usage);
            assert_eq!(usage.completion_tokens, other.completion_tokens);
            assert!(usage.accepted_tokens <= usage.completion_tokens);
        }
    }
}

#[tokio::test]
async fn limit_of_tokens_is_met_exactly() {
    let limited = |max_tokens| Generate {
        max_tokens: Some(max_tokens),
        ..request(0.8, 4)
    };
    let requests: Vec<Generate> = (1..=20).map(limited).collect();
    for ((reply, plain), expected) in both(&requests).await.iter().zip(1..) {
        assert_eq!(reply.finish.usage.completion_tokens, expected);
        assert_eq!(reply.finish.reason, FinishReason::Length);
        assert_eq!(reply.text, plain.text);
    }
}

#[tokio::test]
async fn full_context_ends_the_reply_at_the_same_place() {
    let text = "let the fn = x; ".repeat(24);
    let request = Generate {
        prompt: Prompt::Text(text),
        max_tokens: None,
        ..request(0.8, 2)
    };
    for (reply, plain) in both(&[request]).await {
        assert_eq!(reply.finish.reason, FinishReason::ContextFull);
        assert_eq!(reply.text, plain.text);
        let usage = &reply.finish.usage;
        let tokens = usage.prompt_tokens + usage.completion_tokens;
        assert_eq!(
            tokens as usize,
            CONTEXT + 1,
            "the last token needs no position"
        );
    }
}

#[tokio::test]
async fn penalties_and_bias_hold_at_every_position_of_a_block() {
    let penalised = |seed| Generate {
        sampling: Sampling {
            temperature: 0.9,
            top_k: 40,
            repetition_penalty: 1.3,
            frequency_penalty: 0.7,
            presence_penalty: 0.4,
            min_p: 0.01,
            ..Sampling::default()
        },
        logit_bias: (128..256)
            .chain([97])
            .map(|id| (id, -100.0))
            .chain([(65, 3.0)])
            .collect(),
        ..request(0.9, seed)
    };
    let requests: Vec<Generate> = (0..4).map(penalised).collect();
    for (reply, plain) in both(&requests).await {
        assert_eq!(reply.text, plain.text);
        assert!(reply.finish.usage.accepted_tokens > 20);
    }
}

#[tokio::test]
async fn pieces_name_the_origin_of_text_and_rounds_add_up() {
    let request = Generate {
        rounds: RoundReport::Counts,
        ..request(0.8, 9)
    };
    let (reply, plain) = both(&[request]).await.remove(0);
    let bytes = |origin| {
        let pieces = reply.chunks.iter().flat_map(|chunk| &chunk.pieces);
        let of_origin = pieces.filter(|piece| piece.origin == origin);
        of_origin.map(|piece| piece.text.len()).sum::<usize>()
    };
    let rounds: Vec<_> = reply
        .chunks
        .iter()
        .filter_map(|chunk| chunk.round.clone())
        .collect();
    let usage = &reply.finish.usage;
    assert_eq!(rounds.len(), usage.rounds as usize);
    assert!(
        rounds
            .iter()
            .zip(1..)
            .all(|(round, number)| round.round == number)
    );
    let sum = |part: fn(&proto::verifier::RoundInfo) -> u32| rounds.iter().map(part).sum::<u32>();
    assert_eq!(sum(|round| round.proposed_tokens), usage.proposed_tokens);
    assert_eq!(sum(|round| round.accepted_tokens), usage.accepted_tokens);
    assert_eq!(
        sum(|round| round.accepted_bytes) as usize,
        bytes(Origin::Accepted)
    );
    let waits = rounds
        .iter()
        .map(|round| round.timings.draft_wait)
        .sum::<std::time::Duration>();
    // On the wire each round's wait is cut to microseconds, and so is their sum.
    let cut = std::time::Duration::from_micros(u64::from(usage.rounds) + 1);
    assert!(waits.abs_diff(usage.draft_wait) <= cut);
    assert!(bytes(Origin::Accepted) > bytes(Origin::Bonus));
    assert_eq!(plain.finish.method, None);
    assert_eq!(reply.finish.method.as_deref(), Some("coupled"));
    assert_eq!((reply.finish.seed, plain.finish.seed), (9, 9));
}

type Count = fn(&proto::verifier::Usage) -> u64;

#[tokio::test]
async fn usage_and_metrics_agree() {
    let drafter = Running::start(Kind::Useless).await;
    let process = Process::endless(&[&drafter.address]).await;
    let mut usages = Vec::new();
    for request in requests() {
        usages.push(process.plain(&request).await.finish.usage);
        usages.push(process.generate(&request).await.finish.usage);
    }
    let parts: [(&str, Count); 14] = [
        ("proposed_alternatives_total", |u| {
            u.proposed_alternatives.into()
        }),
        ("accepted_alternatives_total", |u| {
            u.accepted_alternatives.into()
        }),
        ("prompt_tokens_total", |u| u.prompt_tokens.into()),
        ("cached_prompt_tokens_total", |u| {
            u.cached_prompt_tokens.into()
        }),
        ("completion_tokens_total", |u| u.completion_tokens.into()),
        ("committed_bytes_total", |u| u.committed_bytes),
        ("target_forwards_total", |u| u.target_forwards.into()),
        ("rounds_total", |u| u.rounds.into()),
        ("proposed_tokens_total", |u| u.proposed_tokens.into()),
        ("accepted_tokens_total", |u| u.accepted_tokens.into()),
        ("rejected_tokens_total", |u| u.rejected_tokens.into()),
        ("stale_blocks_total", |u| u.stale_blocks.into()),
        ("wire_sent_bytes_total", |u| u.wire_sent_bytes),
        ("wire_received_bytes_total", |u| u.wire_received_bytes),
    ];
    for (name, part) in parts {
        let expected: u64 = usages.iter().map(part).sum();
        assert_eq!(process.metric(name).await, expected, "{name}");
    }
    assert!(usages.iter().any(|usage| usage.rejected_tokens > 0));
    for reason in proto::verifier::FallbackReason::ALL {
        let count = |usage: &proto::verifier::Usage| {
            u64::from(usage.fallbacks.get(&reason).copied().unwrap_or(0))
        };
        let expected: u64 = usages.iter().map(count).sum();
        let name = format!("fallbacks_total{{reason=\"{reason}\"}}");
        assert_eq!(process.metric(&name).await, expected, "{reason}");
    }
    assert_eq!(
        process.metric("requests_total{outcome=\"length\"}").await,
        8
    );
}

#[tokio::test]
async fn point_mass_verifies_blocks_of_a_drafter_without_the_seed() {
    let drafter = Running::start(Kind::Honest).await;
    let process = Process::endless(&[&drafter.address]).await;
    let request = Generate {
        speculation: Speculation::Auto {
            method: Some("point_mass".to_owned()),
            block_tokens: Some(4),
            allow_lossy: false,
            alternatives: None,
        },
        ..request(0.8, 77)
    };
    drafter.learn(&process.plain(&request).await.text);
    let reply = process.generate(&request).await;
    assert_eq!(reply.finish.method.as_deref(), Some("point_mass"));
    assert_eq!(reply.finish.usage.completion_tokens, 60);
    drafter.seen(|seen| {
        assert_eq!((seen.opens[0].seed, seen.opens[0].max_block_tokens), (0, 4));
        assert_eq!(seen.faults, Vec::<String>::new());
    });
    assert_eq!(process.generate(&request).await.finish.seed, 77);
}

#[tokio::test]
async fn conversation_is_rendered_by_the_model_s_own_template() {
    let process = Process::endless(&[]).await;
    let message = |role, content: &str| Message::new(role, content);
    let conversation = vec![message(Role::User, "let the")];
    let conversation = Generate {
        prompt: Prompt::chat(conversation),
        ..request(0.0, 0)
    };
    let text = Generate {
        prompt: Prompt::Text("let the".to_owned()),
        ..request(0.0, 0)
    };
    let (conversation, text) = (
        process.generate(&conversation).await,
        process.generate(&text).await,
    );
    let tokens = |whole: &Whole| whole.finish.usage.prompt_tokens;
    assert!(tokens(&conversation) > tokens(&text) + 5);
    assert_ne!(conversation.text, text.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_share_passes_do_not_change_each_other() {
    let drafter = Running::start(Kind::Useless).await;
    let process = Process::endless(&[&drafter.address]).await;
    let requests: Vec<Generate> = (0..8).map(|seed| request(0.8, seed)).collect();
    let mut alone = Vec::new();
    for request in &requests {
        alone.push(process.plain(request).await.text);
    }
    let mut opened = Vec::new();
    for request in &requests {
        opened.push(process.open(request).await.expect("a reply"));
    }
    for (reply, expected) in opened.into_iter().zip(alone) {
        assert_eq!(crate::harness::read(reply).await.text, expected);
    }
}

#[tokio::test]
async fn description_has_model_methods_limits_and_drafters() {
    let drafter = Running::start(Kind::Honest).await;
    let process = Process::endless(&[&drafter.address]).await;
    process.generate(&request(0.0, 0)).await;
    let described = process
        .client
        .clone()
        .describe(Request::new(()))
        .await
        .unwrap();
    assert_eq!(described.model.name, "tiny");
    assert_eq!(described.model.context_length as usize, CONTEXT);
    let methods: Vec<_> = described
        .methods
        .iter()
        .map(|m| (m.name.as_str(), m.lossless))
        .collect();
    assert_eq!(
        methods,
        [
            ("greedy", true),
            ("coupled", true),
            ("point_mass", true),
            ("standard", true),
            ("tli", true),
            ("path_conditional", true),
            ("token_timing", false)
        ]
    );
    assert_eq!(
        (
            described.limits.max_tokens,
            described.limits.max_block_tokens
        ),
        (1000, 16)
    );
    assert_eq!(described.drafters[0].address, drafter.address);
    assert_eq!(described.drafters[0].model.as_deref(), Some("oracle"));
}
