//! Requests in progress on one connection, and whether its client still reads their answers.
//!
//! Under HTTP/2 a client can leave one answer unread and keep the connection alive, which no timeout of a stream of bytes
//! notices. So each answer goes out in small pieces, and a piece that is not taken for too long ends the connection.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep, sleep_until};

/// Most bytes of a piece.
const PIECE_BYTES: usize = 16 << 10;

/// Requests in progress on a connection.
#[derive(Debug)]
pub(super) struct Traffic {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u64,
    /// By request, the moment since which a piece of its answer has been waiting for the client; `None` if none has.
    requests: BTreeMap<u64, Option<Instant>>,
    /// End of the last request.
    idle_since: Instant,
}

/// One request, until it is dropped.
#[derive(Debug)]
pub(super) struct InProgress {
    traffic: Arc<Traffic>,
    number: u64,
}

/// An answer in pieces.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    /// What is left of the frame that is being sent.
    rest: Bytes,
    request: InProgress,
}

impl Default for Traffic {
    fn default() -> Self {
        let state = State {
            next: 0,
            requests: BTreeMap::new(),
            idle_since: Instant::now(),
        };
        Self {
            state: Mutex::new(state),
        }
    }
}

impl Traffic {
    /// Counts a request.
    pub(super) fn begin(self: &Arc<Self>) -> InProgress {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.requests.insert(number, None);
        InProgress {
            traffic: Arc::clone(self),
            number,
        }
    }

    /// Waits until there has been no request for `idle`, or an answer has been left unread for `unread`.
    pub(super) async fn ceases(&self, idle: Duration, unread: Duration) {
        loop {
            let end = self.lock().patience_ends(idle, unread);
            match end {
                Some(end) if end <= Instant::now() => return,
                Some(end) => sleep_until(end).await,
                // Patience that begins meanwhile ends after this.
                None => sleep(idle.min(unread)).await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The moment at which the client is given up, if it does nothing until then.
    fn patience_ends(&self, idle: Duration, unread: Duration) -> Option<Instant> {
        if self.requests.is_empty() {
            return Some(self.idle_since + idle);
        }
        let oldest = self.requests.values().flatten().min();
        oldest.map(|since| *since + unread)
    }
}

impl InProgress {
    /// The answer with this body.
    pub(super) fn answered(self, body: Body) -> Answer {
        Answer {
            body,
            rest: Bytes::new(),
            request: self,
        }
    }

    fn waits_since(&self, since: Option<Instant>) {
        self.traffic.lock().requests.insert(self.number, since);
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut state = self.traffic.lock();
        state.requests.remove(&self.number);
        state.idle_since = Instant::now();
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // There is room for another piece, so the last one has been taken.
        self.request.waits_since(None);
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let len = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(len);
        self.request.waits_since(Some(Instant::now()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const IDLE: Duration = Duration::from_secs(3);
    const UNREAD: Duration = Duration::from_secs(7);

    async fn next(answer: &mut Answer) -> Option<usize> {
        let frame = poll_fn(|context| Pin::new(&mut *answer).poll_frame(context)).await;
        frame.map(|frame| frame.unwrap().into_data().unwrap().len())
    }

    #[tokio::test(start_paused = true)]
    async fn connection_without_requests_ceases_after_its_time() {
        let traffic = Arc::new(Traffic::default());
        let began = Instant::now();
        let request = traffic.begin();
        let ending = async {
            // An answer that takes long to make is waited for.
            sleep(20 * IDLE).await;
            drop(request);
        };
        tokio::join!(traffic.ceases(IDLE, UNREAD), ending);
        assert_eq!(began.elapsed(), 21 * IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn answer_that_is_left_unread_ceases_and_a_slow_reader_does_not() {
        let traffic = Arc::new(Traffic::default());
        let began = Instant::now();
        let mut answer = traffic.begin().answered(Body::from(vec![0; 40_000]));
        assert_eq!(answer.size_hint().exact(), Some(40_000));
        let reading = async {
            for expected in [16_384, 16_384] {
                assert_eq!(next(&mut answer).await, Some(expected));
                sleep(UNREAD / 2).await;
            }
            assert_eq!(answer.size_hint().exact(), Some(40_000 - 2 * 16_384));
            assert_eq!(next(&mut answer).await, Some(40_000 - 2 * 16_384));
            assert!(answer.is_end_stream());
        };
        tokio::join!(traffic.ceases(IDLE, UNREAD), reading);
        assert_eq!(began.elapsed(), 2 * UNREAD);
        assert_eq!(next(&mut answer).await, None);
    }
}
