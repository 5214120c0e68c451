//! Compiles the schema into `OUT_DIR`, without `protoc`: services, messages and the descriptor set for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 3] = [
    "duet/model/v1/model.proto",
    "duet/drafter/v1/drafter.proto",
    "duet/verifier/v1/verifier.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let descriptors = protox::compile(FILES, ["."])?;
    fs::write(out.join("duet.binpb"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
