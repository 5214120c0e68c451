#!/usr/bin/env python3
"""Times llama.cpp on one model file and prints one JSON object.

`decode`: tokens a second of greedy decoding after a prompt. `rows`: what a pass over m rows costs
at a given depth of context, in milliseconds and in units of one row; the m alternate within each
repetition, so that load which comes and goes falls on all of them. Both come by the wall clock and
by the process's own processor time, which leaves out what other processes took: with one thread
the two agree on a quiet machine.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

from engine import Engine, Options

TEXT = (
    "def merge_sorted(left, right):\n"
    '    """Merges two sorted lists of numbers into one sorted list, in linear time."""\n'
    "    merged, i, j = [], 0, 0\n"
    "    while i < len(left) and j < len(right):\n"
    "        if left[i] <= right[j]:\n"
    "            merged.append(left[i])\n"
    "            i += 1\n"
    "        else:\n"
    "            merged.append(right[j])\n"
    "            j += 1\n"
    "    return merged + left[i:] + right[j:]\n\n\n"
)


def main():
    """Prints the figures with the load average before and after."""
    args = arguments()
    options = Options(args.context, args.threads, False, True)
    report = {"engine": "llama.cpp", "model": args.model.name, "threads": args.threads}
    report["load_before"] = os.getloadavg()[0]
    with Engine(args.engine, args.model, options) as engine:
        report["system"] = engine.system()
        ids = long_enough(engine, max(args.prompt, args.depth) + max(args.rows))
        report["decode"] = decode(engine, ids[: args.prompt], args)
        if args.rounds > 0:
            report["rows"] = rows(engine, ids, args)
    report["load_after"] = os.getloadavg()[0]
    print(json.dumps(report))


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--engine", type=Path, required=True, help="folder that prepare.sh filled")
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--prompt", type=int, default=64, help="tokens before decoding")
    parser.add_argument("--tokens", type=int, default=48, help="tokens decoded")
    parser.add_argument("--repetitions", type=int, default=3, help="of decoding; the median counts")
    parser.add_argument("--depth", type=int, default=128, help="positions held when rows are timed")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--rounds", type=int, default=9, help="of row timings; 0 leaves them out")
    return parser.parse_args()


def long_enough(engine, count):
    """At least `count` ids of ordinary code."""
    text = TEXT
    while len(ids := engine.tokenize(text)) < count:
        text += TEXT
    return ids


def decode(engine, prompt, args):
    """Tokens a second, each repetition from a fresh prefill that is not timed."""
    by_wall, by_processor = [], []
    for _ in range(args.repetitions):
        engine.truncate(0)
        engine.forward(prompt, 0)
        wall, processor = clock()
        for step in range(args.tokens):
            (best, _), _ = engine.best()
            engine.forward([best], len(prompt) + step)
        wall_end, processor_end = clock()
        by_wall.append(args.tokens / (wall_end - wall))
        by_processor.append(args.tokens / (processor_end - processor))
    return {
        "prompt": len(prompt),
        "tokens": args.tokens,
        "tokens_per_second": round(statistics.median(by_wall), 3),
        "tokens_per_processor_second": round(statistics.median(by_processor), 3),
        "repetitions": [round(value, 3) for value in by_wall],
    }


def rows(engine, ids, args):
    """What a pass over m rows costs after `depth` positions."""
    engine.truncate(0)
    engine.forward(ids[: args.depth], 0)
    by_wall = {count: [] for count in args.rows}
    by_processor = {count: [] for count in args.rows}
    for round_number in range(args.rounds + 1):
        for count in args.rows:
            wall, processor = clock()
            engine.forward(ids[args.depth : args.depth + count], args.depth, rows=count)
            wall_end, processor_end = clock()
            engine.truncate(args.depth)
            if round_number > 0:  # the first one warms each shape
                by_wall[count].append(wall_end - wall)
                by_processor[count].append(processor_end - processor)
    return {"depth": args.depth, "wall": costs(by_wall), "processor": costs(by_processor)}


def costs(seconds):
    """Medians in milliseconds, and as multiples of the first number of rows."""
    medians = {count: statistics.median(values) for count, values in seconds.items()}
    unit = next(iter(medians.values()))
    return {
        str(count): {"milliseconds": round(value * 1e3, 3), "units": round(value / unit, 3)}
        for count, value in medians.items()
    }


def clock():
    """Wall and processor seconds."""
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    main()
