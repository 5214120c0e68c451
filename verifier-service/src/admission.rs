//! Admission: a limit on requests at once, a bounded queue for those that find no place, and a time to retry for those refused.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Weight of the latest request in the EWMA of durations.
const GAIN: f64 = 0.2;
/// Shortest and longest time after which a refused client may retry, in seconds.
const RETRY: std::ops::RangeInclusive<f64> = 1.0..=60.0;

/// Limits on requests at once.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// Requests in progress.
    pub in_progress: usize,
    /// Requests that wait for a place; 0: none waits.
    pub waiting: usize,
    /// Longest wait for a place.
    pub patience: Duration,
}

/// Requests in progress and waiting. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: AdmissionLimits,
    /// Free places; first come, first served.
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// EWMA of the duration of a request, in seconds.
    mean_seconds: Mutex<f64>,
}

/// Place of one request, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    shared: Arc<Shared>,
    since: Instant,
    _place: OwnedSemaphorePermit,
}

/// Requests in the queue, until it is dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    count: usize,
}

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits) -> Self {
        let shared = Shared {
            limits,
            places: Arc::new(Semaphore::new(limits.in_progress)),
            waiting: AtomicUsize::new(0),
            mean_seconds: Mutex::new(*RETRY.start()),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Permits for `count` requests that begin together, or the time after which there may be as many. Waits in the queue if it
    /// has room. All are given at once: requests that each held some of their places could wait for each other.
    pub(crate) async fn admit(&self, count: usize) -> Result<Vec<Permit>, Duration> {
        let shared = &self.shared;
        let size = u32::try_from(count).map_err(|_| self.retry_after())?;
        if count > shared.limits.in_progress {
            return Err(self.retry_after());
        }
        if let Ok(places) = Arc::clone(&shared.places).try_acquire_many_owned(size) {
            return Ok(self.permits(places, count));
        }
        let _waiting = self.wait(count).ok_or_else(|| self.retry_after())?;
        let places = Arc::clone(&shared.places).acquire_many_owned(size);
        match timeout(shared.limits.patience, places).await {
            Ok(Ok(places)) => Ok(self.permits(places, count)),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(self.retry_after()),
        }
    }

    /// Limit on requests in progress.
    pub(crate) fn limit(&self) -> usize {
        self.shared.limits.in_progress
    }

    pub(crate) fn in_progress(&self) -> usize {
        self.limit() - self.shared.places.available_permits()
    }

    /// Requests that wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    fn permits(&self, mut places: OwnedSemaphorePermit, count: usize) -> Vec<Permit> {
        let since = Instant::now();
        let mut permits = Vec::with_capacity(count);
        while let Some(place) = places.split(1) {
            permits.push(Permit {
                shared: Arc::clone(&self.shared),
                since,
                _place: place,
            });
        }
        permits
    }

    /// Room in the queue, if there is any.
    fn wait(&self, count: usize) -> Option<Waiting<'_>> {
        let shared = &self.shared;
        let room = |waiting| Some(waiting + count).filter(|sum| *sum <= shared.limits.waiting);
        let waits = shared
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        waits.ok().map(|_| Waiting { shared, count })
    }

    /// Expected time until there is room: the mean duration of a request, for those that wait and one more, divided by the places.
    fn retry_after(&self) -> Duration {
        let mean = *self.shared.lock();
        let rounds = (1 + self.waiting()) as f64 / self.limit() as f64;
        let seconds = mean * rounds;
        Duration::from_secs_f64(seconds.clamp(*RETRY.start(), *RETRY.end()).ceil())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, f64> {
        self.mean_seconds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let took = self.since.elapsed().as_secs_f64();
        let mut mean = self.shared.lock();
        *mean += GAIN * (took - *mean);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    fn admission(waiting: usize) -> Admission {
        Admission::new(AdmissionLimits {
            in_progress: 2,
            waiting,
            patience: Duration::from_secs(10),
        })
    }

    #[tokio::test]
    async fn place_is_free_again_when_its_permit_is_dropped() {
        let admission = admission(0);
        let first = admission.admit(1).await.unwrap();
        let second = admission.admit(1).await.unwrap();
        assert_eq!(admission.in_progress(), 2);
        let retry = admission.admit(1).await.unwrap_err();
        assert_eq!(retry, Duration::from_secs(1));
        drop(first);
        assert_eq!(admission.admit(1).await.unwrap().len(), 1);
        drop(second);
        assert_eq!(admission.in_progress(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn queue_is_served_in_order_and_has_a_limit_and_a_deadline() {
        let admission = admission(2);
        let held = admission.admit(2).await.unwrap();
        let mut tasks = JoinSet::new();
        let waits = |tasks: &mut JoinSet<_>, count| {
            let admission = admission.clone();
            tasks.spawn(async move { admission.admit(count).await });
        };
        waits(&mut tasks, 2);
        tokio::task::yield_now().await;
        assert_eq!(admission.waiting(), 2);
        assert!(admission.admit(1).await.is_err(), "the queue is full");
        drop(held);
        let pair = tasks.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!((pair.len(), admission.waiting()), (2, 0));
        let began = tokio::time::Instant::now();
        waits(&mut tasks, 1);
        assert!(tasks.join_next().await.unwrap().unwrap().is_err());
        assert_eq!(began.elapsed(), Duration::from_secs(10));
        assert_eq!(admission.waiting(), 0);
    }

    #[tokio::test]
    async fn request_that_gives_up_leaves_the_queue() {
        let admission = admission(1);
        let held = admission.admit(2).await.unwrap();
        let mut tasks = JoinSet::new();
        let gives_up = admission.clone();
        tasks.spawn(async move { gives_up.admit(1).await });
        tokio::task::yield_now().await;
        assert_eq!(admission.waiting(), 1);
        tasks.shutdown().await;
        assert_eq!(admission.waiting(), 0);
        drop(held);
        assert_eq!(admission.admit(2).await.unwrap().len(), 2);
    }
}
