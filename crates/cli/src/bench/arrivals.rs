//! Many requests: a fixed number in progress, or random arrivals.

use std::time::{Duration, Instant};

use oorandom::Rand64;
use proto::verifier::{Client, Generate};
use tokio::task::JoinSet;

use super::experiment::OfferedLoad;
use super::reply::MeasuredReply;

/// Replies in the order of their requests, and the time until the last one ended.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) replies: Vec<MeasuredReply>,
    pub(super) took: Duration,
}

/// Sends the requests under this load. Equal seeds give equal arrival times.
pub(super) async fn ask(
    client: &Client,
    requests: Vec<Generate>,
    load: OfferedLoad,
    seed: u64,
) -> anyhow::Result<Batch> {
    let began = Instant::now();
    let count = requests.len();
    let mut replies = vec![None; count];
    let mut waiting = requests.into_iter().enumerate();
    let mut asked = JoinSet::new();
    let mut start = |asked: &mut JoinSet<_>, after: Duration| {
        let Some((index, request)) = waiting.next() else {
            return;
        };
        let mut client = client.clone();
        asked.spawn(async move {
            let due = match load {
                // A request of a fixed number is due once an earlier one has ended.
                OfferedLoad::AtOnce(_) => Instant::now(),
                OfferedLoad::Arriving(_) => began + after,
            };
            tokio::time::sleep_until(due.into()).await;
            (index, MeasuredReply::take(&mut client, request, due).await)
        });
    };
    match load {
        OfferedLoad::AtOnce(most) => (0..most).for_each(|_| start(&mut asked, Duration::ZERO)),
        OfferedLoad::Arriving(rate) => {
            let times = arrivals(count, rate, seed).into_iter();
            times.for_each(|after| start(&mut asked, after));
        }
    }
    while let Some(joined) = asked.join_next().await {
        let (index, reply) = joined?;
        replies[index] = Some(reply?);
        start(&mut asked, Duration::ZERO);
    }
    Ok(Batch {
        replies: replies.into_iter().flatten().collect(),
        took: began.elapsed(),
    })
}

/// Arrival times of a Poisson process: gaps are independent and exponential, `rate` arrivals a second on average.
fn arrivals(count: usize, rate: f64, seed: u64) -> Vec<Duration> {
    let mut random = Rand64::new(u128::from(seed));
    let mut at = 0.0;
    let next = |_| {
        // From 0 up to but not including 1, so that the logarithm is finite.
        at -= (1.0 - random.rand_float()).ln() / rate;
        Duration::from_secs_f64(at)
    };
    (0..count).map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_at_the_rate_asked_for_and_the_same_for_a_seed() {
        let times = arrivals(10_000, 4.0, 7);
        assert_eq!(times, arrivals(10_000, 4.0, 7));
        assert_ne!(times, arrivals(10_000, 4.0, 8));
        assert!(times.is_sorted());
        // The sum of 10,000 gaps has a standard deviation of 1 % of its mean.
        let last = times.last().unwrap().as_secs_f64();
        assert!((2_400.0..2_600.0).contains(&last), "{last}");
        // Exponential: a share of e^-1 of the gaps is longer than the mean.
        let gaps = times
            .windows(2)
            .map(|pair| pair[1].as_secs_f64() - pair[0].as_secs_f64());
        let long = gaps.filter(|gap| *gap > 0.25).count();
        assert!((3_500..3_860).contains(&long), "{long}");
    }
}
