//! The drafters that the configuration names: which one a session gets, and what is known of each.
//!
//! A session takes a [`Lease`] and reports on it. Sessions that fail in a row open the drafter's breaker; a probe asks each
//! drafter for its description from time to time, so that one that is gone is not tried and one that is back is.

mod breaker;
mod probe;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chassis::{channel, channel::AddressError, lifecycle::Lifecycle};
use pacing::{
    deadline::{self, RoundLatency},
    goodput::{
        DraftCost, Outcome, Rests, Survival,
        alternatives::{Hits, Tried},
    },
};
use proto::{
    ClientError,
    drafter::{Client, Opened},
    model::Fingerprint,
    verifier::{DrafterState, DrafterStatus, FallbackReason},
};
use tokio::sync::Notify;

use breaker::Breaker;

/// Weight of a new round trip in the mean.
const ROUND_TRIP_GAIN: f64 = 0.2;
/// How long a round waits for a stream to open, where the shortest deadline is not longer: less than a plain round takes that the
/// drafter's reading of a long prompt should not hold up.
const OPENING: Duration = Duration::from_millis(20);
/// A block may take so many times what its length lets expect.
const SLACK: f64 = 2.0;

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
    /// Wakes the probe when a session finds the drafter gone.
    lost: Notify,
    /// How long a round may wait for a stream to open. Says nothing about how fast blocks come, so it is not measured.
    opening: Duration,
    /// The least that a round waits for a block that is due.
    floor: Duration,
}

/// What is known of a drafter.
#[derive(Debug)]
struct Known {
    reach: Reach,
    model: Option<String>,
    fingerprint: Option<Fingerprint>,
    /// Names of its methods; empty while it was never reached.
    methods: Vec<String>,
    breaker: Breaker,
    latency: RoundLatency,
    experience: Experience,
    rests: Rests,
    round_trip: Option<Duration>,
    sessions: u32,
    last_error: Option<String>,
}

/// What the last attempt to reach a drafter came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reach {
    NotTried,
    Reached,
    Lost,
    Incompatible,
}

/// What sessions have seen of a drafter, for those that come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Experience {
    pub(crate) survival: Survival,
    pub(crate) cost: DraftCost,
    pub(crate) hits: Hits,
}

/// What a session needs of a drafter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// A method that it knows.
    pub(crate) method: &'a str,
    /// The vocabulary that it must have; `None`: any.
    pub(crate) vocabulary: Option<Fingerprint>,
}

/// A session's hold on a drafter. Dropping it ends the session's count.
#[derive(Debug)]
pub(crate) struct Lease {
    drafter: Arc<Drafter>,
}

/// A drafter of which a session wants nothing for now. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    drafter: Arc<Drafter>,
}

/// What went wrong, with the field that did.
pub(crate) fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Protocol(error) => format!("protocol broken: {error}"),
        error => error.to_string(),
    }
}

impl Drafters {
    /// Connects to nothing yet; to be called on a runtime.
    pub(crate) fn new(
        addresses: &[String],
        deadline: deadline::Options,
    ) -> Result<Self, AddressError> {
        let drafter = |address: &String| {
            Ok(Arc::new(Drafter {
                address: address.clone(),
                client: Client::new(channel::lazy(address)?),
                known: Mutex::new(Known::new(deadline)),
                lost: Notify::new(),
                opening: OPENING.max(deadline.floor).min(deadline.cap),
                floor: deadline.floor,
            }))
        };
        let all: Result<_, _> = addresses.iter().map(drafter).collect();
        Ok(Self { all: all? })
    }

    /// Asks every drafter what it is, now and from time to time, until the process stops.
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

    /// The drafter for a session: of those that can be reached, fit and are not left alone, the one with the fewest failures,
    /// then with the fewest sessions.
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

    /// Whether a drafter that fits is in use now.
    pub(crate) fn is_in_use(&self, wanted: Wanted<'_>) -> bool {
        self.all.iter().any(|drafter| {
            let known = drafter.known();
            let is_reached = known.reach == Reach::Reached && !known.breaker.is_open();
            is_reached && known.can_draft(wanted)
        })
    }

    /// Address and client of the drafter at `address`; of the first one in use, else of the first, where it is `None`.
    pub(crate) fn find(&self, address: Option<&str>) -> Option<(String, Client)> {
        let in_use = |drafter: &&Arc<Drafter>| drafter.status().state == DrafterState::Ready;
        let found = match address {
            Some(address) => self.all.iter().find(|drafter| drafter.address == address),
            None => self.all.iter().find(in_use).or(self.all.first()),
        };
        found.map(|drafter| (drafter.address.clone(), drafter.client.clone()))
    }

    /// What `Describe` and the metrics say of each, in the order of the configuration.
    pub(crate) fn status(&self) -> Vec<DrafterStatus> {
        self.all.iter().map(|drafter| drafter.status()).collect()
    }
}

