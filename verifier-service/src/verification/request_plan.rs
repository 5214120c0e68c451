//! Plan of a request: open choices are made, values are checked against this verifier's limits.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use alignment::acceptance::Method;
use inference::sampling::{Sampling, SamplingError};
use proto::{
    drafter::Open,
    limits::MAX_BLOCK_BYTES,
    verifier::{Ends, Generate, RoundReport, Speculation},
};

use crate::{config::Serving, error::GenerateError};

/// Sharpness of drafting under `coupled`, a factor of log probabilities. It changes how often both
/// sides agree, never the text; 2 is best or close to it on chat and on code.
const SHARPNESS: f32 = 2.0;
/// Bytes of a block for each of its tokens. Few vocabularies have longer tokens, all of them rare.
const BYTES_PER_TOKEN: u32 = 64;

/// Plan of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestPlan {
    pub(crate) request_id: String,
    pub(crate) method: Method,
    pub(crate) method_reason: String,
    pub(crate) seed: u64,
    pub(crate) sampling: Sampling,
    pub(crate) stops: Vec<String>,
    /// Most completion tokens.
    pub(crate) max_tokens: usize,
    /// True if drafters are wanted; `open` is the message to them.
    pub(crate) speculates: bool,
    pub(crate) open: Open,
    /// Most draft tokens of a block, and candidates of a round.
    pub(crate) block_length: usize,
    /// True if blocks are as long as pays; false if all have `block_length` draft tokens.
    pub(crate) adapts_length: bool,
    /// Alternatives of every block; `None` for as many as pay.
    pub(crate) alternatives: Option<usize>,
    pub(crate) report: Report,
    pub(crate) ends: Ends,
    /// Text that the reply may resemble; empty: none.
    pub(crate) prediction: String,
    /// Total wait for drafts that a reply may have in any case: the shortest deadline.
    pub(crate) least_wait: Duration,
}

/// What a reply tells beside its text.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) rounds: RoundReport,
    /// Number of the likeliest tokens to send with each token; `None` if no tokens are sent.
    pub(crate) top_logprobs: Option<usize>,
    /// The same for each token of the prompt.
    pub(crate) prompt_logprobs: Option<usize>,
    /// True if control tokens are sent by name.
    pub(crate) control: bool,
    /// True if the reply begins with a report on the prompt.
    pub(crate) reading: bool,
}

impl RequestPlan {
    /// Plan of `request` for a model with `vocab_size` ids.
    pub(crate) fn new(
        request: &Generate,
        serving: &Serving,
        vocab_size: usize,
    ) -> Result<Self, GenerateError> {
        let sampling = serving::request::sampling(request.sampling, request.logit_bias.clone());
        sampling.validate(vocab_size).map_err(sampling_error)?;
        let limit = serving.max_tokens;
        let max_tokens = request.max_tokens.unwrap_or(limit);
        if max_tokens > limit {
            let expected = format!("1 to {limit}");
            return Err(GenerateError::field(
                "max_tokens",
                max_tokens.to_string(),
                expected,
            ));
        }
        check_stop_tokens(&request.ends, vocab_size)?;
        let (method, method_reason) = method(request, serving.method)?;
        let block_length = block_length(request, serving.block_length)?;
        let alternatives = alternatives(request, method)?;
        let request_id = request.request_id.clone().unwrap_or_else(fresh_id);
        let seed = request.seed.unwrap_or_else(random);
        Ok(Self {
            method_reason,
            sampling,
            stops: request.stop.clone(),
            max_tokens: max_tokens as usize,
            speculates: request.speculation != Speculation::Off,
            ends: request.ends.clone(),
            prediction: request.prediction.clone(),
            open: Open {
                session_id: request_id.clone(),
                prompt: request.prompt.clone(),
                committed: Vec::new(),
                method: method.name().to_owned(),
                // Under point_mass a drafter that knew the seed could bias the text.
                seed: if method == Method::Coupled { seed } else { 0 },
                sampling: request.sampling,
                sharpness: SHARPNESS,
                max_block_tokens: block_length,
                // Where distributions are sent, no token may be cut off for its length.
                max_block_bytes: if method.needs_distributions() {
                    MAX_BLOCK_BYTES
                } else {
                    (block_length * BYTES_PER_TOKEN).min(MAX_BLOCK_BYTES)
                },
                // The block that is being verified, and those sent before its verdict.
                credit: 1 + serving.draft_ahead,
                expected_fingerprint: None,
                accepts_trees: has_trees(method),
                first: None,
                drawable: Vec::new(),
            },
            block_length: block_length as usize,
            adapts_length: adapts_length(&request.speculation),
            alternatives,
            report: Report::of(request),
            least_wait: serving.deadline.floor,
            request_id,
            method,
            seed,
        })
    }

