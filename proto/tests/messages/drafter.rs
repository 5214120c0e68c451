//! Messages between verifier and drafter.

use std::time::Duration;

use prost::Message as _;
use proto::{
    CommittedText, ProtocolError,
    drafter::{
        Block, CloseReason, DraftTimings, EndRole, Failure, FailureCode, FromDrafter, Open, Opened,
        ToDrafter, Verdict, Wish,
    },
    limits,
    model::{Fingerprint, Message, Prompt, Role},
    wire::{
        drafter::v1::{self as drafter, draft_request},
        model::v1 as model,
    },
};

use crate::{
    field,
    samples::{block, open, tree, verdict},
};

/// Bytes that gRPC puts before a message.
const FRAME_BYTES: usize = 5;

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
        FromDrafter::Block(tree()),
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
        o.prompt = Some(Prompt::chat(Vec::new()).into());
    });
    refused("open.prompt.conversation", |o| {
        let content = "x".repeat(limits::MAX_PROMPT_BYTES / 2 + 1);
        let message = Message::new(Role::User, content);
        o.prompt = Some(Prompt::chat(vec![message.clone(), message]).into());
    });
    refused("open.prompt.conversation.messages[0].role", |o| {
        let messages = vec![model::Message::default()];
        let conversation = model::Conversation {
            messages,
            ..Default::default()
        };
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
    refused("open.first.tokens", |o| o.first = wish(9, 0, 0));
    refused("open.first.alternatives", |o| o.first = wish(4, 1, 0));
    refused("open.first.least_percent", |o| o.first = wish(4, 0, 101));
    refused("open.max_block_bytes", |o| {
        o.max_block_bytes = limits::MAX_BLOCK_BYTES + 1;
    });
    refused("open.credit", |o| o.credit = 17);
    refused("open.expected_fingerprint", |o| {
        o.expected_fingerprint = Some(vec![0; 31]);
    });
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is assigned to a field that may be absent"
)]
fn wish(tokens: u32, alternatives: u32, least_percent: u32) -> Option<drafter::Wish> {
    Some(drafter::Wish {
        tokens,
        alternatives,
        least_percent,
    })
}

fn sampling(open: &mut drafter::Open) -> &mut model::Sampling {
    open.sampling.get_or_insert_default()
}

