//! The replies of one request, one a choice, part by part.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use proto::verifier::{Generate, Part};

use super::error::ApiError;
use crate::verification::{Parts, Verifier};

/// Replies in progress. Dropping them cancels those that are not finished.
#[derive(Debug)]
pub(super) struct Replies {
    /// `None` where the reply is finished.
    parts: Vec<Option<Parts>>,
    /// Index of the reply that is polled first, so that each gets its turn.
    turn: usize,
}

impl Replies {
    /// Begins a reply to each request, or to none of them if one is refused.
    pub(super) async fn begin(
        verifier: &Arc<Verifier>,
        requests: Vec<Generate>,
    ) -> Result<Self, ApiError> {
        let admitted = verifier.admit_all(requests).await;
        let sessions = admitted.map_err(|error| ApiError::from(error).about_parameter())?;
        Ok(Self {
            parts: sessions.into_iter().map(|s| Some(s.start())).collect(),
            turn: 0,
        })
    }

    /// Number of replies, finished ones included.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Next part of any reply, with its index; `None` when all are finished.
    pub(super) async fn next(&mut self) -> Option<(usize, Result<Part, ApiError>)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<(usize, Result<Part, ApiError>)>> {
        let count = self.parts.len();
        let mut all_finished = true;
        for offset in 0..count {
            let index = (self.turn + offset) % count;
            let Some(parts) = &mut self.parts[index] else {
                continue;
            };
            all_finished = false;
            let Poll::Ready(part) = parts.poll_recv(context) else {
                continue;
            };
            self.turn = index + 1;
            let part = match part {
                Some(part) => part.map_err(ApiError::from),
                None => Err(ApiError::fault("the reply has ended early")),
            };
            if !matches!(part, Ok(Part::Chunk(_) | Part::Reading(_))) {
                self.parts[index] = None;
            }
            return Poll::Ready(Some((index, part)));
        }
        if all_finished {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}