    /// True if any text may be proposed, whoever proposes it.
    pub(crate) fn takes_any_text(&self) -> bool {
        self.speculates && has_trees(self.method)
    }
}

impl Report {
    fn of(request: &Generate) -> Self {
        let count = |count: Option<u32>| count.map(|count| count as usize);
        Self {
            rounds: request.rounds,
            top_logprobs: count(request.top_logprobs),
            prompt_logprobs: count(request.prompt_logprobs),
            control: request.include_control,
            reading: request.include_reading,
        }
    }
}

fn check_stop_tokens(ends: &Ends, vocab_size: usize) -> Result<(), GenerateError> {
    let unknown = ends
        .stop_tokens
        .iter()
        .find(|id| **id as usize >= vocab_size);
    unknown.map_or(Ok(()), |id| {
        let expected = format!("below {vocab_size}");
        Err(GenerateError::field(
            "stop_tokens",
            id.to_string(),
            expected,
        ))
    })
}

fn adapts_length(speculation: &Speculation) -> bool {
    !matches!(
        speculation,
        Speculation::Auto {
            block_tokens: Some(_),
            ..
        }
    )
}

fn sampling_error(error: SamplingError) -> GenerateError {
    let field = match error.field {
        "logit_bias" => "logit_bias".to_owned(),
        field => format!("sampling.{field}"),
    };
    GenerateError::field(&field, error.value, error.range)
}

/// Most draft tokens of a block, and candidates of a round.
fn block_length(request: &Generate, limit: u32) -> Result<u32, GenerateError> {
    match request.speculation {
        Speculation::Auto {
            block_tokens: Some(tokens),
            ..
        } if tokens > limit => {
            let (found, expected) = (tokens.to_string(), format!("1 to {limit}"));
            Err(GenerateError::field(
                "speculation.block_tokens",
                found,
                expected,
            ))
        }
        Speculation::Auto { block_tokens, .. } => Ok(block_tokens.unwrap_or(limit)),
        Speculation::Off => Ok(limit),
    }
}

/// True if the target's choice ignores proposals, so that several tokens may be proposed at once.
fn has_trees(method: Method) -> bool {
    matches!(method, Method::Greedy | Method::Coupled)
}

/// Alternatives of every block; `None` for as many as pay. A request that fixes the block length
/// has none unless it names a number, so that it can be repeated.
fn alternatives(request: &Generate, method: Method) -> Result<Option<usize>, GenerateError> {
    let Speculation::Auto {
        block_tokens,
        alternatives,
        ..
    } = request.speculation
    else {
        return Ok(Some(0));
    };
    match alternatives {
        Some(count) if count > 0 && !has_trees(method) => {
            let expected = format!("0 under {method}; greedy and coupled have alternatives");
            let field = "speculation.alternatives";
            Err(GenerateError::field(field, count.to_string(), expected))
        }
        Some(count) => Ok(Some(count as usize)),
        None if block_tokens.is_some() || !has_trees(method) => Ok(Some(0)),
        None => Ok(None),
    }
}

/// Acceptance method, and the reason for it. Without speculation it is one that keeps the text.
fn method(request: &Generate, default: Option<Method>) -> Result<(Method, String), GenerateError> {
    let temperature = request.sampling.temperature;
    let lossless = if temperature == 0.0 {
        Method::Greedy
    } else {
        Method::Coupled
    };
    let Speculation::Auto {
        method,
        allow_lossy,
        ..
    } = &request.speculation
    else {
        return Ok((lossless, "speculation is off".to_owned()));
    };
    let unfit = |method: Method| !method.samples() && temperature > 0.0;
    match (method, default) {
        (Some(name), _) => {
            let method = name.parse::<Method>().map_err(|_| GenerateError::Method {
                method: name.clone(),
                supported: Method::ALL.map(Method::name).join(", "),
            })?;
            if !method.is_lossless() && !allow_lossy {
                let found = format!("false, and {method} is not lossless");
                let expected =
                    "true for text of another distribution than the target's, or another method";
                return Err(GenerateError::field(
                    "speculation.allow_lossy",
                    found,
                    expected,
                ));
            }
            if unfit(method) {
                let found = format!("greedy at temperature {temperature}");
                let expected = "another method above temperature 0, such as coupled";
                return Err(GenerateError::field("speculation.method", found, expected));
            }
            Ok((method, "the request asks for it".to_owned()))
        }
        (None, Some(method)) if !unfit(method) => Ok((
            method,
            "the verifier's configuration asks for it".to_owned(),
        )),
        (None, _) if temperature == 0.0 => Ok((
            lossless,
            "at temperature 0 the distribution is one token".to_owned(),
        )),
        (None, _) => {
            let reason = "above temperature 0 it gives the text that plain decoding gives";
            Ok((lossless, reason.to_owned()))
        }
    }
}

