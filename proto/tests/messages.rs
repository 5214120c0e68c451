//! Every message survives the way out and back in, and every bad field is refused by its name.

#[path = "fuzz/samples.rs"]
mod samples;

use std::time::Duration;

use prost::Message as _;
use proto::{
    CommittedText, ProtocolError,
    drafter::{
        Block, CloseReason, EndRole, Failure, FailureCode, FromDrafter, Open, Opened, ToDrafter,
        Verdict,
    },
    limits,
    model::{Fingerprint, Message, Prompt, Role, Sampling},
    verifier::{
        Chunk, FallbackReason, Finish, FinishReason, Generate, Origin, Part, Piece, RoundInfo,
        RoundTimings, ScoredToken, Speculation, TokenLogprob, Usage,
    },
    wire::{
        drafter::v1::{self as drafter, draft_request},
        model::v1 as model,
        verifier::v1 as verifier,
    },
};

use samples::{block, detail, open, usage, verdict};

#[test]
fn messages_to_the_drafter_survive_the_wire() {
    let messages = [
        ToDrafter::Open(Box::new(open())),
        ToDrafter::Verdict(verdict()),
        ToDrafter::Close(CloseReason::Finished),
    ];
    for message in messages {
        let bytes = drafter::DraftRequest::from(message.clone()).encode_to_vec();
        let received = drafter::DraftRequest::decode(bytes.as_slice()).unwrap();
        assert_eq!(ToDrafter::try_from(received), Ok(message));
    }
}

#[test]
fn messages_from_the_drafter_survive_the_wire() {
    let end_only = Block {
        text: Vec::new(),
        token_ends: Vec::new(),
        draws: Vec::new(),
        ends_with: Some(EndRole::EndOfTurn),
        ..block()
    };
    let tree = Block {
        parents: vec![0, 0],
        draws: Vec::new(),
        ..block()
    };
    let messages = [
        FromDrafter::Opened(Opened {
            model: "smollm2-135m".to_owned(),
            tokenizer_fingerprint: Fingerprint([9; 32]),
            block_tokens: 4,
            max_block_bytes: 256,
            credit: 1,
            context_left: 0,
        }),
        FromDrafter::Block(block()),
        FromDrafter::Block(end_only),
        FromDrafter::Block(tree),
        FromDrafter::Failure(Failure {
            code: FailureCode::Overloaded,
            text: "busy".to_owned(),
        }),
    ];
    for message in messages {
        let bytes = drafter::DraftResponse::from(message.clone()).encode_to_vec();
        let received = drafter::DraftResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!(FromDrafter::try_from(received), Ok(message));
    }
}

#[test]
fn request_for_a_reply_survives_the_wire() {
    let mut request = Generate::new(Prompt::Text("fn ".to_owned()));
    request.max_tokens = Some(64);
    request.sampling = Sampling::greedy();
    request.logit_bias = vec![(0, -100.0), (7, 1.5)];
    request.seed = Some(0);
    request.stop = vec!["\n\n".to_owned()];
    request.include_rounds = true;
    request.include_round_details = true;
    for speculation in [
        Speculation::Off,
        Speculation::auto(),
        Speculation::Auto {
            method: Some("point_mass".to_owned()),
            block_tokens: Some(8),
            allow_lossy: false,
        },
    ] {
        request.requires_drafter = speculation == Speculation::auto();
        request.top_logprobs = request.requires_drafter.then_some(0);
        request.speculation = speculation;
        let bytes = verifier::GenerateRequest::from(request.clone()).encode_to_vec();
        let received = verifier::GenerateRequest::decode(bytes.as_slice()).unwrap();
        assert_eq!(Generate::try_from(received), Ok(request.clone()));
    }
}

#[test]
fn absent_sampling_is_the_models_own_law_and_zero_temperature_is_greedy() {
    assert_eq!(
        Sampling::try_from(model::Sampling::default()),
        Ok(Sampling::default())
    );
    let zero = model::Sampling {
        temperature: Some(0.0),
        ..Default::default()
    };
    assert_eq!(Sampling::try_from(zero), Ok(Sampling::greedy()));
}

fn scored(bytes: &[u8], control: Option<&str>, logprob: f32) -> ScoredToken {
    ScoredToken {
        bytes: bytes.to_vec(),
        control: control.map(ToOwned::to_owned),
        logprob,
    }
}

