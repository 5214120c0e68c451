//! A tiny model that can chat: every byte, some merges, control tokens and a template.

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;

use crate::files::{Gguf, quantised};
use crate::model::Model;

const MERGES: [(&str, &str); 8] = [
    ("t", "h"),
    ("th", "e"),
    ("i", "n"),
    ("f", "n"),
    (" ", "the"),
    (" ", "="),
    ("\n", "\n"),
    (" ", " "),
];
const CONTROLS: [&str; 4] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"];

const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                        {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A llama with this vocabulary.
pub(crate) fn gguf() -> Gguf {
    let model = Model::of("llama");
    let mut file = model.gguf(|_| GgmlDType::F32);
    let texts = texts();
    let first_control = texts.len() - CONTROLS.len();
    for (name, spread) in [("token_embd.weight", 1.0), ("output.weight", 0.2)] {
        let values = (0..texts.len() * model.hidden).map(|i| spread * (i as f32 * 0.7).sin());
        let shape = [texts.len(), model.hidden];
        let tensor = quantised(values.collect(), &shape, GgmlDType::F32);
        file.tensors.insert(name.to_owned(), tensor);
    }
    let kinds = (0..texts.len()).map(|id| if id < first_control { 1 } else { 3 });
    let merges = MERGES.iter();
    let merges = merges.map(|(left, right)| format!("{} {}", written(left), written(right)));
    let entries = [
        (
            "ggml.tokens",
            Value::Array(texts.into_iter().map(Value::String).collect()),
        ),
        (
            "ggml.token_type",
            Value::Array(kinds.map(Value::I32).collect()),
        ),
        (
            "ggml.merges",
            Value::Array(merges.map(Value::String).collect()),
        ),
        ("ggml.eos_token_id", Value::U32(first_control as u32)),
        ("ggml.eot_token_id", Value::U32(first_control as u32 + 2)),
        ("chat_template", Value::String(TEMPLATE.to_owned())),
    ];
    for (key, value) in entries {
        file.metadata.insert(format!("tokenizer.{key}"), value);
    }
    file
}

fn texts() -> Vec<String> {
    let bytes = (0..=255).map(character).map(String::from);
    let merged = MERGES
        .iter()
        .map(|(left, right)| written(&format!("{left}{right}")));
    let controls = CONTROLS.into_iter().map(str::to_owned);
    bytes.chain(merged).chain(controls).collect()
}

fn written(text: &str) -> String {
    text.bytes().map(character).collect()
}

/// The character that stands for a byte in vocabularies of GPT-2's kind.
fn character(byte: u8) -> char {
    let itself = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..);
    if itself(&byte) {
        return char::from(byte);
    }
    let others_before = (0..byte).filter(|byte| !itself(byte)).count() as u32;
    char::from_u32(0x100 + others_before).unwrap()
}
