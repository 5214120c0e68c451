//! Tokenizers read without the weights beside them.

use std::fs;

use inference::checkpoint::{BareTokenizer, CheckpointError};

use crate::chat;
use crate::engines::{engine, options};
use crate::model::Model;

#[test]
fn tokenizer_of_a_gguf_file_is_the_models_own_with_weights_or_without() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut file = chat::gguf();
    fs::write(&path, file.bytes()).unwrap();
    let bare = BareTokenizer::open(&path).unwrap();
    let loaded = engine(&path, options());
    assert!(bare.has_weights);
    assert_eq!(
        bare.tokenizer.fingerprint(),
        loaded.tokenizer().fingerprint()
    );
    file.tensors.clear();
    let path = folder.path().join("vocabulary.gguf");
    fs::write(&path, file.bytes()).unwrap();
    let alone = BareTokenizer::open(&path).unwrap();
    assert!(!alone.has_weights);
    assert_eq!(alone.tokenizer.fingerprint(), bare.tokenizer.fingerprint());
}

#[test]
fn tokenizer_of_a_folder_is_that_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::of("llama").write_folder(folder.path());
    let whole = BareTokenizer::open(&model).unwrap();
    let alone = BareTokenizer::open(&model.join("tokenizer.json")).unwrap();
    assert!(whole.has_weights && !alone.has_weights);
    assert_eq!(whole.tokenizer.fingerprint(), alone.tokenizer.fingerprint());
}

#[test]
fn what_is_no_tokenizer_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["tokenizer.json", "model.gguf"] {
        let path = folder.path().join(name);
        let error = BareTokenizer::open(&path).unwrap_err();
        let named = match &error {
            CheckpointError::Tokenizer(error) => error.to_string(),
            error => error.to_string(),
        };
        assert!(named.contains(name), "{named}");
        fs::write(&path, "nonsense").unwrap();
        assert!(BareTokenizer::open(&path).is_err());
    }
}