#[test]
fn parts_of_a_reply_survive_the_wire() {
    let chunk = Chunk {
        pieces: vec![
            Piece {
                origin: Origin::Accepted,
                text: "let é".to_owned(),
            },
            Piece {
                origin: Origin::Bonus,
                text: " =".to_owned(),
            },
        ],
        round: Some(RoundInfo {
            round: 3,
            proposed_tokens: 4,
            proposed_bytes: 12,
            accepted_tokens: 2,
            accepted_bytes: 6,
            fallback: None,
            timings: RoundTimings {
                verify: Duration::from_millis(180),
                ..Default::default()
            },
            detail: Some(Box::new(detail())),
        }),
        tokens: vec![TokenLogprob {
            token: scored(b"let \xc3", None, -0.25),
            top: vec![
                scored(b"", Some("<|im_end|>"), -0.125),
                scored(b"\xff", None, f32::NEG_INFINITY),
            ],
        }],
    };
    let finish = Finish {
        reason: FinishReason::Stop,
        matched_stop: Some("\n\n".to_owned()),
        usage: usage(),
        method: Some("coupled".to_owned()),
        method_reason: "lossless at temperature 0.8".to_owned(),
        seed: 0,
        request_id: "r-1".to_owned(),
    };
    for part in [Part::Chunk(chunk), Part::Finish(Box::new(finish))] {
        let bytes = verifier::GenerateResponse::from(part.clone()).encode_to_vec();
        let received = verifier::GenerateResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!(Part::try_from(received), Ok(part));
    }
}

#[test]
fn every_reason_for_a_fallback_survives_the_wire() {
    let fallbacks = FallbackReason::ALL
        .iter()
        .map(|&reason| (reason, 1))
        .collect();
    let usage = Usage {
        fallbacks,
        ..usage()
    };
    assert_eq!(
        Usage::try_from(verifier::Usage::from(usage.clone())),
        Ok(usage)
    );
}

/// The field that an error names, and its text, which must say what would be right.
fn field<T: std::fmt::Debug>(result: Result<T, ProtocolError>) -> String {
    let error = result.expect_err("the message must be refused");
    assert!(error.to_string().contains("must be"), "{error}");
    match error {
        ProtocolError::Missing { field, .. } | ProtocolError::Invalid { field, .. } => field,
        ProtocolError::Version { .. } => "version".to_owned(),
    }
}

/// Checks that `Open` is refused by `name` once `spoil` has been at it.
fn refused(name: &str, spoil: fn(&mut drafter::Open)) {
    let mut wire = drafter::Open::from(open());
    spoil(&mut wire);
    let message = Some(draft_request::Message::Open(wire));
    assert_eq!(
        field(ToDrafter::try_from(drafter::DraftRequest { message })),
        name
    );
}

#[test]
fn bad_prompts_and_ids_of_open_are_refused_by_name() {
    refused("open.session_id", |o| o.session_id.clear());
    refused("open.session_id", |o| o.session_id = "a\nb".to_owned());
    refused("open.session_id", |o| o.session_id = "x".repeat(129));
    refused("open.prompt", |o| o.prompt = None);
    refused("open.prompt.content", |o| {
        o.prompt = Some(model::Prompt::default());
    });
    refused("open.prompt.text", |o| {
        o.prompt = Some(Prompt::Text(String::new()).into());
    });
    refused("open.prompt.text", |o| {
        o.prompt = Some(Prompt::Text("x".repeat(limits::MAX_PROMPT_BYTES + 1)).into());
    });
    refused("open.prompt.conversation.messages", |o| {
        o.prompt = Some(Prompt::Conversation(Vec::new()).into());
    });
    refused("open.prompt.conversation", |o| {
        let content = "x".repeat(limits::MAX_PROMPT_BYTES / 2 + 1);
        let message = Message {
            role: Role::User,
            content,
        };
        o.prompt = Some(Prompt::Conversation(vec![message.clone(), message]).into());
    });
    refused("open.prompt.conversation.messages[0].role", |o| {
        let messages = vec![model::Message {
            role: 0,
            content: String::new(),
        }];
        let conversation = model::Conversation { messages };
        let content = Some(model::prompt::Content::Conversation(conversation));
        o.prompt = Some(model::Prompt { content });
    });
}

