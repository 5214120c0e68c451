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

/// A session, and for methods that send ids their lexicon and its vocabulary's fingerprint.
pub(super) type OpenSession = (DraftSession, Option<(Lexicon, Fingerprint)>);

/// A stream that is being opened.
pub(super) struct Opening {
    pub(super) lease: Lease,
    /// Wish for the first block.
    pub(super) first: Wish,
    /// Number of the reply's bytes that `Open` has.
    pub(super) sent: usize,
    since: Instant,
    /// True if a round has already waited for the stream in vain.
    pub(super) is_late: bool,
    pub(super) session: Pin<Box<dyn Future<Output = Result<OpenSession, LexiconError>> + Send>>,
}

impl Opening {
    /// Opening of a session. Nothing happens before `session` is polled.
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

    /// True if opening takes longer than allowed.
    pub(super) fn is_overdue(&self) -> bool {
        self.since.elapsed() > LONGEST
    }

    /// Deadline of a round for the stream, at most `wait` after opening began; `None` after a miss.
    pub(super) fn deadline(&self, wait: Duration) -> Option<Instant> {
        let patience = self.lease.opening_patience().min(wait);
        (!self.is_late).then(|| self.since + patience)
    }
}