#[test]
fn absent_first_wish_is_the_longest_chain_without_a_threshold() {
    let wire = drafter::Open {
        first: None,
        ..open().into()
    };
    let open = Open::try_from(wire).unwrap();
    assert_eq!(open.first, None);
    assert_eq!(open.first_wish(), Wish::chain(8));
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
            spoken: 3
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
fn ways_of_a_tree_are_its_chain_and_the_path_to_each_other_leaf() {
    let block = |parents: &[u32]| Block {
        text: b"abbcccdddde".to_vec(),
        token_ends: vec![1, 3, 6, 10, 11],
        parents: parents.to_vec(),
        draws: Vec::new(),
        ..block()
    };
    let ways = |parents: &[u32]| {
        let (chain, others) = block(parents).ways();
        let others: Vec<_> = others.into_iter().map(|way| way.text).collect();
        (chain.text, others)
    };
    let none: Vec<Vec<u8>> = Vec::new();
    assert_eq!(ways(&[]), (b"abbcccdddde".to_vec(), none.clone()));
    assert_eq!(ways(&[0, 1, 2, 3, 4]), (b"abbcccdddde".to_vec(), none));
    let leaves = vec![b"dddd".to_vec(), b"abbe".to_vec()];
    assert_eq!(ways(&[0, 1, 2, 0, 2]), (b"abbccc".to_vec(), leaves));
    // A branch that goes on, and one that goes on from the chain's end, which is then no leaf.
    let deep = vec![b"acccdddd".to_vec(), b"abbe".to_vec()];
    assert_eq!(ways(&[0, 1, 1, 3, 2]), (b"abb".to_vec(), deep));
    let (chain, others) = block(&[0, 1, 0, 3, 4]).ways();
    assert_eq!(chain.token_ends, [1, 3]);
    assert_eq!(others[0].token_ends, [3, 7, 8]);
    let empty = Block {
        text: Vec::new(),
        token_ends: Vec::new(),
        parents: Vec::new(),
        ..block(&[])
    };
    assert_eq!(empty.ways(), Default::default());
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
    check("draws[1].distribution.ids", |b| {
        distribution(b).ids = vec![9, 1];
    });
    check("draws[1].distribution.ids", |b| {
        *distribution(b) = drafter::SparseDistribution::default();
    });
    check("draws[1].distribution.log_probs", |b| {
        distribution(b).log_probs[0] = 0.1;
    });
    check("draws[1].distribution.log_probs", |b| {
        distribution(b).log_probs[0] = f32::NEG_INFINITY;
    });
    check("draws[1].distribution.log_probs", |b| {
        distribution(b).log_probs.clear();
    });
    check("draws", |b| {
        let ids: Vec<u32> = (0..=limits::MAX_DISTRIBUTION_ENTRIES as u32).collect();
        *distribution(b) = drafter::SparseDistribution {
            log_probs: vec![-9.0; ids.len()],
            ids,
        };
    });
}

fn distribution(block: &mut drafter::Block) -> &mut drafter::SparseDistribution {
    block.draws[1].distribution.get_or_insert_default()
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
    check("next.tokens", |v| {
        v.next = wish(limits::MAX_BLOCK_TOKENS + 1, 0, 0);
    });
    check("next.alternatives", |v| {
        v.next = wish(0, limits::MAX_ALTERNATIVES + 1, 0);
    });
    check("next.least_percent", |v| v.next = wish(0, 0, 101));
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
        appended: b"it!".to_vec(),
        ..verdict()
    };
    assert_eq!(
        field(long.follow(&mut start(), b"fn main")),
        "verdict.new_hash"
    );
}

#[test]
fn round_of_a_reply_below_16_kib_takes_few_bytes_besides_its_text() {
    // The longest numbers that such a reply has, which has no more rounds than bytes.
    let longest = (1 << 14) - 1;
    let verdict = Verdict {
        round: longest,
        kept_bytes: limits::MAX_BLOCK_BYTES,
        appended: Vec::new(),
        next: None,
        ..verdict()
    };
    let sent = drafter::DraftRequest::from(ToDrafter::Verdict(verdict.clone())).encoded_len();
    assert!(sent + FRAME_BYTES <= 18, "{sent}");
    // A wish comes only with the verdicts that change it, and costs no byte for a number that is 0.
    for (next, most) in [
        (Wish::default(), 2),
        (Wish::chain(limits::MAX_BLOCK_TOKENS - 1), 4),
        (
            Wish {
                tokens: limits::MAX_BLOCK_TOKENS,
                alternatives: limits::MAX_ALTERNATIVES,
                least_percent: 100,
            },
            9,
        ),
    ] {
        let changing = Verdict {
            next: Some(next),
            ..verdict.clone()
        };
        let changing = drafter::DraftRequest::from(ToDrafter::Verdict(changing)).encoded_len();
        assert!(changing - sent <= most, "{next:?}: {changing}");
    }
    let block = Block {
        round: longest,
        base_length: longest,
        text: Vec::new(),
        token_ends: Vec::new(),
        draws: Vec::new(),
        timings: DraftTimings {
            compute: Duration::from_mins(1),
            passes: 200,
        },
        ..block()
    };
    let received = drafter::DraftResponse::from(FromDrafter::Block(block)).encoded_len();
    assert!(received + FRAME_BYTES <= 26, "{received}");
}

#[test]
fn time_of_tokens_is_that_of_their_passes() {
    let timings = |passes| DraftTimings {
        compute: Duration::from_millis(60),
        passes,
    };
    // Six passes for the four tokens of a block, and for two that it does not have.
    assert_eq!(timings(6).compute_of(4), Duration::from_millis(40));
    assert_eq!(
        timings(0).compute_of(4),
        Duration::from_millis(60),
        "not counted"
    );
}
