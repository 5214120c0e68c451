//! Search for stop strings, byte by byte, so that no cut of the text changes where a reply ends.

/// Search for stop strings in a text that arrives in parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopScanner {
    stops: Vec<Vec<u8>>,
    /// The last bytes of the text, at least as many as the longest stop string has.
    recent: Vec<u8>,
    longest: usize,
    /// Bytes of the text so far.
    length: usize,
}

/// A stop string in the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StopMatch {
    /// Index of the stop string.
    pub(crate) stop: usize,
    /// Byte of the text at which it starts.
    pub(crate) start: usize,
    /// Byte after its last.
    pub(crate) end: usize,
}

impl StopScanner {
    /// Scanner at the start of a text. No stop string may be empty.
    pub(crate) fn new(stops: &[String]) -> Self {
        let stops: Vec<Vec<u8>> = stops.iter().map(|stop| stop.clone().into_bytes()).collect();
        let longest = stops.iter().map(Vec::len).max().unwrap_or(0);
        Self {
            stops,
            longest,
            ..Self::default()
        }
    }

    /// Takes in the next bytes, up to the first stop string that ends in them. Of several that end
    /// at one byte, the one that begins first is found.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<StopMatch> {
        if self.longest == 0 {
            self.length += bytes.len();
            return None;
        }
        for byte in bytes {
            self.recent.push(*byte);
            self.length += 1;
            let complete = |(index, stop): (usize, &Vec<u8>)| {
                self.recent.ends_with(stop).then_some((stop.len(), index))
            };
            let found = self.stops.iter().enumerate().filter_map(complete);
            // The longest of those that end here begins first; of equals the first in the list.
            if let Some((len, stop)) = found.rev().max_by_key(|(len, _)| *len) {
                let (start, end) = (self.length - len, self.length);
                return Some(StopMatch { stop, start, end });
            }
        }
        let surplus = self.recent.len().saturating_sub(4 * self.longest);
        if surplus > 0 {
            self.recent.drain(..surplus + 3 * self.longest);
        }
        None
    }

    /// Takes in bytes at which no stop string may end.
    pub(crate) fn pass_over(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        while self
            .push(&bytes[bytes.len() - (end - self.length)..])
            .is_some()
        {}
    }

    /// Bytes of the text so far.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Length of the text's suffix that may become a stop string, in bytes.
    pub(crate) fn withheld(&self) -> usize {
        let begun = |stop: &Vec<u8>| {
            let lengths = (1..stop.len()).rev();
            let mut begun = lengths.filter(|len| self.recent.ends_with(&stop[..*len]));
            begun.next().unwrap_or(0)
        };
        self.stops.iter().map(begun).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner(stops: &[&str]) -> StopScanner {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        StopScanner::new(&stops)
    }

    /// Stop string found in a text pushed in parts of `size` bytes, and where it starts.
    fn end(stops: &[&str], text: &str, size: usize) -> Option<(usize, usize)> {
        let mut scanner = scanner(stops);
        let mut parts = text.as_bytes().chunks(size);
        let found = parts.find_map(|part| scanner.push(part))?;
        Some((found.stop, found.start))
    }

    #[test]
    fn stop_string_that_is_passed_over_hides_none_of_the_text() {
        let mut scanner = scanner(&["a", "bc"]);
        scanner.pass_over(b"banana b");
        assert_eq!((scanner.length(), scanner.withheld()), (8, 1));
        let (stop, start, end) = (1, 7, 9);
        assert_eq!(scanner.push(b"c"), Some(StopMatch { stop, start, end }));
    }

    #[test]
    fn parts_do_not_change_where_a_text_ends() {
        type Case = (
            &'static [&'static str],
            &'static str,
            Option<(usize, usize)>,
        );
        let cases: [Case; 7] = [
            (&["END"], "some text END more", Some((0, 10))),
            (&["\n\n"], "a\nb\n\n\nc", Some((0, 3))),
            (&["abcd", "bc"], "xabcd", Some((1, 2))),
            (&["bc", "abc"], "xabc", Some((1, 1))),
            (&["aab"], "aaaab", Some((0, 2))),
            (&["é"], "caf\u{e9}", Some((0, 3))),
            (&["never"], "neve nev", None),
        ];
        for (stops, text, expected) in cases {
            for size in 1..=text.len() {
                assert_eq!(end(stops, text, size), expected, "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn beginning_of_a_stop_string_is_withheld_and_nothing_else() {
        for (text, expected) in [("", 0), ("ab", 2), ("xxa", 1), ("abc", 0), ("aab", 2)] {
            let mut scanner = scanner(&["abx", "q"]);
            assert_eq!(scanner.push(text.as_bytes()), None);
            assert_eq!(scanner.withheld(), expected, "{text:?}");
        }
        assert_eq!(scanner(&[]).withheld(), 0);
    }

    #[test]
    fn memory_stays_bounded_and_places_count_from_the_start() {
        let mut scanner = scanner(&["stop"]);
        for _ in 0..10_000 {
            assert_eq!(scanner.push(b"sto sto"), None);
            assert!(scanner.recent.len() <= 32);
        }
        let start = 70_000;
        assert_eq!(
            scanner.push(b"stop"),
            Some(StopMatch {
                stop: 0,
                start,
                end: start + 4
            })
        );
    }
}