#[test]
fn bad_settings_of_open_are_refused_by_name() {
    refused("open.committed", |o| {
        o.committed = vec![0; limits::MAX_COMMITTED_BYTES + 1];
    });
    refused("open.method", |o| o.method = "Greedy".to_owned());
    refused("open.sampling.temperature", |o| {
        sampling(o).temperature = Some(f32::NAN);
    });
    refused("open.sampling.temperature", |o| {
        sampling(o).temperature = Some(-0.1);
    });
    refused("open.sampling.top_p", |o| sampling(o).top_p = Some(0.0));
    refused("open.sampling.min_p", |o| sampling(o).min_p = 1.1);
    refused("open.sampling.repetition_penalty", |o| {
        sampling(o).repetition_penalty = Some(0.0);
    });
    refused("open.sampling.frequency_penalty", |o| {
        sampling(o).frequency_penalty = f32::INFINITY;
    });
    refused("open.sampling.presence_penalty", |o| {
        sampling(o).presence_penalty = -2.5;
    });
    refused("open.sharpness", |o| o.sharpness = Some(0.0));
    refused("open.max_block_tokens", |o| o.max_block_tokens = 0);
    refused("open.first_block_tokens", |o| {
        o.first_block_tokens = Some(9);
    });
    refused("open.max_block_bytes", |o| {
        o.max_block_bytes = limits::MAX_BLOCK_BYTES + 1;
    });
    refused("open.credit", |o| o.credit = 17);
    refused("open.expected_fingerprint", |o| {
        o.expected_fingerprint = Some(vec![0; 31]);
    });
}

fn sampling(open: &mut drafter::Open) -> &mut model::Sampling {
    open.sampling.get_or_insert_default()
}

#[test]
fn another_protocol_version_is_refused_with_both_named() {
    let wire = drafter::Open {
        protocol_version: 2,
        ..open().into()
    };
    let error = Open::try_from(wire).unwrap_err();
    assert_eq!(
        error,
        ProtocolError::Version {
            found: 2,
            spoken: 1
        }
    );
    assert_eq!(
        tonic::Status::from(error).code(),
        tonic::Code::FailedPrecondition
    );
}

#[test]
fn block_without_text_or_end_says_that_there_is_nothing_to_propose() {
    let empty = Block {
        text: Vec::new(),
        token_ends: Vec::new(),
        ends_with: None,
        parents: Vec::new(),
        draws: Vec::new(),
        ..block()
    };
    let read = Block::try_from(drafter::Block::from(empty.clone())).unwrap();
    assert_eq!(read, empty);
    assert!(read.declines());
    assert!(!block().declines());
}

#[test]
fn bad_fields_of_a_block_are_refused_by_name() {
    let check = |name: &str, spoil: fn(&mut drafter::Block)| {
        let mut wire = drafter::Block::from(block());
        spoil(&mut wire);
        assert_eq!(field(Block::try_from(wire)), name);
    };
    check("round", |b| b.round = 0);
    check("token_ends", |b| b.text.clear());
    check("text", |b| {
        b.text = vec![b'a'; limits::MAX_BLOCK_BYTES as usize + 1];
    });
    check("token_ends", |b| b.token_ends.clear());
    check("token_ends", |b| {
        b.token_ends = vec![7; limits::MAX_BLOCK_TOKENS as usize + 1];
    });
    check("token_ends", |b| b.token_ends = vec![7, 2]);
    check("token_ends", |b| b.token_ends = vec![2, 6]);
    check("token_ends", |b| b.token_ends = vec![2, u32::MAX]);
    check("ends_with", |b| b.ends_with = 3);
    check("parents", |b| b.parents = vec![0]);
    check("parents[0]", |b| b.parents = vec![1, 1]);
    check("parents[1]", |b| b.parents = vec![0, 2]);
    check("ends_with", |b| {
        b.parents = vec![0, 0];
        b.ends_with = 1;
    });
    check("draws", |b| b.draws.truncate(1));
    check("draws", |b| b.ends_with = 1);
    check("draws[0].log_prob", |b| b.draws[0].log_prob = f32::NAN);
    check("draws[0].log_prob", |b| b.draws[0].log_prob = 0.1);
    check("draws[1].law.ids", |b| law(b).ids = vec![9, 1]);
    check("draws[1].law.ids", |b| {
        *law(b) = drafter::SparseLaw::default();
    });
    check("draws[1].law.log_probs", |b| law(b).log_probs[0] = 0.1);
    check("draws[1].law.log_probs", |b| {
        law(b).log_probs[0] = f32::NEG_INFINITY;
    });
    check("draws[1].law.log_probs", |b| law(b).log_probs.clear());
    check("draws", |b| {
        let ids: Vec<u32> = (0..=limits::MAX_LAW_ENTRIES as u32).collect();
        *law(b) = drafter::SparseLaw {
            log_probs: vec![-9.0; ids.len()],
            ids,
        };
    });
}

