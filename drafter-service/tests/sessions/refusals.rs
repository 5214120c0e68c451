//! What is asked for and cannot be had is refused by name, before anything is computed.

use proto::{
    ClientError,
    drafter::Open,
    model::{Fingerprint, Message, Prompt, Role, Sampling},
};
use tests::tiny::Tiny;
use tonic::Code;

use crate::drafter::{open, serve, serve_default, serving};

#[tokio::test]
async fn fields_of_open_are_refused_by_name() {
    let mut limited = serving();
    limited.limits.max_prompt_bytes = 1000;
    let running = serve(Tiny::default(), limited).await;
    let long = |bytes| Prompt::Text("x".repeat(bytes));
    let sampling = |change: fn(&mut Sampling)| {
        let mut sampling = Sampling::default();
        change(&mut sampling);
        sampling
    };
    let wrong = [
        (
            "open.session_id",
            Open {
                session_id: String::new(),
                ..open()
            },
        ),
        (
            "open.prompt is 1001 bytes long",
            Open {
                prompt: long(1001),
                ..open()
            },
        ),
        (
            "open.prompt is so long",
            Open {
                prompt: long(512),
                ..open()
            },
        ),
        (
            "open.prompt.text is 0 bytes long",
            Open {
                prompt: long(0),
                ..open()
            },
        ),
        (
            "open.prompt.conversation.messages",
            Open {
                prompt: Prompt::Conversation(vec![]),
                ..open()
            },
        ),
        (
            "open.committed is so long",
            Open {
                committed: vec![b'x'; 600],
                ..open()
            },
        ),
        (
            "open.method",
            Open {
                method: "Greedy!".to_owned(),
                ..open()
            },
        ),
        (
            "open.sharpness",
            Open {
                sharpness: 0.0,
                ..open()
            },
        ),
        (
            "open.max_block_tokens",
            Open {
                max_block_tokens: 0,
                ..open()
            },
        ),
        (
            "open.max_block_tokens",
            Open {
                max_block_tokens: 129,
                ..open()
            },
        ),
        (
            "open.max_block_bytes",
            Open {
                max_block_bytes: 0,
                ..open()
            },
        ),
        (
            "open.credit",
            Open {
                credit: 0,
                ..open()
            },
        ),
        (
            "open.credit",
            Open {
                credit: 17,
                ..open()
            },
        ),
        (
            "open.sampling.temperature",
            Open {
                sampling: sampling(|s| s.temperature = -1.0),
                ..open()
            },
        ),
        (
            "open.sampling.top_p",
            Open {
                sampling: sampling(|s| s.top_p = 0.0),
                ..open()
            },
        ),
        (
            "open.sampling.min_p",
            Open {
                sampling: sampling(|s| s.min_p = 1.0),
                ..open()
            },
        ),
    ];
    for (named, open) in wrong {
        let Err(ClientError::Status(status)) = running.try_open(open).await else {
            panic!("{named} was not refused")
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{named}: {status}");
        assert!(
            status.message().starts_with(named),
            "{named}: {}",
            status.message()
        );
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
    let said = Message {
        role: Role::User,
        content: "the".to_owned(),
    };
    let prompt = Prompt::Conversation(vec![said]);
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
