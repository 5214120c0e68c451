#!/usr/bin/env python3
"""Decodes rendered prompts with llama.cpp, plainly and with a draft model of the same vocabulary, in turn, and prints one JSON
line in the shape of a workload of `duet bench --json`.

    llama_cpp.py --engine FOLDER --prompts RENDERED --name NAME --model TARGET.gguf [--draft DRAFTER.gguf]
                 [--count 20] [--tokens 64] [--runs 1] [--threads 1] [--block-length 4]

FOLDER is what tests/reference/prepare.sh filled, RENDERED what render.py wrote. Speculation is greedy, with blocks of a fixed length
that one pass verifies. The prompt's pass is left out of the rates, with the first token, which comes of it: a rate is the tokens
after that one by the time from there to the end. Draft and target model compute by turns on the same threads.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "reference"))

from engine import Engine, Options  # noqa: E402  (the folder above has to be known first)

CONTEXT = 2048


def main():
    """Measures and prints one line."""
    args = arguments()
    lines = args.prompts.read_text("utf-8").split("\n")
    prompts = [json.loads(line) for line in lines if line][: args.count]
    options = Options(CONTEXT, args.threads, False, True)
    load = os.getloadavg()[0]
    with Engine(args.engine, args.model, options) as target:
        modes = {"plain": lambda text, tokens: plain(target, text, tokens)}
        if args.draft:
            drafter = Engine(args.engine, args.draft, options)
            pair = Pair(target, drafter, args.block_length)
            modes["speculative"] = pair.decode
        for decode in modes.values():
            decode(prompts[0]["text"], 4)
        pairs = []
        for run in range(args.runs):
            for index, prompt in enumerate(prompts):
                turns = list(modes.items())
                if (run + index) % 2 == 1:
                    turns.reverse()
                pairs.append({name: decode(prompt["text"], args.tokens) for name, decode in turns})
    report = summary(args, pairs)
    report |= {"prompts": len(prompts), "load_at_start": load, "load_at_end": os.getloadavg()[0]}
    print(json.dumps(report))


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--engine", type=Path, required=True, help="folder that prepare.sh filled")
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--model", type=Path, required=True, help="GGUF file of the target")
    parser.add_argument("--draft", type=Path, help="GGUF file of the drafter")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--block-length", type=int, default=4)
    return parser.parse_args()


class Reply:
    """A reply in the making: what it spells, and what it takes."""

    def __init__(self, engine, tokens):
        self.engine = engine
        self.limit = tokens
        self.ids = []
        self.is_done = False
        self.forwards = self.proposed = self.accepted = 0
        self.began = time.perf_counter()

    def add(self, token):
        """Takes in one more id, unless it ends the reply."""
        if self.engine.ends(token):
            self.is_done = True
        elif not self.is_done:
            self.ids.append(token)
            self.is_done = len(self.ids) == self.limit

    def end(self):
        """What came of it."""
        seconds = time.perf_counter() - self.began
        pieces = [self.engine.piece(token) for token in self.ids]
        return {
            "text": b"".join(pieces),
            "bytes": len(b"".join(pieces[1:])),
            "rate": len(self.ids[1:]) / seconds,
            "forwards": max(1, self.forwards),
            "proposed": self.proposed,
            "accepted": self.accepted,
        }


def prefill(engine, text):
    """The prompt's ids, after their pass."""
    prompt = engine.tokenize(text, specials=True)
    engine.truncate(0)
    engine.forward(prompt, 0)
    return prompt


def best(engine, row=-1):
    """The likeliest id of a row."""
    return engine.best(row)[0][0]


def plain(engine, text, tokens):
    """A greedy reply, one pass a token."""
    prompt = prefill(engine, text)
    reply = Reply(engine, tokens)
    reply.add(best(engine))
    while not reply.is_done:
        engine.forward(reply.ids[-1:], len(prompt) + len(reply.ids) - 1)
        reply.forwards += 1
        reply.add(best(engine))
    return reply.end()


class Pair:
    """A target with a drafter of the same vocabulary."""

    def __init__(self, target, drafter, length):
        self.target = target
        self.drafter = drafter
        self.length = length

    def decode(self, text, tokens):
        """A greedy reply, one pass a block."""
        prompt = prefill(self.target, text)
        if prefill(self.drafter, text) != prompt:
            sys.exit("llama_cpp.py: the two models have other vocabularies")
        drafted = len(prompt)  # positions that the drafter holds
        reply = Reply(self.target, tokens)
        reply.add(best(self.target))
        while not reply.is_done:
            known = prompt + reply.ids
            block = self.draft(known, drafted)
            self.target.forward(known[-1:] + block, len(known) - 1, rows=len(block) + 1)
            chosen = [best(self.target, row - len(block) - 1) for row in range(len(block) + 1)]
            kept = next((i for i, token in enumerate(block) if token != chosen[i]), len(block))
            self.target.truncate(len(known) + kept)
            drafted = min(len(known) + kept, len(known) + len(block) - 1)
            self.drafter.truncate(drafted)
            reply.forwards += 1
            reply.proposed += len(block)
            before = len(reply.ids)
            for token in chosen[: kept + 1]:
                reply.add(token)
            reply.accepted += min(kept, len(reply.ids) - before)
        return reply.end()

    def draft(self, known, held):
        """A block that may follow `known`, of which the drafter holds some ids."""
        self.drafter.forward(known[held:], held)
        block = [best(self.drafter)]
        while len(block) < self.length:
            self.drafter.forward(block[-1:], len(known) + len(block) - 1)
            block.append(best(self.drafter))
        return block


def summary(args, pairs):
    """The line to print."""
    report = {
        "name": args.name, "engine": "llama.cpp by node-llama-cpp 3.22.1", "target": args.model.name,
        "drafter": args.draft.name if args.draft else None, "threads": args.threads, "runs": args.runs,
        "max_tokens": args.tokens,
        "plain_tokens_per_second": statistics.median(pair["plain"]["rate"] for pair in pairs),
    }
    if args.draft:
        replies = [pair["speculative"] for pair in pairs]
        total = {field: sum(reply[field] for reply in replies) for field in ("bytes", "forwards", "proposed", "accepted")}
        report |= {
            "block_length": args.block_length,
            "speculative_tokens_per_second": statistics.median(reply["rate"] for reply in replies),
            "speedup": statistics.median(speedups(pairs)),
            "acceptance": total["accepted"] / max(1, total["proposed"]),
            "accepted_per_forward": total["accepted"] / total["forwards"],
            "committed_bytes_per_forward": total["bytes"] / total["forwards"],
            # Its pass over several rows is not bit for bit its pass over one.
            "identical": all(pair["plain"]["text"] == pair["speculative"]["text"] for pair in pairs),
        }
    return report


def speedups(pairs):
    """Of replies that have tokens after the first on both sides."""
    rates = ((pair["plain"]["rate"], pair["speculative"]["rate"]) for pair in pairs)
    return [speculative / plain for plain, speculative in rates if plain and speculative]


if __name__ == "__main__":
    main()
