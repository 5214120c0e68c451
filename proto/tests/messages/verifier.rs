//! Messages between client and verifier.

use std::time::Duration;

use prost::Message as _;
use proto::{
    limits,
    model::{Conversation, Ending, Message, Prompt, Role, Sampling},
    verifier::{
        Chunk, Ends, FallbackReason, Finish, FinishReason, Generate, Grammar, GrammarRule, Origin,
        Part, Piece, Proposer, Reading, RoundInfo, RoundReport, RoundTimings, ScoredToken,
        Speculation, TokenLogprob, Usage,
    },
    wire::{model::v1 as model, verifier::v1 as verifier},
};

use crate::{
    field,
    samples::{detail, usage},
};

#[test]
fn request_for_a_reply_survives_the_wire() {
    let mut request = Generate::new(Prompt::Text("fn ".to_owned()));
    request.max_tokens = Some(64);
    request.sampling = Sampling::greedy();
    request.logit_bias = vec![(0, -100.0), (7, 1.5)];
    request.seed = Some(0);
    request.stop = vec!["\n\n".to_owned()];
    request.rounds = RoundReport::Details;
    request.include_control = true;
    request.include_reading = true;
    request.prompt_logprobs = Some(3);
    request.prediction = "fn main".to_owned();
    request.ends = Ends {
        min_tokens: 2,
        ignore_end: true,
        stop_tokens: vec![5, 6],
        include_stop: true,
    };
    request.grammar = Some(Grammar {
        rule: GrammarRule::Choices(vec!["yes".to_owned(), "no".to_owned()]),
        after: Some("<tool_call>".to_owned()),
    });
    for speculation in [
        Speculation::Off,
        Speculation::auto(),
        Speculation::Auto {
            method: Some("point_mass".to_owned()),
            block_tokens: Some(8),
            allow_lossy: false,
            alternatives: Some(2),
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
fn every_kind_of_prompt_survives_the_wire() {
    let mut said = Message::new(Role::Assistant, "");
    said.name = Some("ann".to_owned());
    said.tool_calls = Some("[]".to_owned());
    said.tool_call_id = Some("c-1".to_owned());
    said.reasoning = Some("so".to_owned());
    let conversation = Conversation {
        messages: vec![said],
        tools: Some("[{}]".to_owned()),
        template_variables: Some("{}".to_owned()),
        ending: Ending::Continue,
    };
    for prompt in [
        Prompt::Tokens(vec![1, 2]),
        Prompt::Infill {
            prefix: "a".to_owned(),
            suffix: String::new(),
        },
        Prompt::Conversation(conversation),
    ] {
        let sent = model::Prompt::from(prompt.clone());
        assert_eq!(Prompt::try_from(sent), Ok(prompt));
    }
}

#[test]
fn absent_sampling_is_the_models_own_distribution_and_zero_temperature_is_greedy() {
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
        id: 7,
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
            proposer: Some(Proposer::Lookup),
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
        completion_tokens: 5,
    };
    let reading = Reading {
        prompt_tokens: 9,
        cached_tokens: 4,
        tokens: chunk.tokens.clone(),
    };
    let finish = Finish {
        reason: FinishReason::Stop,
        matched_stop: Some("\n\n".to_owned()),
        matched_stop_token: Some(9),
        usage: usage(),
        method: Some("coupled".to_owned()),
        method_reason: "lossless at temperature 0.8".to_owned(),
        seed: 0,
        request_id: "r-1".to_owned(),
    };
    for part in [
        Part::Reading(reading),
        Part::Chunk(chunk),
        Part::Finish(Box::new(finish)),
    ] {
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

#[test]
fn bad_fields_of_a_request_are_refused_by_name() {
    let check = |name: &str, spoil: fn(&mut verifier::GenerateRequest)| {
        let mut wire = Generate::new(Prompt::Text("x".to_owned())).into();
        spoil(&mut wire);
        assert_eq!(field(Generate::try_from(wire)), name);
    };
    check("prompt", |r| r.prompt = None);
    check("min_tokens", |r| {
        r.max_tokens = Some(3);
        r.min_tokens = 4;
    });
    check("stop_tokens", |r| {
        r.stop_tokens = vec![1; limits::MAX_STOP_TOKENS + 1];
    });
    check("prompt_logprobs", |r| r.prompt_logprobs = Some(21));
    check("prediction", |r| {
        r.prediction = "x".repeat(limits::MAX_PREDICTION_BYTES + 1);
    });
    check("grammar.rule", |r| {
        r.grammar = Some(verifier::Grammar::default());
    });
    check("grammar.regex", |r| {
        let rule = Some(verifier::grammar::Rule::Regex(String::new()));
        r.grammar = Some(verifier::Grammar {
            rule,
            ..Default::default()
        });
    });
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
    check("stop", |r| r.stop = vec!["x".to_owned(); 17]);
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
    check("speculation.alternatives", |r| {
        r.speculation.get_or_insert_default().alternatives = Some(5);
    });
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
    check("candidates", |d| d.candidates.truncate(1));
    check("candidates", |d| d.candidates.push(d.candidates[0].clone()));
    check("groups.candidates", |d| d.candidates.truncate(3));
    check("candidates.probability", |d| {
        d.candidates[1].probability = 1.5;
    });
    check("candidates.probability", |d| {
        d.candidates[1].probability = f32::NAN;
    });
    check("groups.draft_tokens", |d| d.groups[0].draft_tokens = 0);
    check("groups.draft_tokens", |d| {
        d.groups[0].draft_tokens = u32::MAX;
    });
    check("groups.candidates", |d| d.groups[1].candidates = 0);
    check("groups.candidates", |d| d.groups[1].candidates = 1);
    check("groups.candidates", |d| d.groups[1].candidates = 4);
    check("chosen.probability", |d| {
        d.chosen.as_mut().unwrap().probability = -0.1;
    });
    check("dropped", |d| d.dropped = vec![d.dropped[0]; 33]);
    check("dropped.draft_tokens", |d| d.dropped[0].draft_tokens = 129);
}

fn clock(detail: &mut verifier::RoundDetail) -> &mut verifier::RoundClock {
    detail.clock.get_or_insert_default()
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
    let check = |name: &str, spoil: fn(&mut verifier::Usage)| {
        let mut wire = usage().into();
        spoil(&mut wire);
        assert_eq!(field(Usage::try_from(wire)), name);
    };
    check("proposed_alternatives", |u| u.proposed_alternatives = 9);
    check("accepted_alternatives", |u| u.accepted_alternatives = 3);
    let mut twice = verifier::Usage::from(usage());
    twice.fallbacks.push(twice.fallbacks[0]);
    assert_eq!(field(Usage::try_from(twice)), "fallbacks.reason");
}
