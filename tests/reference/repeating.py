#!/usr/bin/env python3
"""Writes prompts whose replies repeat them: documents to be given back as they are, or with one name changed.

    repeating.py [--count 6] [--lines 40] > repeating.jsonl

Documents are made here from a seed, line by line: code, a table, a log, a list of steps. To be run with
`workloads.py --kind plain`.
"""

import argparse
import json
import random

NAMES = ["invoice", "ledger", "vessel", "harbour", "orchard", "signal", "beacon", "kettle", "lantern", "quarry", "meadow", "anchor"]
VERBS = ["check", "count", "load", "merge", "order", "print", "reset", "sort", "split", "store"]


def code(dice, lines):
    out = ["TOTALS = {}", ""]
    while len(out) < lines:
        verb, name, limit = dice.choice(VERBS), dice.choice(NAMES), dice.randint(2, 900)
        out += [f"def {verb}_{name}_{limit}(items):", f"    if len(items) > {limit}:", f"        TOTALS['{name}'] = len(items)",
                f"    return [item for item in items if item.{name} != {limit}]", ""]
    return out


def table(dice, lines):
    rows = [f"{number},{dice.choice(NAMES)},{dice.choice(VERBS)},{dice.randint(100, 99999)}" for number in range(1, lines)]
    return ["number,item,action,amount", *rows]


def log(dice, lines):
    return [f"2024-03-{dice.randint(10, 28)} 1{dice.randint(0, 9)}:{dice.randint(10, 59)} {dice.choice(NAMES)}: {dice.choice(VERBS)} took "
            f"{dice.randint(3, 900)} ms" for _ in range(lines)]


def steps(dice, lines):
    return [f"{number}. {dice.choice(VERBS).title()} the {dice.choice(NAMES)} behind the {dice.choice(NAMES)}, then wait {dice.randint(2, 59)} "
            "minutes." for number in range(1, lines + 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--lines", type=int, default=40)
    args = parser.parse_args()
    for number in range(args.count):
        dice = random.Random(number)
        document = "\n".join([code, table, log, steps][number % 4](dice, args.lines))
        task = "Repeat the following document exactly, without any comment."
        if number % 8 >= 4:
            task = f"Give the following document back with every \"{NAMES[0]}\" replaced by \"bill\", and nothing else changed."
        print(json.dumps({"id": f"repeating/{number}", "prompt": f"{task}\n\n{document}\n"}))


if __name__ == "__main__":
    main()
