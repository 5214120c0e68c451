//! Description of a verifier, as JSON.

use proto::verifier::{self, DrafterState, DrafterStatus};
use serde::Serialize;

/// Description of this verifier.
#[derive(Serialize)]
pub(super) struct Description {
    version: String,
    model: String,
    quantisation: String,
    context_length: u32,
    methods: Vec<Method>,
    max_sessions: u32,
    max_tokens: u32,
    max_prompt_bytes: u32,
    max_block_tokens: u32,
    drafters: Vec<Drafter>,
    sessions: u32,
}

#[derive(Serialize)]
struct Method {
    name: String,
    lossless: bool,
}

#[derive(Serialize)]
struct Drafter {
    model: Option<String>,
    state: &'static str,
    round_trip_micros: Option<u64>,
    sessions: u32,
}

impl From<verifier::Description> for Description {
    fn from(description: verifier::Description) -> Self {
        let method = |method: proto::model::Method| Method {
            name: method.name,
            lossless: method.lossless,
        };
        let limits = description.limits;
        Self {
            version: description.build.version,
            model: description.model.name,
            quantisation: description.model.quantisation,
            context_length: description.model.context_length,
            methods: description.methods.into_iter().map(method).collect(),
            max_sessions: limits.max_sessions,
            max_tokens: limits.max_tokens,
            max_prompt_bytes: limits.max_prompt_bytes,
            max_block_tokens: limits.max_block_tokens,
            drafters: description
                .drafters
                .into_iter()
                .map(Drafter::from)
                .collect(),
            sessions: description.sessions,
        }
    }
}

impl From<DrafterStatus> for Drafter {
    /// Leaves out its address and its last error, which only whoever runs the verifier may see.
    fn from(drafter: DrafterStatus) -> Self {
        let round_trip = drafter.round_trip;
        Self {
            model: drafter.model,
            state: match drafter.state {
                DrafterState::Connecting => "connecting",
                DrafterState::Ready => "ready",
                DrafterState::BreakerOpen => "breaker_open",
                DrafterState::Unreachable => "unreachable",
                DrafterState::Incompatible => "incompatible",
            },
            round_trip_micros: round_trip.map(|time| time.as_micros() as u64),
            sessions: drafter.sessions,
        }
    }
}
