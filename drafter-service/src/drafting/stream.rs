//! Both directions of a session's stream, and what ends a session from outside: the verifier disconnects or falls silent, the
//! session is too old, or the process stops.

use std::{future::Future, pin::Pin, task};

use chassis::lifecycle::Lifecycle;
use proto::drafter::{FromDrafter, Open, ToDrafter};
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep, sleep_until, timeout},
};
use tokio_stream::{Stream, StreamExt as _};

use super::rate_limiter::RateLimiter;
use crate::{config::Serving, error::DraftError};

/// Longest wait for the first message.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait until the last message is passed on.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Messages from the verifier.
pub(crate) type Inbox = Pin<Box<dyn Stream<Item = Result<ToDrafter, DraftError>> + Send>>;

/// Messages to the verifier.
pub(crate) type Outbox = mpsc::Sender<Result<FromDrafter, DraftError>>;

/// Stream of one session with its verifier.
pub(crate) struct VerifierStream {
    inbox: Inbox,
    /// Message that has arrived and has not been taken.
    pending: Option<Result<ToDrafter, DraftError>>,
    limiter: RateLimiter,
    idle_timeout: Duration,
    outward: Outward,
}

/// Direction to the verifier, and what ends the session.
struct Outward {
    outbox: Outbox,
    lifecycle: Lifecycle,
    age: Duration,
    end: Instant,
}

impl VerifierStream {
    /// Stream with the limits of `serving`; the session's age counts from now.
    pub(super) fn new(
        inbox: Inbox,
        outbox: Outbox,
        serving: &Serving,
        lifecycle: Lifecycle,
    ) -> Self {
        let now = Instant::now();
        Self {
            inbox,
            pending: None,
            limiter: RateLimiter::new(serving.verdict_rate, now.into_std()),
            idle_timeout: serving.idle_timeout,
            outward: Outward {
                outbox,
                lifecycle,
                age: serving.session_age,
                end: now + serving.session_age,
            },
        }
    }

    /// The first message, which opens the session.
    pub(super) async fn opening(&mut self) -> Result<Open, DraftError> {
        match self.within(OPENING_TIMEOUT).await? {
            ToDrafter::Open(open) => Ok(*open),
            ToDrafter::Verdict(_) | ToDrafter::Close(_) => Err(DraftError::field(
                "message",
                "another one",
                "open, the first message",
            )),
        }
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Result<ToDrafter, DraftError> {
        self.within(self.idle_timeout).await
    }

    /// True if a message can be taken without waiting.
    pub(super) fn has_message(&mut self) -> bool {
        let is_due = self.limiter.wait(Instant::now().into_std()).is_zero();
        if self.pending.is_none() && is_due {
            // A later wait for the next message polls with its own waker.
            let mut context = task::Context::from_waker(task::Waker::noop());
            if let task::Poll::Ready(message) = self.inbox.as_mut().poll_next(&mut context) {
                self.pending = Some(message.unwrap_or(Err(DraftError::Cancelled)));
            }
        }
        self.pending.is_some()
    }

    /// Runs `work` unless the session ends in the meantime.
    pub(super) async fn unless_over<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, DraftError> {
        self.outward.unless_over(work).await
    }

    /// Sends a message; waits while the verifier does not read.
    pub(super) async fn send(&mut self, message: FromDrafter) -> Result<(), DraftError> {
        let outward = &self.outward;
        let sent = outward
            .unless_over(outward.outbox.send(Ok(message)))
            .await?;
        sent.map_err(|_| DraftError::Cancelled)
    }

    /// Sends the last message of a session that failed: a `Failure` if the session was `opened` and the error has one, else a
    /// status.
    pub(super) async fn fail(self, error: DraftError, opened: bool) {
        let failure = error.failure().filter(|_| opened);
        let last = failure.map_or(Err(error), |failure| Ok(FromDrafter::Failure(failure)));
        if timeout(FAREWELL_TIMEOUT, self.outward.outbox.send(last))
            .await
            .is_err()
        {
            tracing::debug!("the verifier does not read");
        }
    }

    async fn within(&mut self, limit: Duration) -> Result<ToDrafter, DraftError> {
        let now = Instant::now().into_std();
        let message = if let Some(message) = self.pending.take() {
            message
        } else {
            let wait = self.limiter.wait(now);
            let inbox = &mut self.inbox;
            let message = async {
                sleep(wait).await;
                timeout(limit, inbox.next()).await
            };
            let message = self.outward.unless_over(message).await?;
            let message = message.map_err(|_| DraftError::Idle(limit))?;
            message.unwrap_or(Err(DraftError::Cancelled))
        };
        self.limiter.count(now);
        message
    }
}

impl Outward {
    async fn unless_over<T>(&self, work: impl Future<Output = T>) -> Result<T, DraftError> {
        tokio::select! {
            biased;
            () = self.outbox.closed() => Err(DraftError::Cancelled),
            () = self.lifecycle.cut_off().cancelled() => Err(DraftError::Stopping),
            () = sleep_until(self.end) => Err(DraftError::Aged(self.age)),
            done = work => Ok(done),
        }
    }
}
