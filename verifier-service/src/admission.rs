//! Admission: a limit on requests at once, without a queue, and a time to retry for those refused.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Weight of the latest request in the EWMA of durations.
const GAIN: f64 = 0.2;
/// Shortest and longest time after which a refused client may retry, in seconds.
const RETRY: std::ops::RangeInclusive<f64> = 1.0..=60.0;

/// Count of requests in progress. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    admitted: AtomicUsize,
    /// EWMA of the duration of a request, in seconds.
    mean_seconds: Mutex<f64>,
}

/// Room for one request, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    shared: Arc<Shared>,
    since: Instant,
}

impl Admission {
    pub(crate) fn new(limit: usize) -> Self {
        let shared = Shared {
            limit,
            admitted: AtomicUsize::new(0),
            mean_seconds: Mutex::new(*RETRY.start()),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Permit for one more request, or the time after which there may be one.
    pub(crate) fn admit(&self) -> Result<Permit, Duration> {
        let limit = self.shared.limit;
        let room = |admitted| (admitted < limit).then_some(admitted + 1);
        let admitted = self
            .shared
            .admitted
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room);
        match admitted {
            Ok(_) => Ok(Permit {
                shared: Arc::clone(&self.shared),
                since: Instant::now(),
            }),
            Err(_) => Err(self.retry_after()),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.shared.limit
    }

    pub(crate) fn in_progress(&self) -> usize {
        self.shared.admitted.load(Ordering::Acquire)
    }

    /// Expected time until a place is free: the mean duration of a request, divided by the places.
    fn retry_after(&self) -> Duration {
        let mean = *self.shared.lock();
        let seconds = mean / self.shared.limit as f64;
        Duration::from_secs_f64(seconds.clamp(*RETRY.start(), *RETRY.end()).ceil())
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, f64> {
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
        self.shared.admitted.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_free_again_when_its_permit_is_dropped() {
        let admission = Admission::new(2);
        let first = admission.admit().unwrap();
        let second = admission.admit().unwrap();
        assert_eq!(admission.in_progress(), 2);
        assert_eq!(admission.admit().unwrap_err(), Duration::from_secs(1));
        drop(first);
        assert!(admission.admit().is_ok());
        drop(second);
        assert_eq!(admission.in_progress(), 0);
    }
}
