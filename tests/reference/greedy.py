#!/usr/bin/env python3
"""Greedy continuations of plain-text prompts by llama.cpp, as JSON lines.

Each line is one prompt: {"model", "prompt_id", "prompt", "prompt_tokens", "ids", "gaps", "top2",
"logits", "first_end"}. `ids` are the greedy ids, computed one at a time after one prefill;
`gaps[i]` is the distance of the best two logits at step i, `top2[i]` their ids, `logits[i]` the
better one. The end of a sequence does not stop it: `first_end` is the index of the first id that
ends a generation, or null. No chat template: every engine sees the same text.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from engine import Engine, Options


def main():
    """Writes one line for each prompt on standard output and a summary on standard error."""
    args = arguments()
    prompts = [json.loads(line) for line in args.prompts.read_text("utf-8").split("\n") if line]
    options = Options(args.context, args.threads, args.attention == "f32", not args.no_repack)
    started = time.monotonic()
    with Engine(args.engine, args.model, options) as engine:
        for prompt in prompts[: args.first]:
            line = {"model": args.name or args.model.name, "prompt_id": prompt["id"]}
            line |= continuation(engine, prompt["prompt"], args.tokens)
            print(json.dumps(line, ensure_ascii=False), flush=True)
    print(f"{args.model.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--engine", type=Path, required=True, help="folder that prepare.sh filled")
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--name", help="model name to write, by default the file's")
    parser.add_argument("--prompts", type=Path, required=True, help="as prompts.py writes them")
    parser.add_argument("--first", type=int, default=20, help="how many prompts")
    parser.add_argument("--tokens", type=int, default=64, help="how many ids each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--attention", choices=["f16", "f32"], default="f16")
    parser.add_argument("--no-repack", action="store_true", help="plain kernels, file's layout")
    return parser.parse_args()


def continuation(engine, text, count):
    """`count` greedy ids after `text`, with what decided each of them."""
    prompt = engine.tokenize(text)
    engine.truncate(0)
    engine.forward(prompt, 0)
    result = {"prompt": text, "prompt_tokens": prompt}
    result |= {"ids": [], "gaps": [], "top2": [], "logits": [], "first_end": None}
    for step in range(count):
        (best, best_logit), (second, second_logit) = engine.best()
        result["ids"].append(best)
        result["gaps"].append(round(best_logit - second_logit, 5))
        result["top2"].append([best, second])
        result["logits"].append(round(best_logit, 5))
        if result["first_end"] is None and engine.ends(best):
            result["first_end"] = step
        if step + 1 < count:
            engine.forward([best], len(prompt) + step)
    return result


if __name__ == "__main__":
    main()
