//! Tiny models with seeded random weights: real GGUF files of a few hundred kilobytes, so that a test needs no download.
//!
//! The file is written here byte by byte, after ggml's description of the format: tensors stay inside `inference`, and the
//! reader under test should not have been written by the same hand as the writer. The text of such a model makes no sense, but
//! it depends on everything before it and is mostly printable: one dimension of the residual stream is the same
//! everywhere, and the output matrix uses it to favour some tokens over others.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::dice::Dice;

/// Width of the residual stream.
const HIDDEN: usize = 64;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const FEED_FORWARD: usize = 128;
const LAYERS: usize = 2;
/// Alignment of tensors in the file, in bytes.
const ALIGNMENT: usize = 32;
/// The constant dimension of the residual stream.
const CONSTANT: f32 = 4.0;
/// Weight of a favour of 1 in the output matrix: more than any spread of logits.
const FAVOUR: f32 = 6.0;
/// Spread of logits, apart from what the constant dimension adds.
const SPREAD: f32 = 0.25;

/// Merges of the default vocabulary: common English and Rust.
pub const MERGES: &[(&str, &str)] = &[
    ("t", "h"),
    ("th", "e"),
    ("i", "n"),
    ("e", "r"),
    ("a", "n"),
    ("o", "r"),
    ("r", "e"),
    ("f", "n"),
    (" ", "the"),
    (" ", "a"),
    ("l", "e"),
    ("le", "t"),
    (" ", "="),
    ("\n", "\n"),
    (" ", " "),
];

/// A model to be written; change what the test is about.
#[derive(Clone, Debug)]
pub struct Tiny {
    /// Decides every weight.
    pub seed: u64,
    /// Merges in order, each of two tokens that exist by then: what makes two vocabularies differ.
    pub merges: &'static [(&'static str, &'static str)],
    /// Positions.
    pub context: u32,
    /// Favour of tokens that end a turn or a sequence: 0 as likely as printable text, -1 never, 1 always.
    pub ends: f32,
    /// The same for control tokens that end nothing.
    pub controls: f32,
    /// The same for bytes that are not ASCII, single ones, so that text falls apart inside code points.
    pub foreign_bytes: f32,
}

impl Default for Tiny {
    fn default() -> Self {
        Self {
            seed: 1,
            merges: MERGES,
            context: 512,
            ends: -1.0,
            controls: -1.0,
            foreign_bytes: -1.0,
        }
    }
}

/// Control tokens after the 256 bytes and the merges, in this order.
const CONTROLS: [&str; 4] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"];
/// Those of them that end something.
const ENDS: [&str; 2] = ["<|endoftext|>", "<|im_end|>"];

