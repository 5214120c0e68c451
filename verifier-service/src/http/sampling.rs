//! Sampling of a request: what it says, else what the server or the model suggests.

use proto::model::Sampling;
use serde_json::Value;

use super::{
    api::CallContext,
    error::{ApiError, shown},
    params::{Params, Unknown, wrong},
};

/// Takes the parameters of sampling. Those that are absent are `default`.
pub(super) fn take(params: &mut Params, default: Sampling) -> Result<Sampling, ApiError> {
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

/// Sampling of a request that does not say: the server's, else the model's own.
pub(super) fn default(context: CallContext<'_>) -> Result<Sampling, ApiError> {
    let (neutral, suggested) = (
        Sampling::default(),
        context.target.engine().info().suggested,
    );
    let of_model = Sampling {
        temperature: suggested.temperature.unwrap_or(neutral.temperature),
        top_k: suggested.top_k.unwrap_or(neutral.top_k),
        top_p: suggested.top_p.unwrap_or(neutral.top_p),
        min_p: suggested.min_p.unwrap_or(neutral.min_p),
        repetition_penalty: suggested
            .repetition_penalty
            .unwrap_or(neutral.repetition_penalty),
        ..neutral
    };
    let of_server = context.serving.default_sampling.clone();
    take(&mut Params::new(of_server, Unknown::Refused), of_model)
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
