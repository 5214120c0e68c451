//! A request in JSON: the fields of `GenerateRequest` in the schema, by the same names, with the same meaning and the same
//! checks.

use proto::{
    model::{Prompt, Sampling},
    verifier::{Generate, RoundReport},
};
use serde_json::{Map, Value};

use super::super::{
    error::ApiError,
    messages,
    params::{Params, Unknown},
    request, sampling,
};

/// The request in a body. Chunks always report rounds with all details here.
pub(super) fn read(fields: Map<String, Value>) -> Result<Generate, ApiError> {
    let mut params = Params::new(fields, Unknown::Refused);
    let prompt = params.object("prompt")?;
    let prompt = read_prompt(params.required("prompt", prompt)?)?;
    let request = Generate {
        max_tokens: params.count("max_tokens")?,
        sampling: read_sampling(&mut params)?,
        logit_bias: sampling::logit_bias(&mut params)?,
        seed: params.seed("seed")?,
        stop: request::stop(&mut params)?,
        request_id: params.text("request_id")?,
        rounds: RoundReport::Details,
        ..request::speculation(&mut params, "block_tokens", Generate::new(prompt))?
    };
    params.finish()?;
    Ok(request.validated()?)
}

fn read_sampling(params: &mut Params) -> Result<Sampling, ApiError> {
    let Some(mut params) = params.object("sampling")? else {
        return Ok(Sampling::default());
    };
    let sampling = sampling::take(&mut params, Sampling::default())?;
    params.finish()?;
    Ok(sampling)
}

fn read_prompt(mut params: Params) -> Result<Prompt, ApiError> {
    let text = params.text("text")?;
    let conversation = params.object("conversation")?;
    params.finish()?;
    match (text, conversation) {
        (Some(text), None) => Ok(Prompt::Text(text)),
        (None, Some(mut params)) => {
            let messages = messages::take(&mut params)?;
            params.finish()?;
            Ok(Prompt::chat(messages))
        }
        _ => {
            let message = "prompt must have either text or conversation";
            Err(ApiError::parameter("prompt", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::verifier::Speculation;

    use super::*;

    fn parse(body: &str) -> Result<Generate, ApiError> {
        read(serde_json::from_str(body).unwrap())
    }

    #[test]
    fn prompt_alone_is_the_request_that_grpc_makes_of_it() {
        let body = r#"{"prompt": {"text": "fn "}}"#;
        let expected = Generate {
            rounds: RoundReport::Details,
            ..Generate::new(Prompt::Text("fn ".to_owned()))
        };
        assert_eq!(parse(body).unwrap(), expected);
    }

    #[test]
    fn every_field_arrives() {
        let body = r#"{
            "prompt": {"conversation": {"messages": [{"role": "user", "content": "Hello"}]}},
            "max_tokens": 5, "sampling": {"temperature": 0.5, "top_k": 40, "top_p": 0.9}, "logit_bias": {"7": -1.5},
            "seed": 18446744073709551615, "stop": ["\n"], "request_id": "r-1",
            "speculation": {"mode": "auto", "method": "point_mass", "block_tokens": 4, "allow_lossy": true}
        }"#;
        let request = parse(body).unwrap();
        assert_eq!(request.max_tokens, Some(5));
        assert_eq!(request.sampling.top_k, 40);
        assert_eq!(request.logit_bias, [(7, -1.5)]);
        assert_eq!(request.seed, Some(u64::MAX));
        assert_eq!(request.stop, ["\n"]);
        assert_eq!(request.request_id.as_deref(), Some("r-1"));
        let asked = Speculation::Auto {
            method: Some("point_mass".to_owned()),
            block_tokens: Some(4),
            allow_lossy: true,
            alternatives: None,
        };
        assert_eq!(request.speculation, asked);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let prompt = r#""prompt": {"text": "x"}"#;
        let cases = [
            ("{}".to_owned(), "prompt is missing"),
            (
                format!("{{{prompt}, \"max_tokens\": -3}}"),
                "max_tokens is -3",
            ),
            (
                format!("{{{prompt}, \"max_token\": 1}}"),
                "is not a parameter of this API",
            ),
            (
                format!("{{{prompt}, \"sampling\": {{\"temperature\": 3}}}}"),
                "sampling.temperature is 3: it must be 0 to 2",
            ),
            (
                format!("{{{prompt}, \"sampling\": {{\"temperature\": \"hot\"}}}}"),
                "sampling.temperature is a string: it must be a number",
            ),
            (
                format!("{{{prompt}, \"speculation\": {{\"block_tokens\": 500}}}}"),
                "speculation.block_tokens is 500",
            ),
            (
                format!("{{{prompt}, \"speculation\": {{\"block_length\": 5}}}}"),
                "speculation.block_length",
            ),
            (
                format!("{{{prompt}, \"speculation\": {{\"mode\": \"on\"}}}}"),
                "speculation.mode is",
            ),
        ];
        for (body, expected) in cases {
            let found = parse(&body).unwrap_err().to_string();
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
}
