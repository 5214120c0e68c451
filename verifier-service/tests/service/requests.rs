//! Requests that cannot be served: each is refused by the name of the field and leaves no session.

use proto::{
    model::{Message, Prompt, Role},
    verifier::{Generate, Speculation},
};
use tonic::Code;

use crate::harness::{Process, request};

type Change = fn(&mut Generate);

const BAD_SAMPLING: [(&str, Change); 8] = [
    ("sampling.temperature", |r| r.sampling.temperature = 2.1),
    ("sampling.temperature", |r| {
        r.sampling.temperature = f32::NAN;
    }),
    ("sampling.top_p", |r| r.sampling.top_p = 0.0),
    ("sampling.min_p", |r| r.sampling.min_p = -0.1),
    ("sampling.repetition_penalty", |r| {
        r.sampling.repetition_penalty = 0.0;
    }),
    ("sampling.frequency_penalty", |r| {
        r.sampling.frequency_penalty = 3.0;
    }),
    ("sampling.presence_penalty", |r| {
        r.sampling.presence_penalty = -3.0;
    }),
    ("sampling.top_p", |r| r.sampling.top_p = f32::INFINITY),
];

const BAD_FIELDS: [(&str, Change); 14] = [
    ("prompt.text", |r| r.prompt = Prompt::Text(String::new())),
    ("prompt.conversation.messages", |r| {
        r.prompt = Prompt::chat(Vec::new());
    }),
    ("max_tokens", |r| r.max_tokens = Some(1001)),
    ("logit_bias[7]", |r| r.logit_bias = vec![(7, 101.0)]),
    ("logit_bias", |r| r.logit_bias = vec![(1 << 20, 1.0)]),
    ("logit_bias", |r| {
        r.logit_bias = (0..1025).map(|id| (id, 0.0)).collect();
    }),
    ("stop", |r| r.stop = vec!["x".to_owned(); 17]),
    ("stop[1]", |r| r.stop = vec!["x".to_owned(), String::new()]),
    ("stop[0]", |r| r.stop = vec!["x".repeat(257)]),
    ("request_id", |r| {
        r.request_id = Some("two words".to_owned());
    }),
    ("speculation.method", |r| {
        r.speculation = speculation(Some("greedy"), None);
    }),
    ("speculation.method", |r| {
        r.speculation = speculation(Some("Greedy!"), None);
    }),
    ("speculation.block_tokens", |r| {
        r.speculation = speculation(None, Some(0));
    }),
    ("speculation.block_tokens", |r| {
        r.speculation = speculation(None, Some(17));
    }),
];

fn speculation(method: Option<&str>, block_tokens: Option<u32>) -> Speculation {
    Speculation::Auto {
        method: method.map(str::to_owned),
        block_tokens,
        allow_lossy: false,
        alternatives: None,
    }
}

#[tokio::test]
async fn every_bad_field_is_refused_by_name() {
    let process = Process::endless(&[]).await;
    for (field, change) in BAD_FIELDS.into_iter().chain(BAD_SAMPLING) {
        let mut bad = request(0.8, 1);
        change(&mut bad);
        let status = process.refused(&bad).await;
        let text = status.message();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {text}");
        assert!(text.starts_with(field), "{field}: {text}");
    }
    assert_eq!(process.sessions().await, 0);
}

#[tokio::test]
async fn method_that_does_not_exist_is_a_failed_precondition() {
    let process = Process::endless(&[]).await;
    let status = process
        .refused(&Generate {
            speculation: speculation(Some("typical"), None),
            ..request(0.8, 1)
        })
        .await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    let expected = "speculation.method is typical: it must be one of greedy, coupled, point_mass, standard, tli, path_conditional, \
         token_timing";
    assert_eq!(status.message(), expected);
}

#[tokio::test]
async fn prompt_over_the_context_is_refused_with_both_numbers() {
    let process = Process::endless(&[]).await;
    let message = |content: String| Message::new(Role::User, content);
    let long = "z".repeat(600);
    for (prompt, field) in [
        (Prompt::Text(long.clone()), "prompt.text is 600 tokens long"),
        (Prompt::chat(vec![message(long)]), "prompt.conversation is "),
    ] {
        let status = process
            .refused(&Generate {
                prompt,
                ..request(0.0, 0)
            })
            .await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(field), "{}", status.message());
        assert!(
            status
                .message()
                .contains("maximum context length is 512 tokens"),
            "{}",
            status.message()
        );
    }
    assert_eq!(process.sessions().await, 0);
}
