//! One request over HTTP and its answer, as far as all endpoints that begin replies treat them alike.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header::HOST},
    response::Response,
};
use proto::verifier::Generate;

use super::{
    api::{Api, CallContext},
    error::ApiError,
    ignored,
    params::{Ignored, Params},
    replies::Replies,
    request::{AnswerOptions, CompletionRequest},
};
use crate::verification;

/// Header with the id of a request: the client's own, or a new one. The answer has it, too.
const REQUEST_ID: &str = "x-request-id";
/// Two names of one parameter.
const MAX_TOKENS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// Reader of an endpoint's parameters.
pub(super) type Read = fn(Params, CallContext<'_>) -> Result<CompletionRequest, ApiError>;

/// A request that is being answered.
pub(super) struct Exchange {
    pub(super) api: Arc<Api>,
    /// The client's id for its request, or a new one. The request's validation checks it.
    pub(super) id: String,
    ignored: Ignored,
}

impl Exchange {
    pub(super) fn new(api: Arc<Api>, headers: &HeaderMap) -> Self {
        let id = match headers.get(REQUEST_ID) {
            Some(id) if !id.is_empty() => String::from_utf8_lossy(id.as_bytes()).into_owned(),
            _ => verification::fresh_id(),
        };
        Self {
            api,
            id,
            ignored: Ignored::default(),
        }
    }

    /// The parameters in a body.
    pub(super) async fn params(&self, headers: &HeaderMap, body: Body) -> Result<Params, ApiError> {
        let fields = self.api.budget.read(headers, body).await;
        let fields = fields.inspect_err(|error| self.api.refused(error))?;
        Ok(Params::new(fields, self.api.unknown(&self.ignored)))
    }

    /// The request that `read` takes out of the parameters.
    pub(super) fn read(&self, params: Params, read: Read) -> Result<CompletionRequest, ApiError> {
        let by_its_new_name = params.has(MAX_TOKENS[1]) && !params.has(MAX_TOKENS[0]);
        let context = CallContext {
            serving: self.api.verifier.serving(),
            target: self.api.verifier.target(),
            id: &self.id,
        };
        let request = read(params, context).map_err(|error| {
            if by_its_new_name {
                error.renamed(MAX_TOKENS[0], MAX_TOKENS[1])
            } else {
                error
            }
        });
        request.inspect_err(|error| self.api.refused(error))
    }

    /// Begins the replies to a request.
    pub(super) async fn begin(
        &self,
        request: CompletionRequest,
    ) -> Result<(AnswerOptions, Replies), ApiError> {
        let CompletionRequest {
            replies,
            options,
            grammar,
        } = request;
        let is_optional = grammar.as_ref().is_some_and(|source| source.is_optional);
        let free = is_optional.then(|| replies.iter().map(without_grammar).collect());
        let mut begun = Replies::begin(&self.api.verifier, replies).await;
        if let (Err(error), Some(free)) = (&begun, free)
            && error.param() == Some("grammar")
        {
            tracing::info!(%error, "tools are not enforced");
            begun = Replies::begin(&self.api.verifier, free).await;
        }
        let replies = begun.map_err(|error| match &grammar {
            Some(source) => error.renamed("grammar", &source.param),
            None => error,
        })?;
        Ok((options, replies))
    }

    /// The answer with the headers that every one has.
    pub(super) fn headed(&self, mut response: Response) -> Response {
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        ignored::name(&self.ignored, &self.api, &mut response);
        response
    }
}

fn without_grammar(request: &Generate) -> Generate {
    Generate {
        grammar: None,
        ..request.clone()
    }
}

/// The span of a call, in its client's trace.
pub(super) fn call_span(path: &'static str, headers: &HeaderMap) -> tracing::Span {
    let span = tracing::info_span!(
        "call",
        otel.name = path,
        otel.kind = "server",
        http.route = path
    );
    chassis::trace::adopt(&span, headers);
    if let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) {
        chassis::trace::set_server(&span, host);
    }
    span
}
