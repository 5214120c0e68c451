#!/usr/bin/env python3
"""Decodes rendered prompts with HF transformers, plainly and by universal assisted generation, in turn, and prints one JSON
line in the shape of a workload of `duet bench --json`.

    hf_transformers.py --prompts RENDERED --name NAME --model TARGET.gguf [--draft DRAFTER.gguf]
                       [--count 20] [--tokens 64] [--runs 1] [--threads 1]

RENDERED is what render.py wrote. Weights are widened from the GGUF files to f32 (four bytes a weight). The prompt's pass is left
out of the rates, with all that comes of it: what is first streamed, a token or with a drafter a whole block, is the head of the reply,
and a rate is the tokens after it by the time from there to the end. Draft and target model compute by turns on the same threads.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    """Measures and prints one line."""
    args = arguments()
    torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    lines = args.prompts.read_text("utf-8").split("\n")
    prompts = [json.loads(line) for line in lines if line][: args.count]
    load = os.getloadavg()[0]
    target = Peer(args.model)
    modes = {"plain": {}}
    if args.draft:
        drafter = Peer(args.draft)
        modes["speculative"] = {"assistant_model": drafter.model}
        if drafter.vocabulary() != target.vocabulary():
            modes["speculative"] |= {"tokenizer": target.tokenizer, "assistant_tokenizer": drafter.tokenizer}
    for extra in modes.values():
        target.decode(prompts[0]["text"], 4, extra)
    pairs = []
    for run in range(args.runs):
        for index, prompt in enumerate(prompts):
            turns = list(modes.items())
            if (run + index) % 2 == 1:
                turns.reverse()
            pairs.append({name: target.decode(prompt["text"], args.tokens, extra) for name, extra in turns})
    report = summary(args, pairs)
    report |= {"prompts": len(prompts), "load_at_start": load, "load_at_end": os.getloadavg()[0]}
    print(json.dumps(report))


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--model", type=Path, required=True, help="GGUF file of the target")
    parser.add_argument("--draft", type=Path, help="GGUF file of the drafter")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


class Peer:
    """A model with its tokenizer, both from a GGUF file."""

    def __init__(self, path):
        folder, name = str(path.parent), path.name
        self.tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        self.model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
        self.model.eval()
        self.forwards = 0
        self.model.register_forward_hook(self._count)

    def _count(self, *_):
        self.forwards += 1

    def vocabulary(self):
        """Token strings with their ids."""
        return self.tokenizer.get_vocab()

    @torch.no_grad()
    def decode(self, text, tokens, extra):
        """A greedy reply of at most that many tokens."""
        prompt = self.tokenizer(text, return_tensors="pt", add_special_tokens=False)
        clock = Clock()
        self.forwards = 0
        output = self.model.generate(
            **prompt, max_new_tokens=tokens, do_sample=False, streamer=clock,
            pad_token_id=self.tokenizer.eos_token_id, **extra,
        )
        end = time.perf_counter()
        reply = output[0, prompt["input_ids"].shape[1] :].tolist()
        after = reply[clock.head :]
        return {
            "text": self.tokenizer.decode(reply),
            "tokens": len(after),
            "bytes": len(self.tokenizer.decode(after).encode()),
            # The first pass is the prompt's.
            "forwards": max(1, self.forwards - 1),
            "rate": len(after) / (end - clock.first),
        }


class Clock:
    """Takes down when the head of a reply came, which the prompt's pass gave, and how many tokens it has."""

    def __init__(self):
        self.puts = 0
        self.head = 0
        self.first = None

    def put(self, ids):
        """Told of the prompt, then of tokens, one or a block at a time."""
        self.puts += 1
        if self.puts == 2:
            self.head = ids.numel()
            self.first = time.perf_counter()

    def end(self):
        """Told of the end."""


def summary(args, pairs):
    """The line to print."""
    report = {
        "name": args.name, "engine": f"HF transformers {transformers.__version__}, torch {torch.__version__}, f32",
        "target": args.model.name, "drafter": args.draft.name if args.draft else None, "threads": args.threads,
        "runs": args.runs, "max_tokens": args.tokens,
        "plain_tokens_per_second": statistics.median(pair["plain"]["rate"] for pair in pairs),
    }
    if args.draft:
        replies = [pair["speculative"] for pair in pairs]
        total = {field: sum(reply[field] for reply in replies) for field in ("tokens", "bytes", "forwards")}
        report |= {
            "speculative_tokens_per_second": statistics.median(reply["rate"] for reply in replies),
            "speedup": statistics.median(speedups(pairs)),
            # The library does not say how much it proposed.
            "acceptance": None,
            "accepted_per_forward": total["tokens"] / total["forwards"] - 1,
            "committed_bytes_per_forward": total["bytes"] / total["forwards"],
            "identical": all(pair["plain"]["text"] == pair["speculative"]["text"] for pair in pairs),
        }
    return report


def speedups(pairs):
    """Of replies that have tokens after their heads on both sides."""
    rates = ((pair["plain"]["rate"], pair["speculative"]["rate"]) for pair in pairs)
    return [speculative / plain for plain, speculative in rates if plain and speculative]


if __name__ == "__main__":
    main()
