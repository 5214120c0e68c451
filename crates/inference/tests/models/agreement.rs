//! Our decoder against others: candle-transformers' float models, a reference of our own, and itself from another kind of file.

use std::collections::HashMap;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use candle_nn::{Activation, VarBuilder};
use candle_transformers::models::{gemma3, llama, mistral, qwen2, qwen3};
use serde_json::json;

use crate::engines::{Rows, engine, fresh, options, same};
use crate::files::EPSILON;
use crate::model::{Model, Scaling, VOCAB, llama3};
use crate::reference;

/// Past the window of 8.
const POSITIONS: usize = 40;
const TOLERANCE: f64 = 1e-4;

fn prompt() -> Vec<u32> {
    Model::tokens(3, POSITIONS)
}

async fn ours(model: &Model) -> Rows {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&model.write_folder(folder.path()), options());
    fresh(&engine, &prompt()).await
}

fn check(what: &str, ours: &Rows, theirs: &[Vec<f64>]) {
    assert_eq!(ours.len(), theirs.len());
    for (position, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            let gap = (f64::from(*ours) - theirs).abs();
            assert!(gap < TOLERANCE, "{what} at {position}: {ours}, {theirs}");
        }
    }
}

fn builder(model: &Model) -> VarBuilder<'static> {
    let tensors: HashMap<String, Tensor> = model
        .weights()
        .into_iter()
        .map(|(name, (shape, values))| {
            (name, Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
        })
        .collect();
    VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
}

fn input(tokens: &[u32]) -> Tensor {
    Tensor::new(tokens, &Device::Cpu)
        .unwrap()
        .unsqueeze(0)
        .unwrap()
}

fn row(logits: &Tensor) -> Vec<f64> {
    let logits = logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    logits.into_iter().map(f64::from).collect()
}

/// Their logits after each token, token by token.
fn by_step(mut step: impl FnMut(&Tensor, usize) -> candle_core::Result<Tensor>) -> Vec<Vec<f64>> {
    let tokens = prompt();
    let steps = tokens.iter().enumerate();
    steps
        .map(|(at, token)| row(&step(&input(&[*token]), at).unwrap()))
        .collect()
}

fn llama_config(model: &Model) -> llama::Config {
    llama::Config {
        hidden_size: model.hidden,
        intermediate_size: model.inner,
        vocab_size: VOCAB,
        num_hidden_layers: model.layers,
        num_attention_heads: model.heads,
        num_key_value_heads: model.kv_heads,
        use_flash_attn: false,
        rms_norm_eps: EPSILON,
        rope_theta: model.base as f32,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling: (model.scaling == Scaling::Llama3).then_some(llama::Llama3RopeConfig {
            factor: llama3::FACTOR as f32,
            low_freq_factor: llama3::LOW as f32,
            high_freq_factor: llama3::HIGH as f32,
            original_max_position_embeddings: llama3::ORIGINAL as usize,
            rope_type: llama::Llama3RopeType::Llama3,
        }),
        max_position_embeddings: model.context,
        tie_word_embeddings: model.tied,
    }
}

#[tokio::test]
async fn llama_agrees_with_candle_transformers() {
    for scaling in [Scaling::None, Scaling::Llama3] {
        let model = Model {
            scaling,
            ..Model::of("llama")
        };
        let config = llama_config(&model);
        let theirs = llama::Llama::load(builder(&model), &config).unwrap();
        let mut cache = llama::Cache::new(true, DType::F32, &config, &Device::Cpu).unwrap();
        let theirs = by_step(|token, at| theirs.forward(token, at, &mut cache));
        check("llama", &ours(&model).await, &theirs);
    }
}

/// Their window of `w` shows a row `w + 1` positions of the prompt, and a row that comes alone all there are; transformers'
/// and the paper's has `w`. So theirs gets one less, and each position as the end of a prompt of its own.
#[tokio::test]
async fn mistral_agrees_with_candle_transformers() {
    let model = Model::of("mistral");
    let config = mistral::Config {
        vocab_size: VOCAB,
        hidden_size: model.hidden,
        intermediate_size: model.inner,
        num_hidden_layers: model.layers,
        num_attention_heads: model.heads,
        head_dim: Some(model.head_dim),
        num_key_value_heads: model.kv_heads,
        hidden_act: Activation::Silu,
        max_position_embeddings: model.context,
        rms_norm_eps: EPSILON,
        rope_theta: model.base,
        sliding_window: model.window.map(|window| window - 1),
        use_flash_attn: false,
    };
    let mut theirs = mistral::Model::new(&config, builder(&model)).unwrap();
    let tokens = prompt();
    let theirs: Vec<Vec<f64>> = (1..=POSITIONS)
        .map(|end| {
            theirs.clear_kv_cache();
            row(&theirs.forward(&input(&tokens[..end]), 0).unwrap())
        })
        .collect();
    check("mistral", &ours(&model).await, &theirs);
}

#[tokio::test]
async fn qwen2_agrees_with_candle_transformers() {
    let model = Model::of("qwen2");
    let config = qwen2::Config {
        vocab_size: VOCAB,
        hidden_size: model.hidden,
        intermediate_size: model.inner,
        num_hidden_layers: model.layers,
        num_attention_heads: model.heads,
        num_key_value_heads: model.kv_heads,
        max_position_embeddings: model.context,
        sliding_window: model.context,
        max_window_layers: model.layers,
        tie_word_embeddings: model.tied,
        rope_theta: model.base,
        rms_norm_eps: EPSILON,
        use_sliding_window: false,
        hidden_act: Activation::Silu,
    };
    let mut theirs = qwen2::ModelForCausalLM::new(&config, builder(&model)).unwrap();
    let theirs = by_step(|token, at| theirs.forward(token, at));
    check("qwen2", &ours(&model).await, &theirs);
}

