//! Rules that cut text into words before merging, by the name that GGUF files give them.
//!
//! The patterns belong to the models: each is what its family's own tokenizer was trained with.

use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
    pre_tokenizers::PreTokenizerWrapper, utils::SysRegex,
};

use crate::error::TokenizerError;

/// Steps, each of which cuts the words that the one before left.
pub(super) struct PreTokenizer {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// One way to cut.
pub(super) struct Step {
    cut: Cut,
    /// The same as bytes, for the fingerprint.
    pub(super) described: Vec<u8>,
}

enum Cut {
    /// Each match is a word, and so is what lies between matches.
    Isolate(SysRegex),
    /// Anything else that a `tokenizer.json` may hold.
    Library(PreTokenizerWrapper),
}

/// Pre-tokenizer of a model family.
struct Family {
    names: &'static [&'static str],
    patterns: &'static [&'static str],
    whole_words: bool,
    adds_bos: bool,
}

pub(super) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const QWEN35: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}",
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const GPT4O: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const DEEPSEEK3: &str = concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##,
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const FAMILIES: &[Family] = &[
    Family {
        names: &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "exaone4",
            "gigachat",
            "modern-bert",
        ],
        patterns: &[GPT2],
        whole_words: false,
        adds_bos: false,
    },
    Family {
        names: &[
            "smollm",
            "starcoder",
            "refact",
            "command-r",
            "codeshell",
            "exaone",
            "minerva-7b",
        ],
        patterns: &[r"\p{N}", GPT2],
        whole_words: false,
        adds_bos: false,
    },
    Family {
        names: &[
            "qwen2",
            "deepseek-r1-qwen",
            "stablelm2",
            "hunyuan",
            "megrez",
            "grok-2",
        ],
        patterns: &[QWEN2],
        whole_words: false,
        adds_bos: false,
    },
    Family {
        names: &["qwen35"],
        patterns: &[QWEN35],
        whole_words: false,
        adds_bos: false,
    },
    Family {
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "pixtral",
            "lfm2",
        ],
        patterns: &[LLAMA3],
        whole_words: true,
        adds_bos: true,
    },
    Family {
        names: &["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"],
        patterns: &[LLAMA3],
        whole_words: false,
        adds_bos: false,
    },
    Family {
        names: &["tekken"],
        patterns: &[TEKKEN],
        whole_words: true,
        adds_bos: true,
    },
    Family {
        names: &["gpt-4o", "llama4", "kanana2", "minimax-m2"],
        patterns: &[GPT4O],
        whole_words: false,
        adds_bos: false,
    },
    Family {
        names: &["deepseek-coder"],
        patterns: &[
            r"[\r\n]",
            r"\s?\p{L}+",
            r"\s?\p{P}+",
            "[一-龥ࠀ-一가-\u{d7ff}]+",
            r"\p{N}",
        ],
        whole_words: false,
        adds_bos: false,
    },
    Family {
        names: &["deepseek-v3", "hunyuan-dense"],
        patterns: &[r"\p{N}{1,3}", "[一-龥\u{3040}-ゟ゠-ヿ]+", DEEPSEEK3],
        whole_words: false,
        adds_bos: false,
    },
    Family {
        names: &["falcon"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
        whole_words: false,
        adds_bos: false,
    },
    Family {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
        whole_words: false,
        adds_bos: false,
    },
];

/// Pre-tokenizer found by name, with the other habits of its family.
pub(super) struct NamedPre {
    pub(super) pre: PreTokenizer,
    pub(super) whole_words: bool,
    pub(super) adds_bos: bool,
}

/// Pre-tokenizer of a name; an unknown name is refused with a list of the known ones.
pub(super) fn named(name: &str) -> Result<NamedPre, TokenizerError> {
    let family = FAMILIES
        .iter()
        .find(|family| family.names.contains(&name))
        .ok_or_else(|| {
            let known: Vec<&str> = FAMILIES
                .iter()
                .flat_map(|family| family.names)
                .copied()
                .collect();
            TokenizerError::UnknownPreTokenizer {
                name: name.to_owned(),
                known: known.join(", "),
            }
        })?;
    let step = |pattern: &&str| Step::isolate(pattern);
    let steps = family.patterns.iter().map(step).collect::<Result<_, _>>()?;
    Ok(NamedPre {
        pre: PreTokenizer::new(name, steps),
        whole_words: family.whole_words,
        adds_bos: family.adds_bos,
    })
}

impl PreTokenizer {
    pub(super) fn new(name: &str, steps: Vec<Step>) -> Self {
        Self {
            name: name.to_owned(),
            steps,
        }
    }

    /// Hands over the words of `text` in order; none is empty.
    pub(super) fn each_word(&self, text: &str, mut take: impl FnMut(&str)) {
        cut(&self.steps, text, &mut take);
    }
}

fn cut(steps: &[Step], text: &str, take: &mut dyn FnMut(&str)) {
    match steps.split_first() {
        Some((step, rest)) => step.each_word(text, &mut |word| cut(rest, word, take)),
        None => take(text),
    }
}

impl Step {
    /// A step that makes a word of each match and of what lies between matches.
    pub(super) fn isolate(pattern: &str) -> Result<Self, TokenizerError> {
        let regex = SysRegex::new(pattern).map_err(TokenizerError::Build)?;
        Ok(Self {
            cut: Cut::Isolate(regex),
            described: pattern.as_bytes().to_vec(),
        })
    }

    /// A step of the library's.
    pub(super) fn library(step: PreTokenizerWrapper) -> Result<Self, TokenizerError> {
        let described =
            serde_json::to_vec(&step).map_err(|error| TokenizerError::Build(error.into()))?;
        Ok(Self {
            cut: Cut::Library(step),
            described,
        })
    }

    fn each_word(&self, text: &str, take: &mut dyn FnMut(&str)) {
        match &self.cut {
            Cut::Isolate(regex) => isolate(regex, text, take),
            Cut::Library(step) => {
                let mut words = PreTokenizedString::from(text);
                if step.pre_tokenize(&mut words).is_err() {
                    return take(text);
                }
                for (word, ..) in words.get_splits(OffsetReferential::Normalized, OffsetType::None)
                {
                    take(word);
                }
            }
        }
    }
}

fn isolate(regex: &SysRegex, text: &str, take: &mut dyn FnMut(&str)) {
    let mut done = 0;
    // Where a pattern gives up on a text, the rest of it is one word.
    for (start, end) in regex.find_iter(text) {
        for word in [&text[done..start], &text[start..end]] {
            if !word.is_empty() {
                take(word);
            }
        }
        done = end;
    }
    if done < text.len() {
        take(&text[done..]);
    }
}
