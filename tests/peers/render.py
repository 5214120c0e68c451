#!/usr/bin/env python3
"""Renders prompts for engines that take text, the way Duet's workloads of the same name reach the target.

    render.py --kind chat|bodies|plain PROMPTS > RENDERED

PROMPTS comes from tests/reference/prompts.py. Writes JSON lines of {"id", "text"}: ChatML with the default system message of
the Qwen2.5 models, up to where the reply goes on. Special tokens are to be parsed.
"""

import argparse
import json
from pathlib import Path

SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


def main():
    """Writes the rendered prompts on standard output."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kind", choices=["chat", "bodies", "plain"], required=True)
    parser.add_argument("prompts", type=Path)
    args = parser.parse_args()
    for line in args.prompts.read_text("utf-8").split("\n"):
        if line:
            prompt = json.loads(line)
            question, begun = asked(args.kind, prompt["prompt"])
            print(json.dumps({"id": prompt["id"], "text": chatml(question, begun)}, ensure_ascii=False))


def asked(kind, prompt):
    """The question, and how its answer begins."""
    code = f"```python\n{prompt}"
    if kind == "chat":
        return f"Complete this function. Reply with the whole function.\n\n{code}```", ""
    if kind == "bodies":
        return f"Complete this function.\n\n{code}```", code
    return prompt, ""


def chatml(question, begun):
    """One turn, answered up to `begun`."""
    turns = [("system", SYSTEM), ("user", question)]
    rendered = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    return f"{rendered}<|im_start|>assistant\n{begun}"


if __name__ == "__main__":
    main()