fn law(block: &mut drafter::Block) -> &mut drafter::SparseLaw {
    block.draws[1].law.get_or_insert_default()
}

#[test]
fn bad_fields_of_a_verdict_are_refused_by_name() {
    let check = |name: &str, spoil: fn(&mut drafter::Verdict)| {
        let mut wire = drafter::Verdict::from(verdict());
        spoil(&mut wire);
        assert_eq!(field(Verdict::try_from(wire)), name);
    };
    check("kept_bytes", |v| v.kept_bytes = u32::MAX);
    check("appended", |v| {
        v.appended = vec![0; limits::MAX_APPENDED_BYTES + 1];
    });
    check("next_block_tokens", |v| {
        v.next_block_tokens = limits::MAX_BLOCK_TOKENS + 1;
    });
}

#[test]
fn bad_fields_of_a_request_are_refused_by_name() {
    let check = |name: &str, spoil: fn(&mut verifier::GenerateRequest)| {
        let mut wire = Generate::new(Prompt::Text("x".to_owned())).into();
        spoil(&mut wire);
        assert_eq!(field(Generate::try_from(wire)), name);
    };
    check("prompt", |r| r.prompt = None);
    check("max_tokens", |r| r.max_tokens = Some(0));
    check("sampling.temperature", |r| {
        r.sampling = Some(model::Sampling {
            temperature: Some(2.5),
            ..Default::default()
        });
    });
    check("logit_bias[5]", |r| r.logit_bias = [(5, f32::NAN)].into());
    check("logit_bias", |r| {
        r.logit_bias = (0..1025).map(|id| (id, 0.0)).collect();
    });
    check("top_logprobs", |r| r.top_logprobs = Some(21));
    check("stop", |r| r.stop = vec!["x".to_owned(); 5]);
    check("stop[1]", |r| r.stop = vec!["x".to_owned(), String::new()]);
    check("stop[0]", |r| r.stop = vec!["x".repeat(257)]);
    check("request_id", |r| r.request_id = "a b".to_owned());
    check("speculation.mode", |r| {
        r.speculation.get_or_insert_default().mode = 9;
    });
    check("speculation.method", |r| {
        r.speculation.get_or_insert_default().method = Some(String::new());
    });
    check("speculation.block_tokens", |r| {
        r.speculation.get_or_insert_default().block_tokens = Some(0);
    });
}

fn clock(detail: &mut verifier::RoundDetail) -> &mut verifier::RoundClock {
    detail.clock.get_or_insert_default()
}

#[test]
fn request_that_is_made_elsewhere_passes_the_same_validation() {
    let request = Generate {
        requires_drafter: true,
        top_logprobs: Some(20),
        ..Generate::new(Prompt::Text("x".to_owned()))
    };
    assert_eq!(request.clone().validated(), Ok(request.clone()));
    let mut wrong = request;
    wrong.stop = vec![String::new()];
    assert_eq!(field(wrong.validated()), "stop[0]");
}

#[test]
fn bad_tokens_of_a_chunk_are_refused_by_name() {
    let check = |name: &str, spoil: fn(&mut verifier::TokenLogprob)| {
        let token = TokenLogprob {
            token: scored(b"x", None, -1.0),
            top: vec![scored(b"y", None, -2.0)],
        };
        let mut wire = verifier::TokenLogprob::from(token);
        spoil(&mut wire);
        let chunk = verifier::Chunk {
            tokens: vec![wire],
            ..Default::default()
        };
        assert_eq!(field(Chunk::try_from(chunk)), name);
    };
    check("tokens.token", |t| t.token = None);
    check("tokens.token.logprob", |t| {
        t.token.get_or_insert_default().logprob = f32::NAN;
    });
    check("tokens.top", |t| {
        t.top = vec![verifier::ScoredToken::default(); 21];
    });
    check("tokens.top.logprob", |t| t.top[0].logprob = f32::NAN);
}

