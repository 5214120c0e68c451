//! A stream that is being opened.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use alignment::acceptance::Method;
use chassis::trace;
use proto::{
    drafter::{DraftSession, Open, Wish},
    model::Fingerprint,
};
use tracing::Instrument as _;

use crate::{
    drafters::Lease,
    lexicon::{Lexicon, LexiconError, Lexicons},
};

/// Longest time that a stream may take to open.
const LONGEST: Duration = Duration::from_secs(10);

/// A session, and the meaning of the ids that it sends, if it does, with the fingerprint of their vocabulary.
pub(super) type OpenSession = (DraftSession, Option<(Lexicon, Fingerprint)>);

/// A stream that is being opened.
pub(super) struct Opening {
    pub(super) lease: Lease,
    /// Wish that the drafter begins with.
    pub(super) first: Wish,
    /// Bytes of the reply that the drafter will know.
    pub(super) sent: usize,
    since: Instant,
    /// A round has waited for it already.
    pub(super) is_late: bool,
    pub(super) session: Pin<Box<dyn Future<Output = Result<OpenSession, LexiconError>> + Send>>,
}

impl Opening {
    /// Begins to open a session; nothing happens before `session` is polled.
    pub(super) fn new(lease: Lease, open: Open, method: Method, lexicons: Lexicons) -> Self {
        let mut client = lease.client();
        let (first, sent) = (open.first_wish(), open.committed.len());
        let session = async move {
            let mut open = open;
            let mut lexicon = None;
            if method.needs_ids() {
                let (read, fingerprint) = lexicons.of(method, client.clone()).await?;
                open.drawable = read.drawable(method);
                open.expected_fingerprint = Some(fingerprint);
                lexicon = Some((read, fingerprint));
            }
            Ok((client.draft(trace::request(open)).await?, lexicon))
        };
        Self {
            lease,
            first,
            sent,
            since: Instant::now(),
            is_late: false,
            session: Box::pin(session.in_current_span()),
        }
    }

    /// True if the stream should have opened long ago.
    pub(super) fn is_overdue(&self) -> bool {
        self.since.elapsed() > LONGEST
    }

    /// Moment until which a round waits for the stream, at most `wait` in all; `None` if one has waited already.
    pub(super) fn deadline(&self, wait: Duration) -> Option<Instant> {
        let patience = self.lease.opening_patience().min(wait);
        (!self.is_late).then(|| self.since + patience)
    }
}
