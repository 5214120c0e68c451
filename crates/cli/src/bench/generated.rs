//! Generated prompts, the same on every machine: long texts to repeat, and random words to continue.

use std::fmt::Write as _;

use proto::{model::Prompt, verifier::GrammarRule};

use super::task::{Task, question};

/// Length in bytes of a text to repeat, and of one to continue.
const REPEATED_BYTES: usize = 3_000;
const WORDS_BYTES: usize = 1_000;

const NAMES: [&str; 16] = [
    "Amara", "Bogdan", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jonas",
    "Katya", "Liam", "Mei", "Nadia", "Oskar", "Priya",
];
const THINGS: [&str; 16] = [
    "lantern",
    "ledger",
    "compass",
    "bicycle",
    "kettle",
    "violin",
    "ladder",
    "blanket",
    "barrel",
    "telescope",
    "basket",
    "hammer",
    "mirror",
    "anchor",
    "parcel",
    "window",
];
const PLACES: [&str; 16] = [
    "harbour",
    "library",
    "orchard",
    "station",
    "bakery",
    "museum",
    "workshop",
    "garden",
    "market",
    "lighthouse",
    "tower",
    "bridge",
    "chapel",
    "quarry",
    "stable",
    "archive",
];
const VERBS: [&str; 8] = [
    "carried", "found", "repaired", "sold", "painted", "hid", "measured", "borrowed",
];

/// Schema of the facts of a sentence.
const FACTS: &str = r#"{
    "type": "object",
    "properties": {
        "day_of_the_year": {"type": "integer"},
        "acting_person": {"type": "string"},
        "action": {"type": "string"},
        "object_acted_on": {"type": "string"},
        "place_of_the_object": {"type": "string"},
        "watching_person": {"type": "string"},
        "place_of_the_watching_person": {"type": "string"}
    },
    "required": [
        "day_of_the_year", "acting_person", "action", "object_acted_on", "place_of_the_object", "watching_person",
        "place_of_the_watching_person"
    ],
    "additionalProperties": false
}"#;

/// `count` requests to repeat a text, of three kinds by turns.
pub(super) fn repetitions(count: usize) -> Vec<Task> {
    let task = |number: usize| {
        let mut numbers = Numbers::stream(number as u64);
        let (kind, line): (_, fn(&mut Numbers, usize) -> String) = match number % 3 {
            0 => ("prose", sentence),
            1 => ("records", record),
            _ => ("code", function),
        };
        let mut text = String::new();
        for line_number in 1.. {
            text.push_str(&line(&mut numbers, line_number));
            if text.len() >= REPEATED_BYTES {
                break;
            }
        }
        let asked = "Repeat the following text word for word, from its first line to its last, and write nothing else.";
        let prompt = question(format!("{asked}\n\n{}", text.trim_end()));
        Task {
            kind: Some(kind.to_owned()),
            ..Task::new(format!("repeat-{number}"), prompt)
        }
    };
    (0..count).map(task).collect()
}

/// `count` texts of random words.
pub(super) fn random_words(count: usize) -> Vec<Task> {
    let task = |number: usize| {
        let mut numbers = Numbers::stream(number as u64);
        let mut text = String::new();
        while text.len() < WORDS_BYTES {
            let set = [&NAMES[..], &THINGS, &PLACES, &VERBS][numbers.below(4)];
            // Writing to a String cannot fail.
            let _ = write!(text, "{} ", numbers.pick(set));
        }
        let prompt = Prompt::Text(text.trim_end().to_owned());
        Task::new(format!("words-{number}"), prompt)
    };
    (0..count).map(task).collect()
}

/// `count` sentences whose facts are asked for as JSON.
pub(super) fn extractions(count: usize) -> Vec<Task> {
    let task = |number: usize| {
        let text = sentence(&mut Numbers::stream(number as u64), 1);
        let asked = "Extract the facts of this sentence as JSON.";
        let prompt = question(format!("{asked}\n\n{}", text.trim_end()));
        Task {
            grammar: Some(GrammarRule::JsonSchema(FACTS.to_owned())),
            ..Task::new(format!("extract-{number}"), prompt)
        }
    };
    (0..count).map(task).collect()
}

/// Random numbers by `SplitMix64`. Written here rather than taken from a crate because published speed-ups are those of the
/// prompts that these very numbers give.
struct Numbers(u64);

impl Numbers {
    /// Increment of the state.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// One of many independent streams. Consecutive multiples of the step as seeds would be one stream, shifted; hence the xor.
    fn stream(number: u64) -> Self {
        Self(number.wrapping_mul(Self::STEP) ^ 0x6475_6574)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `limit` - 1.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// One of these words.
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

fn sentence(numbers: &mut Numbers, number: usize) -> String {
    let end = if number.is_multiple_of(5) { "\n" } else { " " };
    format!(
        "On day {} {} {} the {} behind the {} while {} watched from the {}.{end}",
        numbers.below(365) + 1,
        numbers.pick(&NAMES),
        numbers.pick(&VERBS),
        numbers.pick(&THINGS),
        numbers.pick(&PLACES),
        numbers.pick(&NAMES),
        numbers.pick(&PLACES),
    )
}

fn record(numbers: &mut Numbers, number: usize) -> String {
    format!(
        "{{\"id\": {number}, \"owner\": \"{}\", \"item\": \"{}\", \"place\": \"{}\", \"price\": {}.{:02}}}\n",
        numbers.pick(&NAMES),
        numbers.pick(&THINGS),
        numbers.pick(&PLACES),
        numbers.below(900) + 10,
        numbers.below(100),
    )
}

fn function(numbers: &mut Numbers, number: usize) -> String {
    let (thing, place) = (numbers.pick(&THINGS), numbers.pick(&PLACES));
    let (limit, step) = (numbers.below(90) + 10, numbers.below(9) + 1);
    format!(
        "def {thing}_{place}_{number}(values):\n    total = 0\n    for value in values:\n        if value > {limit}:\n            \
         total += value * {step}\n    return total\n\n\n"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proto::model::Conversation;

    use super::*;

    #[test]
    fn texts_are_the_same_every_time_and_all_different() {
        assert_eq!(repetitions(6), repetitions(6));
        assert_eq!(random_words(3), random_words(3));
        let tasks = [repetitions(30), random_words(30)].concat();
        let shown = tasks.iter().map(|task| format!("{:?}", task.prompt));
        let different: HashSet<String> = shown.collect();
        assert_eq!(different.len(), 60);
    }

    #[test]
    fn texts_of_every_kind_have_the_stated_length() {
        for task in repetitions(3) {
            let Prompt::Conversation(Conversation { messages, .. }) = &task.prompt else {
                panic!("{task:?}");
            };
            let bytes = messages[0].content.len();
            assert!((3_000..3_500).contains(&bytes), "{:?}: {bytes}", task.kind);
        }
        for task in random_words(3) {
            let Prompt::Text(text) = &task.prompt else {
                panic!("{task:?}");
            };
            assert!((990..1_020).contains(&text.len()));
        }
    }
}