impl Lease {
    /// The client of this drafter.
    pub(crate) fn client(&self) -> Client {
        self.drafter.client.clone()
    }

    /// The session is open.
    pub(crate) fn opened(&self, opened: &Opened) {
        let mut known = self.drafter.known();
        known.reach = Reach::Reached;
        known.model = Some(opened.model.clone());
        known.fingerprint = Some(opened.tokenizer_fingerprint);
    }

    /// Its vocabulary has this fingerprint.
    pub(crate) fn described(&self, vocabulary: Fingerprint) {
        self.drafter.known().fingerprint = Some(vocabulary);
    }

    /// A block of so many tokens came that could be used, so long after it was due to be drafted; `None` for the first.
    pub(crate) fn delivered(&self, tokens: usize, compute: Duration, latency: Option<Duration>) {
        let mut known = self.drafter.known();
        if let Some(latency) = latency {
            known.latency.observe(latency);
        }
        known.experience.cost.observe(tokens, compute, latency);
        known.breaker.succeeded();
    }

    /// What a block came to, and its alternatives.
    pub(crate) fn judged(&self, outcome: Outcome, tried: &Tried) {
        let Outcome {
            skipped,
            drafted,
            stood,
            ..
        } = outcome;
        self.tried(skipped + drafted, skipped + stood);
        self.drafter.known().experience.hits.observe(tried);
    }

    /// The block of a trial came, of so many tokens. Gives how long such a block takes at least: what came meanwhile was verdicts, so
    /// that nobody knows how long this one took.
    pub(crate) fn tried_out(&self, tokens: usize, compute: Duration) -> Duration {
        let mut known = self.drafter.known();
        let latency = compute + known.round_trip.unwrap_or_default();
        known.experience.cost.tried(tokens, compute, latency);
        known.breaker.succeeded();
        latency
    }

    /// Of so many tokens that it proposed, so many are what the target said without having seen them.
    pub(crate) fn tried(&self, drafted: usize, stood: usize) {
        let mut known = self.drafter.known();
        known.experience.survival.observe_shared(drafted, stood);
    }

    /// What is known before a session has seen anything itself.
    pub(crate) fn experience(&self) -> Experience {
        let known = self.drafter.known();
        Experience {
            survival: known.experience.survival.inherited(),
            cost: known.experience.cost,
            hits: known.experience.hits.inherited(),
        }
    }

    /// What a session has of this drafter that wants nothing of it for now.
    pub(crate) fn rest(&self) -> Rest {
        Rest {
            drafter: Arc::clone(&self.drafter),
        }
    }

    /// A block came too late to be used.
    pub(crate) fn delivered_late(&self, latency: Duration) {
        self.drafter.known().latency.observe(latency);
    }

    /// How long to wait for a stream to open.
    pub(crate) fn opening_patience(&self) -> Duration {
        self.drafter.opening
    }

    /// How long to wait for the next block, which is to have so many tokens.
    pub(crate) fn patience(&self, tokens: u32) -> Duration {
        let known = self.drafter.known();
        let expected = known.experience.cost.wait(f64::from(tokens));
        let expected = Duration::try_from_secs_f64(SLACK * expected).unwrap_or_default();
        known.latency.wait_at_least(expected)
    }

    /// How long to wait for the next block of a drafter that had nothing to propose before: a moment, and not at all for one
    /// that takes longer than that anyway. What comes later may still be of use to the next round.
    pub(crate) fn brief_patience(&self) -> Duration {
        let known = self.drafter.known();
        let mean = known.latency.mean().unwrap_or_default();
        let floor = self.drafter.floor;
        if mean > floor { Duration::ZERO } else { floor }
    }

    /// The session ends, and the drafter is why.
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

    /// The drafter cannot be reached, or is stopping; the probe will tell when it is back.
    pub(crate) fn lost(&self, why: &str) {
        let mut known = self.drafter.known();
        known.reach = Reach::Lost;
        known.last_error = Some(why.to_owned());
        drop(known);
        self.drafter.lost.notify_one();
        tracing::warn!(address = self.drafter.address, why, "drafter is lost");
    }
}

impl Rest {
    /// Counts a plain round. Whether it is this session's turn to try the drafter.
    pub(crate) fn pass(&self) -> bool {
        self.drafter.known().rests.pass()
    }

    /// Counts a trial: whether the session drafts from now on.
    pub(crate) fn tried(&self, drafts: bool) {
        self.drafter.known().rests.tried(drafts);
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
    fn new(deadline: deadline::Options) -> Self {
        Self {
            reach: Reach::NotTried,
            model: None,
            fingerprint: None,
            methods: Vec::new(),
            breaker: Breaker::new(),
            latency: RoundLatency::new(deadline),
            experience: Experience::default(),
            rests: Rests::default(),
            round_trip: None,
            sessions: 0,
            last_error: None,
        }
    }

    /// What is not known yet is worth a try.
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
