//! Refusals: a request that cannot be granted is refused by name, before anything is computed.

use proto::{
    ClientError,
    drafter::Open,
    model::{Fingerprint, Message, Prompt, Role},
};
use tests::tiny::Tiny;
use tonic::Code;

use crate::drafter::{open, serve, serve_default, serving};

/// Makes an `Open` wrong.
type Change = fn(&mut Open);

/// Wrong `Open`s, with the beginning of the answer.
const WRONG: [(&str, Change); 16] = [
    ("open.session_id is 0", |open| open.session_id.clear()),
    ("open.prompt is 1001 bytes", |open| open.prompt = long(1001)),
    ("open.prompt is so long", |open| open.prompt = long(512)),
    ("open.prompt.text is 0 bytes", |open| open.prompt = long(0)),
    ("open.prompt.conversation.messages", |open| {
        open.prompt = Prompt::chat(vec![]);
    }),
    ("open.committed is so long", |open| {
        open.committed = vec![b'x'; 600];
    }),
    ("open.method is spelt", |open| open.method.push('!')),
    ("open.sharpness is 0", |open| open.sharpness = 0.0),
    ("open.max_block_tokens is 0", |open| {
        open.max_block_tokens = 0;
    }),
    ("open.max_block_tokens is 129", |open| {
        open.max_block_tokens = 129;
    }),
    ("open.max_block_bytes is 0", |open| open.max_block_bytes = 0),
    ("open.credit is 0", |open| open.credit = 0),
    ("open.credit is 17", |open| open.credit = 17),
    ("open.sampling.temperature is -1", |open| {
        open.sampling.temperature = -1.0;
    }),
    ("open.sampling.top_p is 0", |open| open.sampling.top_p = 0.0),
    ("open.sampling.min_p is 1", |open| open.sampling.min_p = 1.0),
];

fn long(bytes: usize) -> Prompt {
    Prompt::Text("x".repeat(bytes))
}

#[tokio::test]
async fn fields_of_open_are_refused_by_name() {
    let mut limited = serving();
    limited.limits.max_prompt_bytes = 1000;
    let running = serve(Tiny::default(), limited).await;
    for (named, change) in WRONG {
        let mut open = open();
        change(&mut open);
        let Err(ClientError::Status(status)) = running.try_open(open).await else {
            panic!("{named} was not refused")
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{named}: {status}");
        let text = status.message();
        assert!(text.starts_with(named), "{named}: {text}");
    }
    running.until_empty().await;
}

#[tokio::test]
async fn method_and_fingerprint_that_do_not_fit_fail_a_precondition() {
    let running = serve_default().await;
    let fingerprint = running.engine.tokenizer().fingerprint();
    let wrong = [
        (
            "open.method is typical: it must be one of greedy, coupled, point_mass",
            Open {
                method: "typical".to_owned(),
                ..open()
            },
        ),
        (
            "open.expected_fingerprint is 0909",
            Open {
                expected_fingerprint: Some(Fingerprint([9; 32])),
                ..open()
            },
        ),
    ];
    for (says, open) in wrong {
        let Err(ClientError::Status(status)) = running.try_open(open).await else {
            panic!("{says}: not refused")
        };
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.message().starts_with(says), "{}", status.message());
    }
    let right = Open {
        expected_fingerprint: Some(Fingerprint(fingerprint)),
        ..open()
    };
    running.open(right).await.block().await;
}

#[tokio::test]
async fn limits_of_a_session_are_the_smaller_ones() {
    let mut limited = serving();
    limited.limits.max_block_tokens = 4;
    limited.limits.max_block_bytes = 3;
    limited.limits.max_credit = 2;
    let running = serve(Tiny::default(), limited).await;
    let said = Message::new(Role::User, "the".to_owned());
    let prompt = Prompt::chat(vec![said]);
    let mut peer = running
        .open(Open {
            credit: 16,
            prompt,
            ..open()
        })
        .await;
    let opened = &peer.session.opened;
    assert_eq!(
        (opened.block_tokens, opened.max_block_bytes, opened.credit),
        (4, 3, 2)
    );
    for _ in 0..2 {
        let block = peer.block().await;
        assert!(
            block.token_ends.len() <= 4 && block.text.len() <= 3,
            "{block:?}"
        );
    }
}