#[tokio::test]
async fn qwen3_agrees_with_candle_transformers() {
    let model = Model::of("qwen3");
    let config = qwen3::Config {
        vocab_size: VOCAB,
        hidden_size: model.hidden,
        intermediate_size: model.inner,
        num_hidden_layers: model.layers,
        num_attention_heads: model.heads,
        head_dim: model.head_dim,
        attention_bias: false,
        num_key_value_heads: model.kv_heads,
        max_position_embeddings: model.context,
        sliding_window: None,
        max_window_layers: model.layers,
        tie_word_embeddings: model.tied,
        rope_theta: model.base,
        rms_norm_eps: EPSILON,
        use_sliding_window: false,
        hidden_act: Activation::Silu,
    };
    let mut theirs = qwen3::ModelForCausalLM::new(&config, builder(&model)).unwrap();
    let theirs = by_step(|token, at| theirs.forward(token, at));
    check("qwen3", &ours(&model).await, &theirs);
}

/// Token by token: their mask over a prompt shows a row one position more than the window, while their rotating cache holds
/// exactly the window.
#[tokio::test]
async fn gemma3_agrees_with_candle_transformers() {
    let model = Model::of("gemma3");
    let config = gemma3::Config {
        attention_bias: false,
        head_dim: model.head_dim,
        hidden_activation: Activation::GeluPytorchTanh,
        hidden_size: model.hidden,
        intermediate_size: model.inner,
        num_attention_heads: model.heads,
        num_hidden_layers: model.layers,
        num_key_value_heads: model.kv_heads,
        rms_norm_eps: EPSILON,
        rope_theta: model.base,
        rope_local_base_freq: model.local_base,
        vocab_size: VOCAB,
        final_logit_softcapping: None,
        attn_logit_softcapping: None,
        query_pre_attn_scalar: model.head_dim,
        sliding_window: model.window.unwrap(),
        sliding_window_pattern: model.period,
        max_position_embeddings: model.context,
    };
    let mut theirs = gemma3::Model::new(false, &config, builder(&model)).unwrap();
    let theirs = by_step(|token, at| theirs.forward(token, at));
    check("gemma3", &ours(&model).await, &theirs);
}

#[tokio::test]
async fn every_family_agrees_with_the_reference() {
    let mut models = Model::all().to_vec();
    models.push(Model {
        scaling: Scaling::Llama3,
        ..Model::of("llama")
    });
    models.push(Model {
        scaling: Scaling::Linear(8.0),
        ..Model::of("gemma3")
    });
    for model in models {
        let theirs = reference::logits(&model, &prompt());
        check(model.kind, &ours(&model).await, &theirs);
    }
}

/// A GGUF file cannot say that llama has a window, nor which base Gemma's local layers have.
#[tokio::test]
async fn both_kinds_of_files_give_the_same_logits() {
    let mut models = Model::all().map(|model| Model {
        window: model.window.filter(|_| model.is_gemma()),
        local_base: 10_000.0,
        ..model
    });
    models[0].scaling = Scaling::Llama3;
    models[4].scaling = Scaling::Linear(8.0);
    for model in models {
        let folder = tempfile::tempdir().unwrap();
        let gguf = model.write_gguf(folder.path(), |_| GgmlDType::F32);
        let from_gguf = fresh(&engine(&gguf, options()), &prompt()).await;
        let from_folder = ours(&model).await;
        let theirs: Vec<Vec<f64>> = from_gguf
            .iter()
            .map(|row| row.iter().map(|x| f64::from(*x)).collect())
            .collect();
        check(model.kind, &from_folder, &theirs);
        // Norms and rotary numbers pass through other roundings; where there are none, no bit differs.
        if matches!(model.kind, "mistral" | "qwen2" | "qwen3") {
            assert!(same(&from_gguf, &from_folder), "{}", model.kind);
        }
    }
}

/// Files of newer versions of transformers put the same numbers elsewhere.
#[tokio::test]
async fn newer_configurations_mean_the_same() {
    let gemma = Model::of("gemma3");
    let llama = Model {
        scaling: Scaling::Llama3,
        ..Model::of("llama")
    };
    for model in [gemma, llama] {
        let folder = tempfile::tempdir().unwrap();
        let path = model.write_folder(folder.path());
        let mut config = model.config();
        let fields = config.as_object_mut().unwrap();
        let base = fields.remove("rope_theta").unwrap();
        let local = fields.remove("rope_local_base_freq");
        let scaling = fields.remove("rope_scaling");
        fields.remove("sliding_window_pattern");
        if let Some(local) = local {
            let mut types = vec!["sliding_attention"; 7];
            types[5] = "full_attention";
            fields.insert("layer_types".to_owned(), json!(types));
            let both = json!({
                "full_attention": {"rope_type": "default", "rope_theta": base},
                "sliding_attention": {"rope_type": "default", "rope_theta": local},
            });
            fields.insert("rope_parameters".to_owned(), both);
        } else {
            let mut rotation = scaling.unwrap();
            rotation["rope_theta"] = base;
            fields.insert("rope_parameters".to_owned(), rotation);
        }
        std::fs::write(path.join("config.json"), config.to_string()).unwrap();
        let newer = fresh(&engine(&path, options()), &prompt()).await;
        assert!(same(&newer, &ours(&model).await), "{}", model.kind);
    }
}
