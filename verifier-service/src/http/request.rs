//! From parameters to requests of our own. Ranges are not checked here but by [`Generate::validated`], as for gRPC's requests.

use proto::{
    limits::MAX_STOPS,
    model::Prompt,
    verifier::{Ends, Generate, Speculation},
};
use serde_json::{Value, json};

use super::{
    api::CallContext,
    error::{ApiError, shown},
    messages,
    output::OutputForm,
    params::{Params, wrong},
    sampling,
};
use crate::config::Serving;

/// Parameters of both endpoints that this server does not have and that would change the text, each with the values that change
/// nothing. They are OpenAI's, and those that other servers add.
fn unsupported() -> [(&'static str, Vec<Value>); 20] {
    let (one, zero) = (|| vec![json!(1)], || vec![json!(0)]);
    [
        ("allowed_token_ids", vec![]),
        ("bad_words", vec![]),
        ("dry_multiplier", zero()),
        ("dynatemp_range", zero()),
        ("ebnf", vec![]),
        ("echo", vec![]),
        // A grammar in another notation than Lark.
        ("grammar", vec![]),
        ("length_penalty", one()),
        ("logits_processors", vec![]),
        ("lora_path", vec![]),
        ("mirostat", zero()),
        ("prompt_logprobs", vec![]),
        ("repeat_penalty", one()),
        ("return_hidden_states", vec![]),
        ("return_token_ids", vec![]),
        ("structural_tag", vec![]),
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

/// Where the grammar of a request comes from.
#[derive(Debug)]
pub(super) struct GrammarSource {
    /// The parameter that asks for it.
    pub(super) param: String,
    /// True if replies do without a grammar that cannot be compiled.
    pub(super) is_optional: bool,
}

/// A request to either endpoint, as far as that has read it.
pub(super) struct Begun {
    pub(super) prompts: Vec<Prompt>,
    pub(super) request: Generate,
    pub(super) form: OutputForm,
    /// Texts ahead of the replies, one for each prompt, where the answer repeats the prompt.
    pub(super) echo: Option<Vec<String>>,
    pub(super) grammar: Option<GrammarSource>,
}

/// A request to either endpoint.
#[derive(Debug)]
pub(super) struct CompletionRequest {
    /// One request a choice, those of a prompt one after another.
    pub(super) replies: Vec<Generate>,
    pub(super) options: AnswerOptions,
    pub(super) grammar: Option<GrammarSource>,
}

/// The form of an answer.
#[derive(Clone, Debug)]
pub(super) struct AnswerOptions {
    /// Choices of each prompt.
    pub(super) choices: usize,
    /// True if tokens come with their log probabilities.
    pub(super) logprobs: bool,
    /// `None`: the answer comes in one piece.
    pub(super) stream: Option<Streaming>,
    pub(super) form: OutputForm,
    /// Texts ahead of the replies, one for each prompt.
    pub(super) echo: Option<Vec<String>>,
}

/// Options of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streaming {
    /// True if the last chunk reports the usage.
    pub(super) include_usage: bool,
    /// True if every chunk reports the usage so far.
    pub(super) continuous_usage: bool,
}

impl AnswerOptions {
    /// Text ahead of the reply with this index.
    pub(super) fn echo_of(&self, index: usize) -> Option<&str> {
        let texts = self.echo.as_ref()?;
        texts.get(index / self.choices).map(String::as_str)
    }
}

/// Takes the parameters that both endpoints have, and makes a request for each choice of each prompt, with ids that begin with
/// the request's.
pub(super) fn completion(
    mut params: Params,
    begun: Begun,
    context: CallContext<'_>,
) -> Result<CompletionRequest, ApiError> {
    let Begun {
        prompts,
        request,
        form,
        echo,
        grammar,
    } = begun;
    let (serving, id) = (context.serving, context.id);
    let stream = stream(&mut params)?;
    let mut stops = stop(&mut params)?;
    let room = MAX_STOPS.saturating_sub(stops.len());
    stops.extend(request.stop.iter().take(room).cloned());
    let request = Generate {
        sampling: sampling::take(&mut params, sampling::default(context)?)?,
        logit_bias: sampling::logit_bias(&mut params)?,
        seed: params.seed("seed")?,
        stop: stops,
        ends: ends(&mut params, request.ends.include_stop)?,
        include_control: request.include_control
            || params.flag("skip_special_tokens")? == Some(false),
        include_reading: stream.is_some_and(|stream| stream.continuous_usage),
        prediction: prediction(&mut params)?,
        ..speculation(&mut params, "block_length", request)?
    };
    let choices = params.count("n")?.unwrap_or(1) as usize;
    params.skip(&HINTS);
    for (name, neutral) in unsupported() {
        params.refuse(name, &neutral)?;
    }
    params.finish()?;
    check_choices(choices, prompts.len(), serving.admission.in_progress)?;
    let asked = each(&request, &prompts, choices, id).into_iter();
    let replies = asked.map(|asked| {
        let validated = asked.validated();
        validated.map_err(|error| {
            let error = ApiError::from(error).about_parameter();
            match &grammar {
                Some(source) => error.renamed("grammar", &source.param),
                None => error,
            }
        })
    });
    Ok(CompletionRequest {
        replies: replies.collect::<Result<_, _>>()?,
        options: AnswerOptions {
            choices,
            logprobs: request.top_logprobs.is_some(),
            stream,
            form,
            echo,
        },
        grammar,
    })
}

fn check_choices(choices: usize, prompts: usize, limit: usize) -> Result<(), ApiError> {
    if choices > 0 && choices.saturating_mul(prompts) <= limit {
        return Ok(());
    }
    let what = if prompts > 1 {
        format!(" for {prompts} prompts")
    } else {
        String::new()
    };
    let message = format!(
        "n is {choices}{what}: it must be at least 1, and all choices together at most {limit}"
    );
    Err(ApiError::parameter("n", message))
}

/// Requests of the replies: `choices` for each prompt.
fn each(request: &Generate, prompts: &[Prompt], choices: usize, id: &str) -> Vec<Generate> {
    let wanted = prompts.len() * choices;
    let reply = |number: usize, prompt: &Prompt| Generate {
        prompt: prompt.clone(),
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
    let numbers = (0..wanted).map(|number| reply(number, &prompts[number / choices]));
    numbers.collect()
}

/// Takes the ends of replies that other servers have.
fn ends(params: &mut Params, stop_is_part: bool) -> Result<Ends, ApiError> {
    let mut flag = |name| Ok::<_, ApiError>(params.flag(name)?.unwrap_or(false));
    let (ignore_end, include) = (flag("ignore_eos")?, flag("include_stop_str_in_output")?);
    let include_stop = stop_is_part || include || flag("no_stop_trim")?;
    let path = params.path("stop_token_ids");
    let ids = params.list("stop_token_ids")?.unwrap_or_default();
    let ids = ids.into_iter().enumerate();
    let ids = ids.map(|(i, value)| token_id(&format!("{path}[{i}]"), &value));
    Ok(Ends {
        min_tokens: params.count("min_tokens")?.unwrap_or(0),
        ignore_end,
        stop_tokens: ids.collect::<Result<_, _>>()?,
        include_stop,
    })
}

/// A token id in a list.
pub(super) fn token_id(path: &str, value: &Value) -> Result<u32, ApiError> {
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| wrong(path, value, "a token id, which is a whole number"))
}

/// Takes OpenAI's `prediction`; empty if there is none.
fn prediction(params: &mut Params) -> Result<String, ApiError> {
    let Some(mut prediction) = params.object("prediction")? else {
        return Ok(String::new());
    };
    let kind = prediction.text("type")?;
    let kind = prediction.required("type", kind)?;
    if kind != "content" {
        let path = prediction.path("type");
        let message = format!("{path} is {}: it must be content", shown(&kind));
        return Err(ApiError::parameter(path, message));
    }
    let content = messages::content(&mut prediction)?;
    let content = prediction.required("content", content)?;
    prediction.finish()?;
    Ok(content)
}

/// Takes a limit on completion tokens. One above the server's is the server's: the reply then ends with `length`.
fn max_tokens(params: &mut Params, name: &str, serving: &Serving) -> Result<Option<u32>, ApiError> {
    let limit = params.limit(name)?;
    Ok(limit.map(|tokens| tokens.min(serving.max_tokens)))
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
        continuous_usage: false,
    };
    if let Some(mut options) = params.object("stream_options")? {
        streaming.include_usage = options.flag("include_usage")?.unwrap_or(false);
        streaming.continuous_usage = options.flag("continuous_usage_stats")?.unwrap_or(false);
        options.skip(&["include_obfuscation"]);
        options.finish()?;
    }
    // A whole answer reports its usage in any case.
    Ok(is_streamed.then_some(streaming))
}
