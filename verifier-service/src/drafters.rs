//! The configured drafters: the choice of one for a session, and what is known of each.
//!
//! A session takes a [`Lease`] and reports on it. Failures in a row open the drafter's breaker. A
//! health check asks each drafter for its description, so that sessions skip one that is gone.

mod breaker;
mod probe;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chassis::{channel, channel::AddressError, lifecycle::Lifecycle};
use pacing::{DeadlineOptions, Experience};
use proto::{
    ClientError,
    drafter::{Client, Opened},
    model::Fingerprint,
    verifier::{DrafterState, DrafterStatus, FallbackReason},
};
use tokio::sync::Notify;

use breaker::Breaker;

/// Weight of a new round trip in the EWMA.
const ROUND_TRIP_GAIN: f64 = 0.2;
/// Longest wait of a round for a stream to open, unless the shortest deadline is longer. Kept below
/// a plain round, so that a drafter that reads a long prompt delays nothing.
const OPENING: Duration = Duration::from_millis(20);

/// All drafters. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Drafters {
    all: Arc<[Arc<Drafter>]>,
}

#[derive(Debug)]
struct Drafter {
    address: String,
    client: Client,
    known: Mutex<Known>,
    /// Wakes the health check when a session finds the drafter gone.
    lost: Notify,
    /// Longest wait of a round for a stream to open. Not measured: it says nothing about blocks.
    opening: Duration,
}

/// Knowledge of a drafter.
#[derive(Debug)]
struct Known {
    reach: Reach,
    model: Option<String>,
    fingerprint: Option<Fingerprint>,
    /// Names of its methods; empty until it has described itself.
    methods: Vec<String>,
    breaker: Breaker,
    experience: Experience,
    round_trip: Option<Duration>,
    sessions: u32,
    last_error: Option<String>,
}

/// Outcome of the last attempt to reach a drafter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reach {
    NotTried,
    Reached,
    Lost,
    Incompatible,
}

/// Requirements of a session on a drafter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Method that it must know.
    pub(crate) method: &'a str,
    /// Fingerprint of the vocabulary that it must have; `None` for any.
    pub(crate) vocabulary: Option<Fingerprint>,
}

/// A session's hold on a drafter, which counts the session until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    drafter: Arc<Drafter>,
}

/// A drafter that is idle for a session.
#[derive(Clone, Debug)]
pub(crate) struct IdleDrafter {
    drafter: Arc<Drafter>,
}

/// Text of an error, with the field that broke the protocol.
pub(crate) fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Protocol(error) => format!("protocol broken: {error}"),
        error => error.to_string(),
    }
}

impl Drafters {
    /// Drafters at these addresses. Connects to none yet, but needs a runtime.
    pub(crate) fn new(
        addresses: &[String],
        deadline: DeadlineOptions,
    ) -> Result<Self, AddressError> {
        let drafter = |address: &String| {
            Ok(Arc::new(Drafter {
                address: address.clone(),
                client: Client::new(channel::lazy(address)?),
                known: Mutex::new(Known::new(deadline)),
                lost: Notify::new(),
                opening: OPENING.max(deadline.floor).min(deadline.cap),
            }))
        };
        let all: Result<_, _> = addresses.iter().map(drafter).collect();
        Ok(Self { all: all? })
    }

    /// Asks every drafter for its description, at once and regularly, until the process stops.
    pub(crate) fn probe(&self, lifecycle: &Lifecycle) {
        for drafter in self.all.iter() {
            let probing = probe::run(Arc::clone(drafter));
            let stopping = lifecycle.stopping().clone();
            lifecycle.tasks().spawn(async move {
                tokio::select! {
                    () = probing => {}
                    () = stopping.cancelled() => {}
                }
            });
        }
    }

    /// A drafter for a session. Of those that fit and are admitted by their breakers, the one with
    /// the fewest failures, then with the fewest sessions.
    pub(crate) fn lease(&self, wanted: Wanted<'_>) -> Result<Lease, FallbackReason> {
        let now = Instant::now();
        let fitting = self.all.iter().filter_map(|drafter| {
            let known = drafter.known();
            let order = (known.breaker.failures(), known.sessions);
            let fits = known.can_draft(wanted) && known.breaker.admits(now);
            fits.then_some((order, drafter))
        });
        if let Some((_, drafter)) = fitting.min_by_key(|(order, _)| *order) {
            let mut known = drafter.known();
            known.sessions += 1;
            known.breaker.began();
            drop(known);
            let drafter = Arc::clone(drafter);
            return Ok(Lease { drafter });
        }
        let mut left_alone = self.all.iter().map(|drafter| drafter.known());
        Err(if left_alone.any(|known| known.can_draft(wanted)) {
            FallbackReason::BreakerOpen
        } else {
            FallbackReason::NoDrafter
        })
    }

    /// True if a drafter that fits is reached and its breaker is closed.
    pub(crate) fn is_in_use(&self, wanted: Wanted<'_>) -> bool {
        self.all.iter().any(|drafter| {
            let known = drafter.known();
            let is_reached = known.reach == Reach::Reached && !known.breaker.is_open();
            is_reached && known.can_draft(wanted)
        })
    }

