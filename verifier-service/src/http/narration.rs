//! A reply as named server-sent events, in the shape of an API whose answers are blocks.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    Error,
    response::{Response, sse::Event},
};
use proto::verifier::{Finish, FinishReason, Part, Reading};
use serde_json::{Value, json};
use tokio_stream::Stream;

use super::{
    blocks::{Block, Blocks, Change},
    error::ApiError,
    event_stream,
    output::OutputForm,
    replies::Replies,
};

/// What an API says of a reply as it comes.
pub(super) trait Narration: Send + Unpin + 'static {
    /// Ahead of everything.
    fn begin(&mut self, _out: &mut Outgoing) {}

    /// Once the prompt has been read, if the request asks for a report on that.
    fn read(&mut self, _reading: &Reading, _out: &mut Outgoing) {}

    fn change(&mut self, block: &Block, change: &Change, out: &mut Outgoing);

    /// At the end of the reply, all blocks being closed.
    fn finish(&mut self, blocks: &[Block], finish: &Finish, out: &mut Outgoing);

    /// At an early end.
    fn fail(&mut self, blocks: &[Block], error: &ApiError, out: &mut Outgoing);
}

/// Events to be sent.
#[derive(Default)]
pub(super) struct Outgoing(VecDeque<Result<Event, Error>>);

impl Outgoing {
    /// Adds an event, whose data has its name, too.
    pub(super) fn push(&mut self, name: &'static str, mut data: Value) {
        data["type"] = json!(name);
        self.0
            .push_back(Event::default().event(name).json_data(data));
    }
}

/// The events of a reply. Dropping them cancels it.
struct NarratedReply<N> {
    replies: Replies,
    blocks: Blocks,
    narration: N,
    waiting: Outgoing,
    is_over: bool,
}

/// The one reply of a request, as it comes.
pub(super) fn response(
    replies: Replies,
    form: &OutputForm,
    mut narration: impl Narration,
) -> Response {
    let mut waiting = Outgoing::default();
    narration.begin(&mut waiting);
    let events = NarratedReply {
        replies,
        blocks: Blocks::new(form),
        narration,
        waiting,
        is_over: false,
    };
    event_stream::response(events)
}

impl<N: Narration> NarratedReply<N> {
    fn take(&mut self, part: Result<Part, ApiError>) {
        match part {
            Ok(Part::Reading(reading)) => self.narration.read(&reading, &mut self.waiting),
            Ok(Part::Chunk(chunk)) => {
                let changes = self.blocks.push(&chunk.text());
                self.tell(&changes);
            }
            Ok(Part::Finish(finish)) if finish.reason == FinishReason::Cancelled => {
                self.fail(&ApiError::stopping());
            }
            Ok(Part::Finish(finish)) => {
                let changes = self.blocks.finish(finish.reason);
                self.tell(&changes);
                let blocks = self.blocks.all();
                self.narration.finish(blocks, &finish, &mut self.waiting);
                self.is_over = true;
            }
            Err(error) => self.fail(&error),
        }
    }

    fn tell(&mut self, changes: &[(usize, Change)]) {
        for (index, change) in changes {
            let block = &self.blocks.all()[*index];
            self.narration.change(block, change, &mut self.waiting);
        }
    }

    fn fail(&mut self, error: &ApiError) {
        tracing::warn!(%error, "a stream has failed");
        let blocks = self.blocks.all();
        self.narration.fail(blocks, error, &mut self.waiting);
        self.is_over = true;
    }
}

impl<N: Narration> Stream for NarratedReply<N> {
    /// An error of its own would end the connection; JSON in memory gives none.
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.waiting.0.pop_front() {
                return Poll::Ready(Some(event));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            let early = || Err(ApiError::fault("the reply has ended early"));
            let part = ready!(self.replies.poll_next(context));
            self.take(part.map_or_else(early, |(_, part)| part));
        }
    }
}
