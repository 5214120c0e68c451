//! The part of a body that has arrived, decompressed as it arrives.

use std::{
    io::{self, Write},
    sync::Arc,
};

use axum::http::StatusCode;
use flate2::write::MultiGzDecoder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{MAX_BODY_BYTES, RETRY};
use crate::http::error::ApiError;

/// The part of a body that has arrived.
pub(super) struct Arrival {
    /// Bytes as they were sent.
    received: usize,
    content: Content,
}

enum Content {
    Plain(Held),
    Gzip(Box<MultiGzDecoder<Held>>),
}

/// Content, with its share of the budget.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    budget: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    /// Why the last write failed.
    refusal: Option<ApiError>,
}

impl Arrival {
    /// An arrival of nothing yet, which takes its memory out of `budget`.
    pub(super) fn new(budget: &Arc<Semaphore>, is_gzip: bool) -> Self {
        let held = Held {
            bytes: Vec::new(),
            budget: Arc::clone(budget),
            permit: None,
            refusal: None,
        };
        let content = if is_gzip {
            Content::Gzip(Box::new(MultiGzDecoder::new(held)))
        } else {
            Content::Plain(held)
        };
        Self {
            received: 0,
            content,
        }
    }

    /// Takes in a frame. What was sent and what it becomes have the same limit; the latter is checked as it grows.
    pub(super) fn take(&mut self, frame: &[u8]) -> Result<(), ApiError> {
        self.received += frame.len();
        if self.received > MAX_BODY_BYTES {
            return Err(too_large());
        }
        match &mut self.content {
            Content::Plain(held) => held.hold(frame),
            Content::Gzip(decoder) => {
                let written = decoder.write_all(frame);
                written.map_err(|error| decoder.get_mut().refused(&error))
            }
        }
    }

    /// The content, complete. It keeps its share of the budget until it is dropped.
    pub(super) fn finish(self) -> Result<Held, ApiError> {
        match self.content {
            Content::Plain(held) => Ok(held),
            Content::Gzip(mut decoder) => {
                let finished = decoder.try_finish();
                finished.map_err(|error| decoder.get_mut().refused(&error))?;
                decoder.finish().map_err(|error| not_gzip(&error))
            }
        }
    }
}

impl Held {
    fn hold(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        if self.bytes.len() + bytes.len() > MAX_BODY_BYTES {
            return Err(too_large());
        }
        let permit = Arc::clone(&self.budget).try_acquire_many_owned(bytes.len() as u32);
        let permit =
            permit.map_err(|_| ApiError::busy("too many large requests are being read", RETRY))?;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The refusal that made writing fail, or else the fault of the compressed data.
    fn refused(&mut self, error: &io::Error) -> ApiError {
        self.refusal.take().unwrap_or_else(|| not_gzip(error))
    }
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.hold(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(refusal) => {
                self.refusal = Some(refusal);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn too_large() -> ApiError {
    let message = format!("the body is larger than {MAX_BODY_BYTES} bytes");
    ApiError::unreadable(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn not_gzip(error: &io::Error) -> ApiError {
    let message = format!("content-encoding is gzip, and the body is not: {error}");
    ApiError::unreadable(StatusCode::BAD_REQUEST, message)
}