    /// Address and client of the drafter at `address`; if `None`, of the first ready one, or else
    /// of the first that is configured.
    pub(crate) fn find(&self, address: Option<&str>) -> Option<(String, Client)> {
        let in_use = |drafter: &&Arc<Drafter>| drafter.status().state == DrafterState::Ready;
        let found = match address {
            Some(address) => self.all.iter().find(|drafter| drafter.address == address),
            None => self.all.iter().find(in_use).or(self.all.first()),
        };
        found.map(|drafter| (drafter.address.clone(), drafter.client.clone()))
    }

    /// Status of each drafter, in the order of the configuration.
    pub(crate) fn status(&self) -> Vec<DrafterStatus> {
        self.all.iter().map(|drafter| drafter.status()).collect()
    }
}

impl Lease {
    /// The client of this drafter.
    pub(crate) fn client(&self) -> Client {
        self.drafter.client.clone()
    }

    /// Notes that a session was opened.
    pub(crate) fn opened(&self, opened: &Opened) {
        let mut known = self.drafter.known();
        known.reach = Reach::Reached;
        known.model = Some(opened.model.clone());
        known.fingerprint = Some(opened.tokenizer_fingerprint);
    }

    /// Notes the fingerprint of its vocabulary.
    pub(crate) fn described(&self, vocabulary: Fingerprint) {
        self.drafter.known().fingerprint = Some(vocabulary);
    }

    /// Notes a success, which closes the breaker.
    pub(crate) fn succeeded(&self) {
        self.drafter.known().breaker.succeeded();
    }

    /// Lower bound of a block's latency: its compute time and a round trip. For blocks of probes,
    /// whose latency is not measured.
    pub(crate) fn least_latency(&self, compute: Duration) -> Duration {
        compute + self.drafter.known().round_trip.unwrap_or_default()
    }

    /// Reads or updates what sessions have seen of the drafter.
    pub(crate) fn learn<T>(&self, of: impl FnOnce(&mut Experience) -> T) -> T {
        of(&mut self.drafter.known().experience)
    }

    /// The drafter without a hold on it, for an idle session.
    pub(crate) fn idle(&self) -> IdleDrafter {
        IdleDrafter {
            drafter: Arc::clone(&self.drafter),
        }
    }

    /// Longest wait of a round for a stream to open.
    pub(crate) fn opening_patience(&self) -> Duration {
        self.drafter.opening
    }

    /// Notes a failure of the drafter, which may open the breaker.
    pub(crate) fn failed(&self, why: &str) {
        let mut known = self.drafter.known();
        known.breaker.failed(Instant::now());
        known.last_error = Some(why.to_owned());
        let open = known.breaker.is_open();
        drop(known);
        tracing::warn!(
            address = self.drafter.address,
            why,
            open,
            "drafter has failed"
        );
    }

    /// Notes that the drafter is gone or stopping. The health check notices when it is back.
    pub(crate) fn lost(&self, why: &str) {
        let mut known = self.drafter.known();
        known.reach = Reach::Lost;
        known.last_error = Some(why.to_owned());
        drop(known);
        self.drafter.lost.notify_one();
        tracing::warn!(address = self.drafter.address, why, "drafter is lost");
    }
}

impl IdleDrafter {
    /// Reads or updates what sessions have seen of the drafter.
    pub(crate) fn learn<T>(&self, of: impl FnOnce(&mut Experience) -> T) -> T {
        of(&mut self.drafter.known().experience)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut known = self.drafter.known();
        known.sessions = known.sessions.saturating_sub(1);
        known.breaker.ended();
    }
}

impl Drafter {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> DrafterStatus {
        let known = self.known();
        let state = match known.reach {
            Reach::Incompatible => DrafterState::Incompatible,
            Reach::Lost => DrafterState::Unreachable,
            _ if known.breaker.is_open() => DrafterState::BreakerOpen,
            Reach::NotTried => DrafterState::Connecting,
            Reach::Reached => DrafterState::Ready,
        };
        DrafterStatus {
            address: self.address.clone(),
            state,
            model: known.model.clone(),
            tokenizer_fingerprint: known.fingerprint,
            round_trip: known.round_trip,
            sessions: known.sessions,
            last_error: known.last_error.clone(),
        }
    }
}

impl Known {
    fn new(deadline: DeadlineOptions) -> Self {
        Self {
            reach: Reach::NotTried,
            model: None,
            fingerprint: None,
            methods: Vec::new(),
            breaker: Breaker::new(),
            experience: Experience::new(deadline),
            round_trip: None,
            sessions: 0,
            last_error: None,
        }
    }

    /// True if the drafter fits, as far as is known: the unknown is worth a try.
    fn can_draft(&self, wanted: Wanted<'_>) -> bool {
        let knows =
            self.methods.is_empty() || self.methods.iter().any(|known| known == wanted.method);
        let other = |wanted| self.fingerprint.is_some_and(|found| found != wanted);
        let speaks = !wanted.vocabulary.is_some_and(other);
        knows && speaks && matches!(self.reach, Reach::NotTried | Reach::Reached)
    }

    fn observe_round_trip(&mut self, latest: Duration) {
        self.round_trip = Some(self.round_trip.map_or(latest, |mean| {
            mean.mul_f64(1.0 - ROUND_TRIP_GAIN) + latest.mul_f64(ROUND_TRIP_GAIN)
        }));
    }
}

#[cfg(test)]
mod tests;
