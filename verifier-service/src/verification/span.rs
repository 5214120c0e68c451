//! The span of a reply, with the attributes that OpenTelemetry's conventions for generative models give it. They are no fields,
//! since fields appear in every line of the log.

use chassis::trace::{set, set_list};
use proto::{model::Prompt, verifier::Usage};
use tracing::{Span, info_span};

use super::request_plan::RequestPlan;

/// The span of a reply by the model of this name. It becomes a child of the call's span, which continues the client's trace.
pub(super) fn of(plan: &RequestPlan, model: &str) -> Span {
    let span = info_span!("generate");
    if span.is_disabled() {
        return span;
    }
    let operation = match plan.open.prompt {
        Prompt::Text(_) | Prompt::Tokens(_) | Prompt::Infill { .. } => "text_completion",
        Prompt::Conversation(_) => "chat",
    };
    for (name, text) in [
        ("gen_ai.operation.name", operation),
        ("gen_ai.provider.name", "duet"),
        ("gen_ai.request.model", model),
        ("gen_ai.response.model", model),
        ("gen_ai.response.id", &plan.request_id),
    ] {
        set(&span, name, text.to_owned());
    }
    let sampling = &plan.sampling;
    for (name, count) in [
        ("gen_ai.request.max_tokens", plan.max_tokens as i64),
        ("gen_ai.request.seed", plan.seed as i64),
        ("gen_ai.request.top_k", sampling.top_k.into()),
    ] {
        set(&span, name, count);
    }
    for (name, number) in [
        ("gen_ai.request.temperature", sampling.temperature),
        ("gen_ai.request.top_p", sampling.top_p),
        (
            "gen_ai.request.frequency_penalty",
            sampling.frequency_penalty,
        ),
        ("gen_ai.request.presence_penalty", sampling.presence_penalty),
    ] {
        // As it was written, up to six digits after the point.
        let number = (f64::from(number) * 1e6).round() / 1e6;
        set(&span, name, number);
    }
    span
}

/// Records the end of the reply on the current span, which is its own. `outcome` is that of the metrics.
pub(super) fn end(usage: &Usage, outcome: &'static str) {
    let span = Span::current();
    for (name, count) in [
        ("gen_ai.usage.input_tokens", usage.prompt_tokens),
        ("gen_ai.usage.output_tokens", usage.completion_tokens),
        (
            "gen_ai.usage.cache_read.input_tokens",
            usage.cached_prompt_tokens,
        ),
    ] {
        set(&span, name, i64::from(count));
    }
    let reason = match outcome {
        "stop" => "stop",
        "length" | "context_full" => "length",
        _ => return set(&span, "error.type", outcome),
    };
    set_list(&span, "gen_ai.response.finish_reasons", &[reason]);
}
