#!/usr/bin/env python3
"""Compares greedy ids of another engine with the reference, prompt by prompt.

Both files hold JSON lines with "prompt_id" and "ids"; the reference's also "gaps" and "top2". Up to
the first difference both engines saw the same context; what follows it is not comparable. A
difference at a step where the reference's best two were closer than the tolerance is a tie,
counted; any other is a disagreement. Prints one JSON object; the exit status is 1 when there is a
disagreement or a prompt is missing.
"""

import argparse
import json
import sys
from pathlib import Path


def main():
    """Prints the counts, and each first difference with its gap."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.05, help="a smaller gap is a tie")
    args = parser.parse_args()

    reference, other = by_prompt(args.reference), by_prompt(args.other)
    differences = [
        difference(line, other[name])
        for name, line in reference.items()
        if name in other and line["ids"] != other[name]["ids"]
    ]
    missing = [name for name in reference if name not in other]
    disagreements = [d for d in differences if d["gap"] is None or d["gap"] >= args.tolerance]
    report = {
        "prompts": len(reference),
        "identical": len(reference) - len(differences) - len(missing),
        "ties": len(differences) - len(disagreements),
        "disagreements": len(disagreements),
        "missing": missing,
        "ids_compared": sum(len(line["ids"]) for line in reference.values())
        - sum(len(reference[d["prompt_id"]]["ids"]) - d["step"] - 1 for d in differences)
        - sum(len(reference[name]["ids"]) for name in missing),
        "differences": differences,
    }
    print(json.dumps(report, indent=1))
    sys.exit(1 if disagreements or missing else 0)


def by_prompt(path):
    """The lines of a file by their prompt."""
    lines = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    return {line["prompt_id"]: line for line in lines}


def difference(reference, other):
    """The first step at which the ids differ; no gap where one of the two merely ended early."""
    pairs = zip(reference["ids"], other["ids"])
    unequal = (step for step, (mine, theirs) in enumerate(pairs) if mine != theirs)
    shorter = min(len(reference["ids"]), len(other["ids"]))
    step = next(unequal, shorter)
    found = {"prompt_id": reference["prompt_id"], "step": step, "gap": None, "second_best": None}
    if step < shorter:
        found["gap"] = reference["gaps"][step]
        found["second_best"] = other["ids"][step] == reference["top2"][step][1]
    return found


if __name__ == "__main__":
    main()
