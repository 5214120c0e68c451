#!/usr/bin/env node
// Decodes rendered prompts with llama.cpp, plainly and with a draft model of the same vocabulary, in turn, and prints one JSON
// line in the shape of a workload of `duet bench --json`.
//
//   llama_cpp.mjs --engine FOLDER --prompts RENDERED --name NAME --model TARGET.gguf [--draft DRAFTER.gguf]
//                 [--count 20] [--tokens 64] [--runs 1] [--threads 1] [--draft-tokens 8] [--draft-confidence 0.6]
//
// FOLDER is what tests/reference/prepare.sh filled, RENDERED what render.py wrote. Rates are tokens by the time from the first token
// to the last, so that the prompt's pass is left out, as in Duet's. Draft and target model compute by turns on the same threads.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {pathToFileURL} from "node:url";
import {parseArgs} from "node:util";

const CONTEXT = 2048;

const {values: args} = parseArgs({
    options: {
        engine: {type: "string"},
        prompts: {type: "string"},
        name: {type: "string"},
        model: {type: "string"},
        draft: {type: "string"},
        count: {type: "string", default: "20"},
        tokens: {type: "string", default: "64"},
        runs: {type: "string", default: "1"},
        threads: {type: "string", default: "1"},
        "draft-tokens": {type: "string", default: "8"},
        "draft-confidence": {type: "string", default: "0.6"}
    }
});
for (const name of ["engine", "prompts", "name", "model"]) {
    if (args[name] == null) {
        console.error(`llama_cpp.mjs: --${name} is missing`);
        process.exit(64);
    }
}

const packageFolder = path.resolve(args.engine, "node_modules/node-llama-cpp");
const {getLlama, DraftSequenceTokenPredictor} = await import(pathToFileURL(path.join(packageFolder, "dist/index.js")));
const {version} = JSON.parse(fs.readFileSync(path.join(packageFolder, "package.json"), "utf8"));

const threads = Number(args.threads);
const llama = await getLlama({gpu: false, build: "never", logLevel: "error", maxThreads: threads});

async function sequenceOf(model, options = {}) {
    const context = await model.createContext({contextSize: CONTEXT, threads});
    return context.getSequence(options);
}

/** Greedy tokens after a prompt, what they spell, and tokens a second. */
async function decode(model, sequence, text) {
    await sequence.clearHistory();
    const before = sequence.tokenPredictions;
    const tokens = [];
    let first = null;
    for await (const token of sequence.evaluate(model.tokenize(text, true), {temperature: 0})) {
        first ??= performance.now();
        tokens.push(token);
        if (tokens.length === Number(args.tokens))
            break;
    }
    const seconds = (performance.now() - first) / 1000;
    const after = sequence.tokenPredictions;
    return {
        text: model.detokenize(tokens),
        tokens: tokens.length,
        rate: tokens.length / seconds,
        used: after.used - before.used,
        validated: after.validated - before.validated,
        refuted: after.refuted - before.refuted
    };
}

function median(values) {
    const sorted = [...values].sort((one, other) => one - other);
    const middle = (sorted.length - 1) / 2;
    return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

const model = await llama.loadModel({modelPath: path.resolve(args.model), gpuLayers: 0});
const plain = await sequenceOf(model);
let speculative = null;
if (args.draft != null) {
    const draft = await llama.loadModel({modelPath: path.resolve(args.draft), gpuLayers: 0});
    const tokenPredictor = new DraftSequenceTokenPredictor(await sequenceOf(draft), {
        maxTokens: Number(args["draft-tokens"]),
        minConfidence: Number(args["draft-confidence"])
    });
    speculative = await sequenceOf(model, {tokenPredictor});
}

const lines = fs.readFileSync(args.prompts, "utf8").split("\n").filter((line) => line !== "");
const prompts = lines.slice(0, Number(args.count)).map((line) => JSON.parse(line));
const load = os.loadavg()[0];

await decode(model, plain, prompts[0].text);
if (speculative != null)
    await decode(model, speculative, prompts[0].text);
const pairs = [];
for (let run = 0; run < Number(args.runs); run++) {
    for (const [index, prompt] of prompts.entries()) {
        const pair = {};
        const turns = [["plain", plain], ["speculative", speculative]].filter(([, sequence]) => sequence != null);
        if ((run + index) % 2 === 1)
            turns.reverse();
        for (const [name, sequence] of turns)
            pair[name] = await decode(model, sequence, prompt.text);
        pairs.push(pair);
    }
}

const report = {
    name: args.name,
    engine: `llama.cpp by node-llama-cpp ${version}`,
    target: path.basename(args.model),
    drafter: args.draft == null ? null : path.basename(args.draft),
    threads,
    prompts: prompts.length,
    runs: Number(args.runs),
    max_tokens: Number(args.tokens),
    plain_tokens_per_second: median(pairs.map((pair) => pair.plain.rate))
};
if (speculative != null) {
    const sum = (field) => pairs.reduce((total, pair) => total + pair.speculative[field], 0);
    const bytes = pairs.reduce((total, pair) => total + Buffer.byteLength(pair.speculative.text), 0);
    // Every forward commits one token of its own besides the predictions that it confirms.
    const forwards = sum("tokens") - sum("used");
    Object.assign(report, {
        block_length: Number(args["draft-tokens"]),
        speculative_tokens_per_second: median(pairs.map((pair) => pair.speculative.rate)),
        speedup: median(pairs.map((pair) => pair.speculative.rate / pair.plain.rate)),
        acceptance: sum("validated") / Math.max(1, sum("validated") + sum("refuted")),
        accepted_per_forward: sum("used") / forwards,
        committed_bytes_per_forward: bytes / forwards,
        identical: pairs.every((pair) => pair.plain.text === pair.speculative.text)
    });
}
console.log(JSON.stringify({...report, load_at_start: load, load_at_end: os.loadavg()[0]}));
// Contexts and models hold the process open.
process.exit(0);
