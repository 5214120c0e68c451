//! From parameters to requests of our own. Ranges are not checked here but by [`Generate::validated`], as for gRPC's requests.

use proto::{
    model::{Prompt, Sampling},
    verifier::{Generate, Speculation},
};
use serde_json::{Value, json};

use super::{
    error::{ApiError, shown},
    params::{Params, wrong},
};
use crate::config::Serving;

/// OpenAI's parameters of both endpoints that this server does not have, each with the values that change nothing.
fn unsupported() -> [(&'static str, Vec<Value>); 6] {
    [
        ("metadata", vec![json!({})]),
        ("service_tier", vec![json!("auto"), json!("default")]),
        ("store", vec![json!(false)]),
        ("prompt_cache_key", vec![]),
        ("prompt_cache_retention", vec![]),
        ("safety_identifier", vec![]),
    ]
}

/// A request to either endpoint.
#[derive(Debug)]
pub(super) struct CompletionRequest {
    /// One request a choice, those of a prompt one after another.
    pub(super) replies: Vec<Generate>,
    pub(super) options: AnswerOptions,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerOptions {
    /// Choices of each prompt.
    pub(super) choices: usize,
    /// True if tokens come with their log probabilities.
    pub(super) logprobs: bool,
    /// `None`: the answer comes in one piece.
    pub(super) stream: Option<Streaming>,
}

/// Options of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streaming {
    /// True if the last chunk reports the usage.
    pub(super) include_usage: bool,
}

/// Takes the parameters that both endpoints have, and makes a request for each choice of each prompt, with ids that begin with
/// `id`.
pub(super) fn completion(
    mut params: Params,
    prompts: &[Prompt],
    request: Generate,
    (serving, id): (&Serving, &str),
) -> Result<CompletionRequest, ApiError> {
    let request = Generate {
        sampling: sampling(&mut params)?,
        logit_bias: logit_bias(&mut params)?,
        seed: params.seed("seed")?,
        stop: stop(&mut params)?,
        ..speculation(&mut params, "block_length", request)?
    };
    let choices = params.count("n")?.unwrap_or(1) as usize;
    let stream = stream(&mut params)?;
    // Nothing here depends on who asks.
    params.text("user")?;
    for (name, neutral) in unsupported() {
        params.refuse(name, &neutral)?;
    }
    params.finish()?;
    let (wanted, limit) = (choices.saturating_mul(prompts.len()), serving.max_sessions);
    if choices == 0 || wanted > limit {
        let what = if prompts.len() > 1 {
            format!(" for {} prompts", prompts.len())
        } else {
            String::new()
        };
        let message = format!(
            "n is {choices}{what}: it must be at least 1, and all choices together at most {limit}"
        );
        return Err(ApiError::parameter("n", message));
    }
    let replies = (0..wanted).map(|number| {
        let choice = Generate {
            prompt: prompts[number / choices].clone(),
            // Each choice of a prompt has a seed of its own.
            seed: request
                .seed
                .map(|seed| seed.wrapping_add((number % choices) as u64)),
            request_id: Some(match wanted {
                1 => id.to_owned(),
                _ => format!("{id}-{number}"),
            }),
            ..request.clone()
        };
        let validated = choice.validated();
        validated.map_err(|error| ApiError::from(error).about_parameter())
    });
    Ok(CompletionRequest {
        replies: replies.collect::<Result<_, _>>()?,
        options: AnswerOptions {
            choices,
            logprobs: request.top_logprobs.is_some(),
            stream,
        },
    })
}

/// Takes `model`, which must be the one that is served.
pub(super) fn model(params: &mut Params, serving: &Serving) -> Result<(), ApiError> {
    let name = params.text("model")?;
    let name = params.required("model", name)?;
    check_model(&name, serving)
}

/// Refuses any model but the one that is served.
pub(super) fn check_model(name: &str, serving: &Serving) -> Result<(), ApiError> {
    if name == serving.model_name {
        return Ok(());
    }
    Err(ApiError::unknown_model(name, &serving.model_name))
}

pub(super) fn sampling(params: &mut Params) -> Result<Sampling, ApiError> {
    let default = Sampling::default();
    let mut number = |name, absent| Ok::<_, ApiError>(params.number(name)?.unwrap_or(absent));
    Ok(Sampling {
        temperature: number("temperature", default.temperature)?,
        top_p: number("top_p", default.top_p)?,
        min_p: number("min_p", default.min_p)?,
        repetition_penalty: number("repetition_penalty", default.repetition_penalty)?,
        frequency_penalty: number("frequency_penalty", default.frequency_penalty)?,
        presence_penalty: number("presence_penalty", default.presence_penalty)?,
        top_k: params.count("top_k")?.unwrap_or(default.top_k),
    })
}

pub(super) fn logit_bias(params: &mut Params) -> Result<Vec<(u32, f32)>, ApiError> {
    let path = params.path("logit_bias");
    let Some(value) = params.take("logit_bias") else {
        return Ok(Vec::new());
    };
    let Value::Object(entries) = value else {
        return Err(wrong(&path, &value, "an object from token ids to numbers"));
    };
    let entry = |(id, bias): (String, Value)| {
        let Ok(id) = id.parse() else {
            let message = format!("{path} has the key {}: keys must be token ids", shown(&id));
            return Err(ApiError::parameter(path.clone(), message));
        };
        match bias.as_f64() {
            Some(bias) => Ok((id, bias as f32)),
            None => Err(wrong(&format!("{path}[{id}]"), &bias, "a number")),
        }
    };
    entries.into_iter().map(entry).collect()
}

pub(super) fn stop(params: &mut Params) -> Result<Vec<String>, ApiError> {
    let path = params.path("stop");
    match params.take("stop") {
        None => Ok(Vec::new()),
        Some(Value::String(stop)) => Ok(vec![stop]),
        Some(Value::Array(stops)) => {
            let stop = |(i, value)| match value {
                Value::String(stop) => Ok(stop),
                other => Err(wrong(&format!("{path}[{i}]"), &other, "a string")),
            };
            stops.into_iter().enumerate().map(stop).collect()
        }
        Some(other) => Err(wrong(&path, &other, "a string or a list of strings")),
    }
}

/// Our extension: `{"mode": "off" | "auto" | "required", "method", "allow_lossy", "alternatives"}`, and the block length under
/// the name `length`.
pub(super) fn speculation(
    params: &mut Params,
    length: &str,
    request: Generate,
) -> Result<Generate, ApiError> {
    let Some(mut params) = params.object("speculation")? else {
        return Ok(request);
    };
    let mode = params.text("mode")?;
    let speculation = Speculation::Auto {
        method: params.text("method")?,
        block_tokens: params.count(length)?,
        allow_lossy: params.flag("allow_lossy")?.unwrap_or(false),
        alternatives: params.count("alternatives")?,
    };
    let path = params.path("mode");
    params.finish()?;
    let (speculation, requires_drafter) = match mode.as_deref() {
        None | Some("auto") => (speculation, false),
        Some("required") => (speculation, true),
        Some("off") => (Speculation::Off, false),
        Some(other) => {
            let found = shown(other);
            let message = format!("{path} is {found}: it must be off, auto or required");
            return Err(ApiError::parameter(path, message));
        }
    };
    Ok(Generate {
        speculation,
        requires_drafter,
        ..request
    })
}

fn stream(params: &mut Params) -> Result<Option<Streaming>, ApiError> {
    let is_streamed = params.flag("stream")?.unwrap_or(false);
    let path = params.path("stream_options");
    let Some(mut options) = params.object("stream_options")? else {
        return Ok(is_streamed.then_some(Streaming {
            include_usage: false,
        }));
    };
    let include_usage = options.flag("include_usage")?.unwrap_or(false);
    options.refuse("include_obfuscation", &[json!(false)])?;
    options.finish()?;
    if !is_streamed {
        let message =
            format!("{path} is given without stream: set stream to true, or leave it out");
        return Err(ApiError::parameter(path, message));
    }
    Ok(Some(Streaming { include_usage }))
}
