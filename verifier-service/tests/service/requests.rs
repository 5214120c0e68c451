//! Requests that cannot be served: each is refused by the name of the field, and nothing is kept for it.

use proto::{
    model::{Message, Prompt, Role, Sampling},
    verifier::{Generate, Speculation},
};
use tonic::Code;

use crate::harness::{Process, request};

fn sampling(change: impl FnOnce(&mut Sampling)) -> impl FnOnce(&mut Generate) {
    |request| change(&mut request.sampling)
}

fn speculation(method: Option<&str>, block_tokens: Option<u32>) -> Speculation {
    Speculation::Auto {
        method: method.map(str::to_owned),
        block_tokens,
    }
}

#[tokio::test]
async fn every_bad_field_is_refused_by_name() {
    let process = Process::endless(&[]).await;
    let check = async |field: &str, change: Box<dyn FnOnce(&mut Generate)>| {
        let mut bad = request(0.8, 1);
        change(&mut bad);
        let status = process.refused(&bad).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status}");
        assert!(status.message().starts_with(field), "{field}: {}", status.message());
    };
    check("prompt.text", Box::new(|r| r.prompt = Prompt::Text(String::new()))).await;
    let empty = Prompt::Conversation(Vec::new());
    check("prompt.conversation.messages", Box::new(|r| r.prompt = empty)).await;
    check("max_tokens", Box::new(|r| r.max_tokens = Some(0))).await;
    check("max_tokens", Box::new(|r| r.max_tokens = Some(1001))).await;
    check("sampling.temperature", Box::new(sampling(|s| s.temperature = 2.1))).await;
    check("sampling.temperature", Box::new(sampling(|s| s.temperature = f32::NAN))).await;
    check("sampling.top_p", Box::new(sampling(|s| s.top_p = 0.0))).await;
    check("sampling.min_p", Box::new(sampling(|s| s.min_p = -0.1))).await;
    check("sampling.repetition_penalty", Box::new(sampling(|s| s.repetition_penalty = 0.0))).await;
    check("sampling.frequency_penalty", Box::new(sampling(|s| s.frequency_penalty = 3.0))).await;
    check("sampling.presence_penalty", Box::new(sampling(|s| s.presence_penalty = -3.0))).await;
    check("logit_bias[7]", Box::new(|r| r.logit_bias = vec![(7, 101.0)])).await;
    check("logit_bias", Box::new(|r| r.logit_bias = vec![(1 << 20, 1.0)])).await;
    let many = (0..1025).map(|id| (id, 0.0)).collect();
    check("logit_bias", Box::new(|r| r.logit_bias = many)).await;
    check("stop", Box::new(|r| r.stop = vec!["x".to_owned(); 5])).await;
    check("stop[1]", Box::new(|r| r.stop = vec!["x".to_owned(), String::new()])).await;
    check("stop[0]", Box::new(|r| r.stop = vec!["x".repeat(257)])).await;
    check("request_id", Box::new(|r| r.request_id = Some("two words".to_owned()))).await;
    let greedy = speculation(Some("greedy"), None);
    check("speculation.method", Box::new(|r| r.speculation = greedy)).await;
    let spelt = speculation(Some("Greedy!"), None);
    check("speculation.method", Box::new(|r| r.speculation = spelt)).await;
    let (none, many) = (speculation(None, Some(0)), speculation(None, Some(9)));
    check("speculation.block_tokens", Box::new(|r| r.speculation = none)).await;
    check("speculation.block_tokens", Box::new(|r| r.speculation = many)).await;
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
    let expected = "speculation.method is typical: it must be one of greedy, coupled, point_mass";
    assert_eq!(status.message(), expected);
}

#[tokio::test]
async fn prompt_over_the_context_is_refused_with_both_numbers() {
    let process = Process::endless(&[]).await;
    let message = |content: String| Message {
        role: Role::User,
        content,
    };
    let long = "z".repeat(600);
    for (prompt, field) in [
        (Prompt::Text(long.clone()), "prompt.text is 600 tokens long"),
        (Prompt::Conversation(vec![message(long)]), "prompt.conversation is "),
    ] {
        let status = process.refused(&Generate { prompt, ..request(0.0, 0) }).await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(field), "{}", status.message());
        assert!(status.message().contains("1 to 512 tokens"), "{}", status.message());
    }
    assert_eq!(process.sessions().await, 0);
}