const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
                        {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

impl Tiny {
    /// Writes the model into `folder`, under a name of its own, and gives the path.
    pub fn write_into(&self, folder: &Path) -> io::Result<PathBuf> {
        let path = folder.join(format!("tiny-{}-{}.gguf", self.seed, self.merges.len()));
        fs::write(&path, self.gguf())?;
        Ok(path)
    }

    /// The file.
    pub fn gguf(&self) -> Vec<u8> {
        let mut metadata = Section::default();
        self.describe_model(&mut metadata);
        self.describe_vocabulary(&mut metadata);
        let tensors = self.tensors();
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend((tensors.len() as u64).to_le_bytes());
        file.extend(metadata.entries.to_le_bytes());
        file.extend(metadata.bytes);
        let mut offset = 0;
        for tensor in &tensors {
            file.extend(tensor.described(offset));
            offset += aligned(tensor.values.len() * 4);
        }
        for tensor in &tensors {
            file.resize(aligned(file.len()), 0);
            file.extend(tensor.values.iter().flat_map(|value| value.to_le_bytes()));
        }
        file
    }

    fn describe_model(&self, metadata: &mut Section) {
        metadata.text("general.architecture", "llama");
        metadata.text("general.name", &format!("tiny-{}", self.seed));
        for (key, value) in [
            ("embedding_length", HIDDEN as u32),
            ("block_count", LAYERS as u32),
            ("feed_forward_length", FEED_FORWARD as u32),
            ("attention.head_count", HEADS as u32),
            ("attention.head_count_kv", KV_HEADS as u32),
            ("context_length", self.context),
        ] {
            metadata.number(&format!("llama.{key}"), value);
        }
        metadata.float("llama.attention.layer_norm_rms_epsilon", 1e-5);
        metadata.float("llama.rope.freq_base", 10_000.0);
    }

    fn describe_vocabulary(&self, metadata: &mut Section) {
        let tokens = self.tokens();
        let spelled: Vec<String> = tokens.iter().map(Token::spelled).collect();
        let kinds: Vec<i32> = tokens.iter().map(Token::kind).collect();
        let merges = self.merges.iter();
        let merges: Vec<String> = merges
            .map(|(left, right)| format!("{} {}", written(left), written(right)))
            .collect();
        let id = |name: &str| spelled.iter().position(|token| token == name);
        metadata.text("tokenizer.ggml.model", "gpt2");
        metadata.text("tokenizer.ggml.pre", "gpt-2");
        metadata.texts("tokenizer.ggml.tokens", &spelled);
        metadata.kinds("tokenizer.ggml.token_type", &kinds);
        metadata.texts("tokenizer.ggml.merges", &merges);
        for (key, name) in [
            ("bos", CONTROLS[0]),
            ("eos", CONTROLS[0]),
            ("eot", CONTROLS[2]),
        ] {
            let id = id(name).unwrap_or_default() as u32;
            metadata.number(&format!("tokenizer.ggml.{key}_token_id"), id);
        }
        metadata.text("tokenizer.chat_template", TEMPLATE);
    }

    fn tokens(&self) -> Vec<Token> {
        let bytes = (0..=255).map(|byte| Token::Text(vec![byte]));
        let merged = self.merges.iter();
        let merged = merged.map(|(left, right)| Token::Text(format!("{left}{right}").into_bytes()));
        let controls = CONTROLS.into_iter().map(Token::Control);
        bytes.chain(merged).chain(controls).collect()
    }

    fn tensors(&self) -> Vec<Tensor> {
        let tokens = self.tokens();
        let mut random = Random(Dice::seeded(self.seed));
        let mut embedding = random.matrix("token_embd.weight", tokens.len(), HIDDEN, 1.0);
        for row in embedding.values.chunks_mut(HIDDEN) {
            row[0] = CONSTANT;
        }
        let mut tensors = vec![embedding];
        let key_rows = HIDDEN / HEADS * KV_HEADS;
        for layer in 0..LAYERS {
            for (part, rows, columns) in [
                ("attn_q", HIDDEN, HIDDEN),
                ("attn_k", key_rows, HIDDEN),
                ("attn_v", key_rows, HIDDEN),
                ("attn_output", HIDDEN, HIDDEN),
                ("ffn_gate", FEED_FORWARD, HIDDEN),
                ("ffn_up", FEED_FORWARD, HIDDEN),
                ("ffn_down", HIDDEN, FEED_FORWARD),
            ] {
                let spread = 1.5 / (columns as f32).sqrt();
                let name = format!("blk.{layer}.{part}.weight");
                let mut matrix = random.matrix(&name, rows, columns, spread);
                if matches!(part, "attn_output" | "ffn_down") {
                    // Nothing is added to the constant dimension.
                    matrix.values[..columns].fill(0.0);
                }
                tensors.push(matrix);
            }
            for part in ["attn_norm", "ffn_norm"] {
                tensors.push(Tensor::ones(&format!("blk.{layer}.{part}.weight")));
            }
        }
        tensors.push(Tensor::ones("output_norm.weight"));
        let mut output = random.matrix("output.weight", tokens.len(), HIDDEN, SPREAD);
        for (row, token) in output.values.chunks_mut(HIDDEN).zip(&tokens) {
            row[0] = FAVOUR * self.favour(token);
        }
        tensors.push(output);
        tensors
    }

    fn favour(&self, token: &Token) -> f32 {
        match token {
            Token::Control(name) if ENDS.contains(name) => self.ends,
            Token::Control(_) => self.controls,
            Token::Text(bytes) if !bytes.is_ascii() => self.foreign_bytes,
            Token::Text(bytes) if matches!(bytes[0], b'\n' | b' '..=b'~') => 0.0,
            Token::Text(_) => -1.0,
        }
    }
}

/// A token of the vocabulary.
enum Token {
    Text(Vec<u8>),
    Control(&'static str),
}

impl Token {
    fn spelled(&self) -> String {
        match self {
            Self::Text(bytes) => bytes.iter().map(|&byte| character(byte)).collect(),
            Self::Control(name) => (*name).to_owned(),
        }
    }

    /// As GGUF numbers them.
    fn kind(&self) -> i32 {
        match self {
            Self::Text(_) => 1,
            Self::Control(_) => 3,
        }
    }
}

fn written(text: &str) -> String {
    text.bytes().map(character).collect()
}

/// The character of a byte in vocabularies of GPT-2's kind.
fn character(byte: u8) -> char {
    let itself = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..);
    if itself(&byte) {
        return char::from(byte);
    }
    let others_before = (0..byte).filter(|byte| !itself(byte)).count() as u32;
    char::from_u32(0x100 + others_before).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// A weight of `(rows, columns)`, or of `(rows)`.
struct Tensor {
    name: String,
    /// Innermost first, as the file has it.
    dimensions: Vec<usize>,
    values: Vec<f32>,
}

impl Tensor {
    fn ones(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            dimensions: vec![HIDDEN],
            values: vec![1.0; HIDDEN],
        }
    }

    fn described(&self, offset: usize) -> Vec<u8> {
        let mut bytes = counted(&self.name);
        bytes.extend((self.dimensions.len() as u32).to_le_bytes());
        for dimension in &self.dimensions {
            bytes.extend((*dimension as u64).to_le_bytes());
        }
        bytes.extend(0_u32.to_le_bytes()); // F32
        bytes.extend((offset as u64).to_le_bytes());
        bytes
    }
}

/// Chance that decides weights.
struct Random(Dice);

impl Random {
    fn matrix(&mut self, name: &str, rows: usize, columns: usize, spread: f32) -> Tensor {
        let values = (0..rows * columns)
            .map(|_| self.normal() * spread)
            .collect();
        Tensor {
            name: name.to_owned(),
            dimensions: vec![columns, rows],
            values,
        }
    }

    /// Roughly normal, with variance 1: a sum of uniforms.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    fn uniform(&mut self) -> f32 {
        (self.0.bits() >> 40) as f32 / (1_u32 << 24) as f32
    }
}

/// The metadata of a file.
#[derive(Default)]
struct Section {
    bytes: Vec<u8>,
    entries: u64,
}

impl Section {
    fn text(&mut self, key: &str, value: &str) {
        self.entry(key, 8, &counted(value));
    }

    fn number(&mut self, key: &str, value: u32) {
        self.entry(key, 4, &value.to_le_bytes());
    }

    fn float(&mut self, key: &str, value: f32) {
        self.entry(key, 6, &value.to_le_bytes());
    }

    fn texts(&mut self, key: &str, values: &[String]) {
        let bytes = values.iter().flat_map(|value| counted(value)).collect();
        self.array(key, 8, values.len(), bytes);
    }

    fn kinds(&mut self, key: &str, values: &[i32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.array(key, 5, values.len(), bytes.collect());
    }

    fn array(&mut self, key: &str, kind: u32, count: usize, values: Vec<u8>) {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((count as u64).to_le_bytes());
        bytes.extend(values);
        self.entry(key, 9, &bytes);
    }

    fn entry(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.bytes.extend(counted(key));
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(value);
        self.entries += 1;
    }
}

/// A string with its length before it.
fn counted(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}
