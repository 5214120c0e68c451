//! One valid message of each kind that has much to get wrong.

use std::{collections::BTreeMap, time::Duration};

use proto::{
    BaseHash,
    drafter::{Block, DraftTimings, Draw, Open, SparseDistribution, Verdict, Wish},
    model::{Fingerprint, Message, Prompt, Role, Sampling},
    verifier::{
        AlignedGroup, DroppedBlock, FallbackReason, RoundClock, RoundDetail, TargetToken, Usage,
    },
};

pub(crate) fn open() -> Open {
    Open {
        session_id: "s-1".to_owned(),
        prompt: Prompt::chat(vec![
            Message::new(Role::System, String::new()),
            Message::new(Role::User, "Reverse a string.".to_owned()),
        ]),
        committed: vec![0xf0, 0x9f],
        method: "coupled".to_owned(),
        seed: u64::MAX,
        sampling: Sampling {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            ..Sampling::default()
        },
        sharpness: 2.0,
        max_block_tokens: 8,
        max_block_bytes: 512,
        credit: 2,
        expected_fingerprint: Some(Fingerprint([7; 32])),
        accepts_trees: false,
        first: Some(Wish {
            tokens: 4,
            alternatives: 0,
            least_percent: 5,
        }),
        drawable: Vec::new(),
    }
}

pub(crate) fn block() -> Block {
    Block {
        round: 1,
        base_length: 2,
        base_hash: BaseHash::of(&[0xf0, 0x9f]),
        text: b"fn main".to_vec(),
        token_ends: vec![2, 7],
        ends_with: None,
        parents: Vec::new(),
        draws: vec![
            Draw {
                id: 3,
                log_prob: 0.0,
                distribution: None,
            },
            Draw {
                id: 9,
                log_prob: -1.5,
                distribution: Some(SparseDistribution {
                    ids: vec![1, 9],
                    log_probs: vec![-0.25, -1.5],
                }),
            },
        ],
        timings: DraftTimings {
            compute: Duration::from_micros(1500),
            passes: 2,
        },
    }
}

/// A chain of two, and an alternative to its second.
pub(crate) fn tree() -> Block {
    Block {
        text: b"fn main it".to_vec(),
        token_ends: vec![2, 7, 10],
        parents: vec![0, 1, 1],
        draws: Vec::new(),
        ..block()
    }
}

pub(crate) fn verdict() -> Verdict {
    Verdict {
        round: 1,
        kept_bytes: 3,
        appended: b"it".to_vec(),
        new_hash: BaseHash::of(b"fn it"),
        next: Some(Wish {
            tokens: 0,
            alternatives: 3,
            least_percent: 0,
        }),
    }
}

pub(crate) fn usage() -> Usage {
    Usage {
        prompt_tokens: 12,
        cached_prompt_tokens: 11,
        completion_tokens: 9,
        committed_bytes: 31,
        target_forwards: 4,
        rounds: 4,
        proposed_tokens: 8,
        accepted_tokens: 5,
        rejected_tokens: 3,
        stale_blocks: 1,
        fallbacks: BTreeMap::from([(FallbackReason::Off, 1), (FallbackReason::LastToken, 2)]),
        wire_sent_bytes: 100,
        wire_received_bytes: 200,
        prefill: Duration::from_millis(20),
        decode: Duration::from_millis(900),
        draft_wait: Duration::from_micros(1),
        proposed_alternatives: 2,
        accepted_alternatives: 1,
    }
}

/// Of a round with four candidates, two of which were accepted.
pub(crate) fn detail() -> RoundDetail {
    let token = |text: &str, probability| TargetToken {
        id: 7,
        text: text.as_bytes().to_vec(),
        probability,
    };
    RoundDetail {
        clock: RoundClock {
            began: Duration::from_micros(20),
            block_arrived: Some(Duration::from_micros(10)),
            verify_began: Duration::from_micros(30),
            verify_ended: Duration::from_micros(500),
            ended: Duration::from_micros(501),
        },
        draft_tokens: [&b"let"[..], b" \xc3", b"\xa9 =", b" x", b";"]
            .map(<[u8]>::to_vec)
            .to_vec(),
        draft_ends: true,
        skipped_bytes: 3,
        candidates: vec![
            token("let", 1.0),
            token(" \u{e9}", 0.5),
            token(" =", 0.25),
            token(" x", 0.0),
        ],
        groups: vec![
            AlignedGroup {
                draft_tokens: 1,
                candidates: 1,
            },
            AlignedGroup {
                draft_tokens: 3,
                candidates: 3,
            },
        ],
        chosen: Some(token(":", 0.75)),
        dropped: vec![DroppedBlock {
            arrived: Duration::from_micros(9),
            draft_compute: Duration::from_micros(8),
            draft_tokens: 4,
        }],
    }
}
