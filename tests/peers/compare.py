#!/usr/bin/env python3
"""Runs Duet, llama.cpp and HF transformers on the same prompts by turns, and prints how many times faster Duet is.

    compare.py --duet DUET --engine FOLDER --models FOLDER --prompts RENDERED [--workload humaneval-chat] [--drafter smollm2-135m]
               [--count 4] [--tokens 64] [--rounds 2] [--skip-transformers]

DUET is the built program, --engine what tests/reference/prepare.sh filled, --models a folder with the GGUF files of
tests/peers/README.md, RENDERED what render.py wrote for the same workload. One thread a model: Duet's two models have a processor
each, a peer's share the first one. Prints a JSON object with every round's medians and, of these, the medians and their ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = "qwen2.5-coder-1.5b"


def main():
    """Measures and prints."""
    args = arguments()
    engines = {"duet": duet, "llama.cpp": llama_cpp, "transformers": transformers}
    if args.skip_transformers:
        del engines["transformers"]
    rounds = []
    for number in range(args.rounds):
        turns = list(engines) if number % 2 == 0 else list(engines)[::-1]
        rounds.append({name: engines[name](args) | {"load": os.getloadavg()[0]} for name in turns})
        print(json.dumps(rounds[-1]), file=sys.stderr)
    print(json.dumps(summary(rounds), indent=2))


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--duet", type=Path, required=True, help="the built program")
    parser.add_argument("--engine", type=Path, required=True, help="folder that prepare.sh filled")
    parser.add_argument("--models", type=Path, required=True, help="folder of the GGUF files")
    parser.add_argument("--prompts", type=Path, required=True, help="what render.py wrote")
    parser.add_argument("--workload", default="humaneval-chat")
    parser.add_argument("--drafter", default="smollm2-135m", help="Duet's drafter")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--skip-transformers", action="store_true")
    return parser.parse_args()


def duet(args):
    """The verifier by itself, and with its drafter."""
    command = [args.duet, "bench", "--target", TARGET, "--drafter", args.drafter, "--workloads", args.workload,
               "--count", args.count, "--runs", 1, "--max-tokens", args.tokens, "--json"]
    return rates(json.loads(output(command))["workloads"][0])


def llama_cpp(args):
    """The same file by llama.cpp, and with a draft model of the same vocabulary."""
    command = ["taskset", "-c", 0, HERE / "llama_cpp.py", "--engine", args.engine, *common(args, "qwen2.5-coder-0.5b")]
    return rates(json.loads(output(command)))


def transformers(args):
    """The same weights by transformers, and with the draft model that Duet has."""
    script = [sys.executable, HERE / "hf_transformers.py"]
    return rates(json.loads(output(["taskset", "-c", 0, *script, *common(args, "smollm2-135m")])))


def common(args, drafter):
    """The request that both peers get."""
    return ["--prompts", args.prompts, "--name", args.workload, "--count", args.count, "--tokens", args.tokens,
            "--model", args.models / f"{TARGET}.gguf", "--draft", args.models / f"{drafter}.gguf"]


def output(command):
    """What a command printed."""
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def rates(report):
    """Plain and speculative decoding, tokens a second."""
    return {"plain": report["plain_tokens_per_second"], "speculative": report["speculative_tokens_per_second"]}


def summary(rounds):
    """Medians over rounds, and what Duet with its drafter is to each."""
    medians = {
        name: {mode: statistics.median(one[name][mode] for one in rounds) for mode in ("plain", "speculative")}
        for name in rounds[0]
    }
    ratios = {
        f"duet speculative / {name} {mode}": statistics.median(one["duet"]["speculative"] / one[name][mode] for one in rounds)
        for name in medians
        for mode in medians[name]
        if (name, mode) != ("duet", "speculative")
    }
    return {"rounds": rounds, "tokens_per_second": medians, "ratios": ratios}


if __name__ == "__main__":
    main()
