//! Prompts that are made, the same on every machine: long texts to repeat, and random words to go on with.

use std::fmt::Write as _;

use proto::model::Prompt;

use super::workloads::{Task, question};
use crate::dice::Dice;

/// Bytes of a text that is to be repeated, and of one that is to be gone on with.
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

/// So many requests to repeat a text, of three kinds in turn.
pub(super) fn repetitions(count: usize) -> Vec<Task> {
    let task = |number: usize| {
        let mut dice = Dice::numbered(number as u64);
        let (kind, line): (_, fn(&mut Dice, usize) -> String) = match number % 3 {
            0 => ("prose", sentence),
            1 => ("records", record),
            _ => ("code", function),
        };
        let mut text = String::new();
        for line_number in 1.. {
            text.push_str(&line(&mut dice, line_number));
            if text.len() >= REPEATED_BYTES {
                break;
            }
        }
        let asked = "Repeat the following text word for word, from its first line to its last, and write nothing else.";
        Task {
            id: format!("repeat-{number}"),
            kind: Some(kind.to_owned()),
            prompt: question(format!("{asked}\n\n{}", text.trim_end())),
        }
    };
    (0..count).map(task).collect()
}

/// So many texts of random words.
pub(super) fn random_words(count: usize) -> Vec<Task> {
    let task = |number: usize| {
        let mut dice = Dice::numbered(number as u64);
        let mut text = String::new();
        while text.len() < WORDS_BYTES {
            let set = [&NAMES[..], &THINGS, &PLACES, &VERBS][dice.below(4)];
            // Writing to a String cannot fail.
            let _ = write!(text, "{} ", dice.pick(set));
        }
        Task {
            id: format!("words-{number}"),
            kind: None,
            prompt: Prompt::Text(text.trim_end().to_owned()),
        }
    };
    (0..count).map(task).collect()
}

fn sentence(dice: &mut Dice, number: usize) -> String {
    let end = if number.is_multiple_of(5) { "\n" } else { " " };
    format!(
        "On day {} {} {} the {} behind the {} while {} watched from the {}.{end}",
        dice.below(365) + 1,
        dice.pick(&NAMES),
        dice.pick(&VERBS),
        dice.pick(&THINGS),
        dice.pick(&PLACES),
        dice.pick(&NAMES),
        dice.pick(&PLACES),
    )
}

fn record(dice: &mut Dice, number: usize) -> String {
    format!(
        "{{\"id\": {number}, \"owner\": \"{}\", \"item\": \"{}\", \"place\": \"{}\", \"price\": {}.{:02}}}\n",
        dice.pick(&NAMES),
        dice.pick(&THINGS),
        dice.pick(&PLACES),
        dice.below(900) + 10,
        dice.below(100),
    )
}

fn function(dice: &mut Dice, number: usize) -> String {
    let (thing, place) = (dice.pick(&THINGS), dice.pick(&PLACES));
    let (limit, step) = (dice.below(90) + 10, dice.below(9) + 1);
    format!(
        "def {thing}_{place}_{number}(values):\n    total = 0\n    for value in values:\n        if value > {limit}:\n            \
         total += value * {step}\n    return total\n\n\n"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn texts_are_the_same_every_time_and_no_two_are_alike() {
        assert_eq!(repetitions(6), repetitions(6));
        assert_eq!(random_words(3), random_words(3));
        let tasks = [repetitions(30), random_words(30)].concat();
        let shown = tasks.iter().map(|task| format!("{:?}", task.prompt));
        let different: HashSet<String> = shown.collect();
        assert_eq!(different.len(), 60);
    }

    #[test]
    fn texts_are_as_long_as_said_whatever_their_kind() {
        for task in repetitions(3) {
            let Prompt::Conversation(messages) = &task.prompt else {
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