#[test]
fn bad_fields_of_a_rounds_detail_are_refused_by_name() {
    let check = |name: &str, spoil: fn(&mut verifier::RoundDetail)| {
        let mut wire = verifier::RoundInfo {
            round: 1,
            proposed_tokens: 4,
            accepted_tokens: 2,
            detail: Some(detail().into()),
            ..Default::default()
        };
        assert!(RoundInfo::try_from(wire.clone()).is_ok());
        spoil(wire.detail.as_mut().unwrap());
        assert_eq!(field(RoundInfo::try_from(wire)), format!("detail.{name}"));
    };
    check("clock", |d| d.clock = None);
    check("clock.verify_began_micros", |d| clock(d).began_micros = 900);
    check("clock.verify_ended_micros", |d| {
        clock(d).verify_ended_micros = 29;
    });
    check("clock.ended_micros", |d| clock(d).ended_micros = 0);
    check("clock.block_arrived_micros", |d| {
        clock(d).block_arrived_micros = Some(31);
    });
    check("draft_tokens", |d| d.draft_tokens = vec![vec![b'x']; 129]);
    check("draft_tokens", |d| d.draft_tokens[0] = vec![b'x'; 8192]);
    check("skipped_bytes", |d| d.skipped_bytes = 8193);
    check("proxies", |d| d.proxies.truncate(3));
    check("proxies.probability", |d| d.proxies[1].probability = 1.5);
    check("proxies.probability", |d| {
        d.proxies[1].probability = f32::NAN;
    });
    check("groups.draft_tokens", |d| d.groups[0].draft_tokens = 0);
    check("groups.draft_tokens", |d| {
        d.groups[0].draft_tokens = u32::MAX;
    });
    check("groups.proxies", |d| d.groups[1].proxies = 0);
    check("groups.proxies", |d| d.groups[1].proxies = 1);
    check("groups.proxies", |d| d.groups[1].proxies = 4);
    check("chosen.probability", |d| {
        d.chosen.as_mut().unwrap().probability = -0.1;
    });
    check("dropped", |d| d.dropped = vec![d.dropped[0]; 33]);
    check("dropped.draft_tokens", |d| d.dropped[0].draft_tokens = 129);
}

#[test]
fn counts_that_do_not_add_up_are_refused() {
    let wrong = verifier::Usage {
        rejected_tokens: 4,
        ..usage().into()
    };
    assert_eq!(field(Usage::try_from(wrong)), "proposed_tokens");
    let overflowing = verifier::Usage {
        rejected_tokens: u32::MAX,
        ..usage().into()
    };
    assert_eq!(field(Usage::try_from(overflowing)), "proposed_tokens");
    let more_than_all = verifier::Usage {
        cached_prompt_tokens: 13,
        ..usage().into()
    };
    assert_eq!(
        field(Usage::try_from(more_than_all)),
        "cached_prompt_tokens"
    );
    let mut twice = verifier::Usage::from(usage());
    twice.fallbacks.push(twice.fallbacks[0]);
    assert_eq!(field(Usage::try_from(twice)), "fallbacks.reason");
}

#[test]
fn unknown_failure_is_treated_as_internal() {
    let wire = drafter::Failure {
        code: 99,
        text: String::new(),
    };
    assert_eq!(Failure::try_from(wire).unwrap().code, FailureCode::Internal);
}

#[test]
fn drafter_follows_a_verdict_and_notices_when_it_has_lost_step() {
    let mut committed = CommittedText::default();
    verdict().follow(&mut committed, b"fn main").unwrap();
    assert_eq!(committed.bytes(), b"fn it");

    let start = CommittedText::default;
    assert_eq!(
        field(verdict().follow(&mut start(), b"fn")),
        "verdict.kept_bytes"
    );
    assert_eq!(
        field(verdict().follow(&mut start(), b"let x")),
        "verdict.new_hash"
    );
    let long = Verdict {
        new_length: 6,
        ..verdict()
    };
    assert_eq!(
        field(long.follow(&mut start(), b"fn main")),
        "verdict.new_length"
    );
}
