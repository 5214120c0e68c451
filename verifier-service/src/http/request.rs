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

/// Parameters of both endpoints that this server does not have and that would change the text, each with the values that change
/// nothing. They are OpenAI's, and those that other servers add.
fn unsupported() -> [(&'static str, Vec<Value>); 33] {
    let (one, zero) = (|| vec![json!(1)], || vec![json!(0)]);
    [
        ("allowed_token_ids", vec![]),
        ("bad_words", vec![]),
        ("dry_multiplier", zero()),
        ("dynatemp_range", zero()),
        ("ebnf", vec![]),
        ("echo", vec![]),
        ("grammar", vec![]),
        ("guided_choice", vec![]),
        ("guided_grammar", vec![]),
        ("guided_json", vec![]),
        ("guided_regex", vec![]),
        ("ignore_eos", vec![]),
        ("include_stop_str_in_output", vec![]),
        ("json_schema", vec![]),
        ("length_penalty", one()),
        ("logits_processors", vec![]),
        ("lora_path", vec![]),
        ("min_tokens", zero()),
        ("mirostat", zero()),
        ("no_stop_trim", vec![]),
        ("prompt_logprobs", vec![]),
        ("regex", vec![]),
        ("repeat_penalty", one()),
        // A grammar would have to be exact under speculation.
        ("response_format", vec![json!({"type": "text"})]),
        ("return_hidden_states", vec![]),
        ("return_token_ids", vec![]),
        ("skip_special_tokens", vec![json!(true)]),
        ("stop_token_ids", vec![]),
        ("structured_outputs", vec![]),
        ("truncate_prompt_tokens", vec![]),
        ("typical_p", one()),
        ("use_beam_search", vec![]),
        ("xtc_probability", zero()),
    ]
}

/// Hints to servers of other kinds. Nothing here depends on who asks, or on what for.
const HINTS: [&str; 12] = [
    "cache_prompt",
    "id_slot",
    "metadata",
    "priority",
    "prompt_cache_key",
    "prompt_cache_retention",
    "request_id",
    "safety_identifier",
    "service_tier",
    "spaces_between_special_tokens",
    "store",
    "user",
];

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
    params.skip(&HINTS);
    for (name, neutral) in unsupported() {
        params.refuse(name, &neutral)?;
    }
    params.finish()?;
    let (wanted, limit) = (
        choices.saturating_mul(prompts.len()),
        serving.admission.in_progress,
    );
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

/// Takes a limit on completion tokens. One above the server's is the server's: the reply then ends with `length`.
fn max_tokens(params: &mut Params, name: &str, serving: &Serving) -> Result<Option<u32>, ApiError> {
    match params.limit(name)? {
        Some(0) => {
            let path = params.path(name);
            let message = format!("{path} is 0: it must be at least 1, or -1 for no limit");
            Err(ApiError::parameter(path, message))
        }
        limit => Ok(limit.map(|tokens| tokens.min(serving.max_tokens))),
    }
}

/// Takes `max_completion_tokens`, or `max_tokens`, its old name.
pub(super) fn max_completion_tokens(
    params: &mut Params,
    serving: &Serving,
) -> Result<Option<u32>, ApiError> {
    let old = max_tokens(params, "max_tokens", serving)?;
    let new = max_tokens(params, "max_completion_tokens", serving)?;
    Ok(new.or(old))
}

/// Takes `model`, which must be one that is served. Without it the answer is the served model's, unless parameters are strict.
pub(super) fn model(params: &mut Params, serving: &Serving) -> Result<(), ApiError> {
    match params.text("model")? {
        Some(name) => check_model(&name, serving),
        None if serving.strict_parameters => params.required("model", None),
        None => Ok(()),
    }
}

/// Refuses a model that is not served. Unless parameters are strict, an owner before the name is passed over.
pub(super) fn check_model(name: &str, serving: &Serving) -> Result<(), ApiError> {
    let is_served = |name: &str| serving.served_names().any(|served| served == name);
    let without_owner = name.rsplit_once('/').map(|(_, name)| name);
    let is_known =
        is_served(name) || !serving.strict_parameters && without_owner.is_some_and(is_served);
    if is_known {
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
        top_k: params.limit("top_k")?.unwrap_or(default.top_k),
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

/// Takes the stop strings. An empty one asks for nothing.
pub(super) fn stop(params: &mut Params) -> Result<Vec<String>, ApiError> {
    let path = params.path("stop");
    let stops = match params.take("stop") {
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
    };
    stops.map(|mut stops: Vec<String>| {
        stops.retain(|stop| !stop.is_empty());
        stops
    })
}

/// Our extension: `{"mode": "off" | "auto" | "required", "method", "allow_lossy", "alternatives"}`, and the block length under
/// the name `length`.
pub(super) fn speculation(
    params: &mut Params,
    length: &str,
    request: Generate,
) -> Result<Generate, ApiError> {
    let Some(params) = params.object("speculation")? else {
        return Ok(request);
    };
    let mut params = params.strictly();
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
    let mut streaming = Streaming {
        include_usage: false,
    };
    if let Some(mut options) = params.object("stream_options")? {
        streaming.include_usage = options.flag("include_usage")?.unwrap_or(false);
        options.skip(&["include_obfuscation"]);
        options.finish()?;
    }
    // A whole answer reports its usage in any case.
    Ok(is_streamed.then_some(streaming))
}
