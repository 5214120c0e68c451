//! An answer as server-sent events: a chunk for each part of a reply as it is committed, then `[DONE]`.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    Error,
    response::{Response, sse::Event},
};
use proto::verifier::{Chunk, Finish, Part, TokenLogprob};
use tokio_stream::Stream;

use super::{
    endpoint::Endpoint,
    error::ApiError,
    event_stream,
    logprobs::Logprobs,
    output::{Addition, Output, OutputReader},
    replies::Replies,
    request::{AnswerOptions, Streaming},
    response::{self, Choice, Content, Envelope, ReportedUsage, Usage},
};

/// The events of an answer. Dropping them cancels the replies.
struct Events {
    replies: Replies,
    envelope: Envelope,
    options: AnswerOptions,
    streaming: Streaming,
    progress: Vec<Progress>,
    usage: Usage,
    /// Events to be sent.
    waiting: VecDeque<Result<Event, Error>>,
    is_over: bool,
}

/// Progress of one choice.
struct Progress {
    reader: OutputReader,
    output: Output,
    /// Tokens of the prompt, until the answer repeats them.
    prompt: Vec<TokenLogprob>,
    /// Characters of the tokens so far.
    offset: usize,
    prompt_tokens: u32,
    completion_tokens: u32,
    has_begun: bool,
}

/// The answer to a request, as it comes.
pub(super) fn response(
    replies: Replies,
    envelope: Envelope,
    options: AnswerOptions,
    streaming: Streaming,
) -> Response {
    let events = Events::new(replies, envelope, options, streaming);
    event_stream::response(events)
}

impl Events {
    fn new(
        replies: Replies,
        envelope: Envelope,
        options: AnswerOptions,
        streaming: Streaming,
    ) -> Self {
        let begun = (0..replies.len()).map(|_| Progress {
            reader: OutputReader::new(&options.form),
            output: Output::default(),
            prompt: Vec::new(),
            offset: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
            has_begun: false,
        });
        let mut events = Self {
            progress: begun.collect(),
            usage: Usage::default(),
            waiting: VecDeque::new(),
            is_over: false,
            replies,
            envelope,
            options,
            streaming,
        };
        for index in 0..events.progress.len() {
            if let Some(content) = events.envelope.opening() {
                events.choice(index, content, None, None);
            }
        }
        events
    }

    fn take(&mut self, index: usize, part: Result<Part, ApiError>) {
        match part {
            Ok(Part::Reading(reading)) => {
                let progress = &mut self.progress[index];
                progress.prompt_tokens = reading.prompt_tokens;
                progress.prompt.extend(reading.tokens);
            }
            Ok(Part::Chunk(chunk)) => self.chunk(index, chunk),
            Ok(Part::Finish(finish)) => self.finish(index, &finish),
            Err(error) => self.fail(error),
        }
    }

    fn chunk(&mut self, index: usize, chunk: Chunk) {
        self.begin(index);
        let progress = &mut self.progress[index];
        progress.completion_tokens = chunk.completion_tokens;
        let additions = progress.reader.push(&chunk.text());
        let tokens = Some(chunk.tokens).filter(|tokens| !tokens.is_empty());
        let endpoint = self.envelope.endpoint;
        let offset = &mut progress.offset;
        let logprobs = tokens.map(|tokens| Logprobs::new(endpoint, tokens, offset));
        self.add(index, &additions, logprobs);
    }

    /// Sends the text ahead of a reply, where there is one.
    fn begin(&mut self, index: usize) {
        let progress = &mut self.progress[index];
        if std::mem::replace(&mut progress.has_begun, true) {
            return;
        }
        let Some(text) = self.options.echo_of(index).map(ToOwned::to_owned) else {
            return;
        };
        let tokens = std::mem::take(&mut progress.prompt);
        let logprobs = self.options.logprobs.then(|| {
            let endpoint = self.envelope.endpoint;
            Logprobs::new(endpoint, tokens, &mut progress.offset).without_first()
        });
        let content = self.envelope.more(Some(&text));
        self.choice(index, content, logprobs, None);
    }

    /// Sends additions, each in a chunk of its own; log probabilities come with the first.
    fn add(&mut self, index: usize, additions: &[Addition], mut logprobs: Option<Logprobs>) {
        if additions.is_empty() && logprobs.is_some() {
            let content = self.envelope.more(Some(""));
            self.choice(index, content, logprobs.take(), None);
        }
        for addition in additions {
            let mut output = std::mem::take(&mut self.progress[index].output);
            if !matches!(addition, Addition::Text(_) | Addition::Reasoning(_)) {
                output.add(addition);
            }
            let content = match (self.envelope.endpoint, addition) {
                (Endpoint::Completions, Addition::Text(text)) => self.envelope.more(Some(text)),
                _ => Envelope::addition(addition, output.calls.iter().enumerate().next_back()),
            };
            self.choice(index, content, logprobs.take(), None);
            self.progress[index].output = output;
        }
    }

    fn finish(&mut self, index: usize, finish: &Finish) {
        self.begin(index);
        let progress = &mut self.progress[index];
        let additions = progress.reader.finish();
        let reason = response::reason(finish.reason, progress.reader.has_calls());
        let Some(reason) = reason else {
            return self.fail(ApiError::stopping());
        };
        self.add(index, &additions, None);
        self.usage
            .add(&finish.usage, index.is_multiple_of(self.options.choices));
        let content = self.envelope.more(None);
        self.choice(index, content, None, Some(reason));
    }

    /// Ends the stream, all replies being finished.
    fn end(&mut self) {
        if self.streaming.include_usage {
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
        let progress = &self.progress[index];
        let usage = if self.streaming.continuous_usage {
            let (prompt, completion) = (progress.prompt_tokens, progress.completion_tokens);
            ReportedUsage::Total(Usage::so_far(prompt, completion))
        } else if self.streaming.include_usage {
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
