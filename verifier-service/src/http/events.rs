//! An answer as server-sent events: a chunk for each part of a reply as it is committed, then `[DONE]`.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Bytes;
use proto::verifier::{Chunk, Finish, Part};
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_stream::Stream;

use super::{
    error::ApiError,
    logprobs::Logprobs,
    replies::Replies,
    request::Streaming,
    response::{self, Answer, Choice, Content, Envelope, Told, Usage},
};

/// Silence after which a comment is sent, so that nobody between takes the connection for dead.
const SILENCE: Duration = Duration::from_secs(15);

/// The events of an answer. Dropping them cancels the replies.
pub(super) struct Events {
    replies: Replies,
    envelope: Envelope,
    /// Choices of each prompt.
    choices: usize,
    /// Characters of each choice's tokens so far.
    offsets: Vec<usize>,
    usage: Usage,
    includes_usage: bool,
    /// Events to be sent.
    waiting: VecDeque<Bytes>,
    is_over: bool,
    silence: Interval,
}

impl Events {
    /// The events of `replies`, with so many choices to each prompt.
    pub(super) fn new(
        replies: Replies,
        envelope: Envelope,
        choices: usize,
        streaming: Streaming,
    ) -> Self {
        let mut silence = interval_at(Instant::now() + SILENCE, SILENCE);
        silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut events = Self {
            choices,
            offsets: vec![0; replies.len()],
            usage: Usage::default(),
            includes_usage: streaming.include_usage,
            waiting: VecDeque::new(),
            is_over: false,
            silence,
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

    /// All replies are finished.
    fn end(&mut self) {
        if self.includes_usage {
            let usage = self.envelope.chunk(Vec::new(), Told::All(self.usage));
            let event = event(&usage);
            self.waiting.push_back(event);
        }
        self.waiting
            .push_back(Bytes::from_static(b"data: [DONE]\n\n"));
        self.is_over = true;
    }

    /// The answer stays incomplete: it has no `[DONE]`.
    fn fail(&mut self, error: ApiError) {
        tracing::warn!(%error, "a stream has failed");
        self.waiting.push_back(event(&error.into_body()));
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
            Told::Later
        } else {
            Told::Nothing
        };
        let chunk: Answer<'_> = self.envelope.chunk(vec![choice], usage);
        let event = event(&chunk);
        self.waiting.push_back(event);
    }
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.silence.reset();
                return Poll::Ready(Some(Ok(event)));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            match self.replies.poll_next(context) {
                Poll::Ready(Some((index, part))) => self.take(index, part),
                Poll::Ready(None) => self.end(),
                Poll::Pending => {
                    let silent = self.silence.poll_tick(context);
                    return silent.map(|_| Some(Ok(Bytes::from_static(b": waiting\n\n"))));
                }
            }
        }
    }
}

/// A value as an event. JSON has no line breaks of its own.
fn event(value: &impl Serialize) -> Bytes {
    let mut bytes = b"data: ".to_vec();
    if serde_json::to_writer(&mut bytes, value).is_err() {
        bytes.truncate(b"data: ".len());
        bytes.extend_from_slice(b"{\"error\":{\"message\":\"the event cannot be written\"}}");
    }
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}
