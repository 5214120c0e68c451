//! An answer as server-sent events: a chunk for each part of a reply as it is committed, then `[DONE]`.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Error,
    http::header::CONTENT_TYPE,
    response::{
        IntoResponse as _, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use proto::verifier::{Chunk, Finish, Part};
use tokio_stream::Stream;

use super::{
    error::ApiError,
    logprobs::Logprobs,
    replies::Replies,
    request::Streaming,
    response::{self, Choice, Content, Envelope, ReportedUsage, Usage},
};

/// Silence after which a comment is sent, so that nothing on the way takes the connection for dead.
const SILENCE: Duration = Duration::from_secs(15);

/// The events of an answer. Dropping them cancels the replies.
struct Events {
    replies: Replies,
    envelope: Envelope,
    /// Choices of each prompt.
    choices: usize,
    /// Characters of each choice's tokens so far.
    offsets: Vec<usize>,
    usage: Usage,
    includes_usage: bool,
    /// Events to be sent.
    waiting: VecDeque<Result<Event, Error>>,
    is_over: bool,
}

/// The answer to a request for `choices` replies to each prompt, as they come.
pub(super) fn response(
    replies: Replies,
    envelope: Envelope,
    choices: usize,
    streaming: Streaming,
) -> Response {
    let events = Events::new(replies, envelope, choices, streaming);
    let keep_alive = KeepAlive::new().interval(SILENCE).text("waiting");
    let kind = [(CONTENT_TYPE, "text/event-stream; charset=utf-8")];
    (kind, Sse::new(events).keep_alive(keep_alive)).into_response()
}

impl Events {
    fn new(replies: Replies, envelope: Envelope, choices: usize, streaming: Streaming) -> Self {
        let mut events = Self {
            choices,
            offsets: vec![0; replies.len()],
            usage: Usage::default(),
            includes_usage: streaming.include_usage,
            waiting: VecDeque::new(),
            is_over: false,
            replies,
            envelope,
        };
        for index in 0..events.offsets.len() {
            if let Some(content) = events.envelope.opening() {
                events.choice(index, content, None, None);
            }
        }
        events
    }

    fn take(&mut self, index: usize, part: Result<Part, ApiError>) {
        match part {
            Ok(Part::Chunk(chunk)) => self.chunk(index, chunk),
            Ok(Part::Finish(finish)) => self.finish(index, &finish),
            Err(error) => self.fail(error),
        }
    }

    fn chunk(&mut self, index: usize, chunk: Chunk) {
        let text: String = chunk.pieces.into_iter().map(|piece| piece.text).collect();
        let tokens = Some(chunk.tokens).filter(|tokens| !tokens.is_empty());
        if text.is_empty() && tokens.is_none() {
            return;
        }
        let endpoint = self.envelope.endpoint;
        let offset = &mut self.offsets[index];
        let logprobs = tokens.map(|tokens| Logprobs::new(endpoint, tokens, offset));
        let content = self.envelope.more(Some(&text));
        self.choice(index, content, logprobs, None);
    }

    fn finish(&mut self, index: usize, finish: &Finish) {
        let Some(reason) = response::reason(finish.reason) else {
            return self.fail(ApiError::stopping());
        };
        self.usage
            .add(&finish.usage, index.is_multiple_of(self.choices));
        let content = self.envelope.more(None);
        self.choice(index, content, None, Some(reason));
    }

    /// Ends the stream, all replies being finished.
    fn end(&mut self) {
        if self.includes_usage {
            let usage = ReportedUsage::Total(self.usage);
            let chunk = self.envelope.chunk(Vec::new(), usage);
            let event = Event::default().json_data(chunk);
            self.waiting.push_back(event);
        }
        self.waiting.push_back(Ok(Event::default().data("[DONE]")));
        self.is_over = true;
    }

    /// Ends the stream early. Without `[DONE]` clients know that the answer is incomplete.
    fn fail(&mut self, error: ApiError) {
        tracing::warn!(%error, "a stream has failed");
        let event = Event::default().json_data(error.into_body());
        self.waiting.push_back(event);
        self.is_over = true;
    }

    fn choice(
        &mut self,
        index: usize,
        content: Content<'_>,
        logprobs: Option<Logprobs>,
        finish_reason: Option<&'static str>,
    ) {
        let choice = Choice {
            index,
            content,
            logprobs,
            finish_reason,
        };
        let usage = if self.includes_usage {
            ReportedUsage::Later
        } else {
            ReportedUsage::Never
        };
        let event = Event::default().json_data(self.envelope.chunk(vec![choice], usage));
        self.waiting.push_back(event);
    }
}

impl Stream for Events {
    /// An error of its own would end the connection; JSON in memory gives none.
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Poll::Ready(Some(event));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            match ready!(self.replies.poll_next(context)) {
                Some((index, part)) => self.take(index, part),
                None => self.end(),
            }
        }
    }
}