/// A random number. Seeds and ids only have to differ.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

pub(crate) fn fresh_id() -> String {
    format!("{:016x}", random())
}

#[cfg(test)]
mod tests {
    use proto::model;

    use super::*;

    fn plan(change: impl FnOnce(&mut Generate)) -> Result<RequestPlan, String> {
        let mut request = Generate::new(model::Prompt::Text("x".to_owned()));
        change(&mut request);
        RequestPlan::new(&request, &Serving::new("toy"), 100).map_err(|e| e.to_string())
    }

    fn asks(method: &str) -> Speculation {
        Speculation::Auto {
            method: Some(method.to_owned()),
            block_tokens: None,
            allow_lossy: false,
            alternatives: None,
        }
    }

    #[test]
    fn method_follows_the_temperature_and_is_the_same_without_speculation() {
        for (temperature, expected) in [(0.0, Method::Greedy), (0.8, Method::Coupled)] {
            for speculation in [Speculation::Off, Speculation::auto()] {
                let plan = plan(|request| {
                    request.sampling.temperature = temperature;
                    request.speculation = speculation;
                });
                assert_eq!(plan.unwrap().method, expected);
            }
        }
    }

    #[test]
    fn seed_stays_here_unless_the_method_shares_it() {
        for (method, shared) in [("coupled", 7), ("point_mass", 0)] {
            let plan = plan(|request| {
                request.speculation = asks(method);
                request.seed = Some(7);
            });
            assert_eq!(plan.unwrap().open.seed, shared, "{method}");
        }
    }

    #[test]
    fn blocks_have_alternatives_where_nobody_says_how_long_they_are_or_where_they_are_asked_for() {
        let asked = |method: &str, block_tokens, alternatives| {
            let plan = plan(|request| {
                request.sampling.temperature = if method == "greedy" { 0.0 } else { 1.0 };
                request.speculation = Speculation::Auto {
                    method: Some(method.to_owned()),
                    block_tokens,
                    allow_lossy: false,
                    alternatives,
                };
            });
            let plan = plan.unwrap();
            (plan.alternatives, plan.open.accepts_trees)
        };
        assert_eq!(asked("coupled", None, None), (None, true));
        assert_eq!(asked("coupled", Some(4), None), (Some(0), true));
        assert_eq!(asked("greedy", Some(4), Some(2)), (Some(2), true));
        assert_eq!(asked("greedy", None, Some(4)), (Some(4), true));
        assert_eq!(asked("point_mass", None, None), (Some(0), false));
        assert_eq!(asked("point_mass", None, Some(0)), (Some(0), false));
    }

    #[test]
    fn seeds_and_ids_that_nobody_chose_differ() {
        let (one, other) = (plan(|_| ()).unwrap(), plan(|_| ()).unwrap());
        assert_ne!(one.seed, other.seed);
        assert_ne!(one.request_id, other.request_id);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        type Change = fn(&mut Generate);
        let cases: [(&str, Change); 7] = [
            (
                "speculation.alternatives is 1: it must be 0 under point_mass",
                |r| {
                    r.speculation = Speculation::Auto {
                        method: Some("point_mass".to_owned()),
                        block_tokens: None,
                        allow_lossy: false,
                        alternatives: Some(1),
                    };
                },
            ),
            ("max_tokens is 4097", |r| r.max_tokens = Some(4097)),
            ("sampling.min_p is 1", |r| r.sampling.min_p = 1.0),
            ("logit_bias is for token 100", |r| {
                r.logit_bias = vec![(100, 1.0)];
            }),
            ("speculation.method is typical", |r| {
                r.speculation = asks("typical");
            }),
            ("speculation.method is greedy at", |r| {
                r.speculation = asks("greedy");
            }),
            ("speculation.block_tokens is 17", |r| {
                r.speculation = Speculation::Auto {
                    method: None,
                    block_tokens: Some(17),
                    allow_lossy: false,
                    alternatives: None,
                };
            }),
        ];
        for (expected, change) in cases {
            let error = plan(change).unwrap_err();
            assert!(error.starts_with(expected), "{expected}: {error}");
        }
    }
}
