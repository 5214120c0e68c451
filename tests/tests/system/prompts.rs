//! Prompts that the models continue, written for these tests.

use proto::{
    model::{Prompt, Sampling},
    verifier::{Generate, Speculation},
};

use crate::pair::BLOCK_LENGTH;

/// A prompt that every model continues by repeating it.
pub(crate) const REPETITION: &str = "red green blue red green blue red green blue red green blue \
     red green blue red green blue red green blue red green blue red green";

/// A beginning that goes on for as long as it may.
pub(crate) const LONG: &str = "Numbers, one on each line:\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n";

/// Code, prose, scripts without spaces, code points of four bytes, both kinds of line ends.
pub(crate) const VARIED: [(&str, &str); 6] = [
    (
        "code",
        "def running_maximum(numbers: list[int]) -> list[int]:\n    \"\"\"For each place, give the largest number up to there.\n    \
         >>> running_maximum([3, 1, 4, 1, 5])\n    [3, 3, 4, 4, 5]\n    \"\"\"\n",
    ),
    (
        "prose",
        "The ferry left an hour late. Nobody on deck seemed to mind, since the rain had stopped and the islands",
    ),
    (
        "CJK",
        "四季について:\n春は花が咲きます。\n夏は海で泳ぎます。\n秋は葉が赤くなります。\n冬は",
    ),
    (
        "emoji",
        "Weather 🌦️ log\nMon ☀️😀\nTue 🌧️😟\nWed ☀️😀\nThu 🌧️😟\nFri",
    ),
    (
        "line ends",
        "name,colour\r\napple,red\r\nbanana,yellow\r\ncherry,red\r\nlime,",
    ),
    ("repetition", REPETITION),
];

/// A request to continue `text` with the likeliest tokens. Something is proposed in every round, whether or not that pays
/// on the machine at hand.
pub(crate) fn greedy(text: &str, max_tokens: u32) -> Generate {
    Generate {
        max_tokens: Some(max_tokens),
        sampling: Sampling::greedy(),
        speculation: Speculation::Auto {
            method: None,
            block_tokens: Some(BLOCK_LENGTH),
            allow_lossy: false,
            alternatives: None,
        },
        ..Generate::new(Prompt::Text(text.to_owned()))
    }
}

/// A request to continue `text` at random.
pub(crate) fn sampled(text: &str, max_tokens: u32, seed: u64) -> Generate {
    Generate {
        sampling: Sampling {
            temperature: 0.8,
            top_p: 0.95,
            ..Sampling::default()
        },
        seed: Some(seed),
        ..greedy(text, max_tokens)
    }
}

/// The same request without drafters.
pub(crate) fn plain(request: &Generate) -> Generate {
    Generate {
        speculation: Speculation::Off,
        ..request.clone()
    }
}
