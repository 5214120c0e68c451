//! Assignment of processors to the two services.
//!
//! A thread passes its processors on to the threads it starts. A service started on a pinned thread therefore stays there with
//! all its threads: those of its model, its runtime and its connections.

use std::io;

/// Processors of each service; no processor belongs to both.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Assignment {
    pub(super) verifier: Vec<usize>,
    pub(super) drafter: Vec<usize>,
}

/// `threads` processors for each service, on different cores while there are enough; none if this process may use fewer or the
/// system does not report them.
pub(super) fn assign(threads: usize) -> Option<Assignment> {
    choose(&allowed(), core_of, threads)
}

fn choose(
    allowed: &[usize],
    core_of: impl Fn(usize) -> usize,
    threads: usize,
) -> Option<Assignment> {
    let (mut chosen, mut siblings) = (Vec::new(), Vec::new());
    let mut cores = Vec::new();
    for &processor in allowed {
        let core = core_of(processor);
        if cores.contains(&core) {
            siblings.push(processor);
        } else {
            cores.push(core);
            chosen.push(processor);
        }
    }
    chosen.append(&mut siblings);
    chosen.truncate(2 * threads);
    let drafter = (chosen.len() == 2 * threads).then(|| chosen.split_off(threads))?;
    Some(Assignment {
        verifier: chosen,
        drafter,
    })
}

/// Processors that this process may use, in ascending order; empty where the system does not report them.
#[cfg(target_os = "linux")]
fn allowed() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else {
        return Vec::new();
    };
    let all = 0..rustix::thread::CpuSet::MAX_CPU;
    all.filter(|&processor| set.is_set(processor)).collect()
}

/// Lowest processor on the same core.
#[cfg(target_os = "linux")]
fn core_of(processor: usize) -> usize {
    let folder = format!("/sys/devices/system/cpu/cpu{processor}/topology");
    let siblings = std::fs::read_to_string(format!("{folder}/thread_siblings_list"));
    let siblings = siblings.unwrap_or_default();
    let lowest = siblings.split(|c: char| !c.is_ascii_digit()).next();
    lowest
        .and_then(|text| text.parse().ok())
        .unwrap_or(processor)
}

/// Pins this thread, and those that it starts from now on, to `processors`.
#[cfg(target_os = "linux")]
pub(super) fn pin(processors: &[usize]) -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    for &processor in processors {
        set.set(processor);
    }
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> Vec<usize> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
fn core_of(processor: usize) -> usize {
    processor
}

/// Never called: without a list of processors nothing is assigned.
#[cfg(not(target_os = "linux"))]
pub(super) fn pin(_: &[usize]) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_share_no_core_while_there_are_enough() {
        let assigned = |allowed: &[usize], threads| {
            // Two processors a core: 0 and 1, 2 and 3, ...
            choose(allowed, |processor| processor / 2, threads)
                .map(|chosen| (chosen.verifier, chosen.drafter))
        };
        let all: Vec<usize> = (0..8).collect();
        assert_eq!(assigned(&all, 1), Some((vec![0], vec![2])));
        assert_eq!(assigned(&all, 2), Some((vec![0, 2], vec![4, 6])));
        assert_eq!(assigned(&all, 3), Some((vec![0, 2, 4], vec![6, 1, 3])));
        assert_eq!(assigned(&[5, 7], 1), Some((vec![5], vec![7])));
        assert_eq!(assigned(&[0, 1], 1), Some((vec![0], vec![1])));
        assert_eq!(assigned(&[3], 1), None);
        assert_eq!(assigned(&[], 1), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn pinned_thread_and_its_children_stay_on_their_processors() {
        let last = allowed().pop().unwrap();
        let thread = std::thread::spawn(move || {
            pin(&[last]).unwrap();
            std::thread::spawn(allowed).join().unwrap()
        });
        assert_eq!(thread.join().unwrap(), [last]);
    }
}
