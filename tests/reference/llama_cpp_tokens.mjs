// Token ids of texts by llama.cpp, to hold Duet's tokenizers against an independent engine.
//
// Install the engine once in a folder of its own, then run this file from there:
//
//   npm install node-llama-cpp@3.22
//   node PATH/llama_cpp_tokens.mjs MODEL.gguf TEXTS.json > IDS.json
//
// TEXTS.json is an array of strings. IDS.json gets {"ids": [{"plain", "special"}], "ends"}: for each text its
// ids with special tokens as text and with special tokens parsed, no BOS in front, and the ids that end a
// generation. The model's weights are not loaded.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modelPath, textsPath] = process.argv.slice(2);
if (textsPath === undefined) {
    console.error("usage: node llama_cpp_tokens.mjs MODEL.gguf TEXTS.json > IDS.json");
    process.exit(64);
}

// The package is looked up where the script is run, not where it lies.
const here = createRequire(join(process.cwd(), "package.json"));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(here.resolve("node-llama-cpp")).href);

const texts = JSON.parse(await readFile(textsPath, "utf8"));
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath, vocabOnly: true });

// `trimLeadingSpace` is this engine's word for "no dummy prefix".
const options = "trimLeadingSpace";
const ids = texts.map((text) => ({
    plain: Array.from(model.tokenize(text, false, options)),
    special: Array.from(model.tokenize(text, true, options)),
}));

const vocabulary = model.fileInfo.metadata.tokenizer.ggml.tokens;
const size = Array.isArray(vocabulary) ? vocabulary.length : texts.length;
const ends = [];
for (let id = 0; id < size; id++) {
    if (model.isEogToken(id)) {
        ends.push(id);
    }
}

process.stdout.write(JSON.stringify({ ids, ends }), () => process.exit(0));
