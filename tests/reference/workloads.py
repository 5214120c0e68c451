#!/usr/bin/env python3
"""Runs prompts through real services, with and without speculation, and compares.

    workloads.py --bin target/release --prompts humaneval.jsonl --kind chat|bodies|plain [--target NAME] [--drafters NAME,NAME]
                 [--count 20] [--tokens 64] [--settings 0,0.8] [--seeds 1,2,3] [--block-lengths 8,auto] [--methods auto] [--no-baseline]

Prompt files come from prompts.py. `chat` asks for the whole function, so that replies repeat the prompt's code; `bodies` begins the
reply with the signature; `plain` sends the prompt as a message. For every drafter, setting and block length it prints one JSON line:
how many texts were byte-identical to plain decoding, accepted tokens and committed bytes per target forward, tokens per second of
decoding with and without (medians over prompts, both in turn). Everything goes over gRPC between processes on this machine, one
compute thread each.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of the binaries")
    parser.add_argument("--prompts", required=True)
    parser.add_argument("--kind", choices=["chat", "bodies", "plain"], required=True)
    parser.add_argument("--target", default="qwen2.5-coder-1.5b")
    parser.add_argument("--drafters", default="smollm2-135m")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--settings", default="0", help="temperatures; above 0 with top-p 0.95")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--block-lengths", default="auto")
    parser.add_argument("--methods", default="auto")
    parser.add_argument("--patience", action="store_true",
                        help="wait for every block, so that a busy machine does not change what is accepted")
    parser.add_argument("--no-baseline", action="store_true")
    return parser.parse_args()


class Service:
    """A service on a free port, ended with the object."""

    def __init__(self, folder, name, *flags):
        command = [os.path.join(folder, name), "--listen", "127.0.0.1:0", "--threads", "1", "--log-format", "json", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("message", entry.get("fields", {}).get("message")) == "serving":
                address = entry.get("address") or entry["fields"]["address"]
                self.url = f"http://{address}"
                break
        else:
            sys.exit(f"{name} did not start")
        # Nobody reads the log from here on; a full pipe would stop the service.
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.drain.wait()


def flags_of(kind, prompt):
    if kind == "chat":
        question = f"Complete this function. Reply with the whole function.\n\n```python\n{prompt}```"
        return [question]
    if kind == "bodies":
        return ["--begin", f"```python\n{prompt}", f"Complete this function.\n\n```python\n{prompt}```"]
    return [prompt]


def generate(args, url, prompt, extra):
    command = [os.path.join(args.bin, "duet"), "generate", "--verifier", url, "--json", "--max-tokens", str(args.tokens)]
    done = subprocess.run([*command, *extra, *flags_of(args.kind, prompt)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"duet generate failed: {done.stderr}")
    return json.loads(done.stdout)


def rate(answer):
    return answer["usage"]["completion_tokens"] / answer["usage"]["decode_seconds"]


def main():
    args = arguments()
    with open(args.prompts, encoding="utf-8") as lines:
        prompts = [json.loads(line)["prompt"] for line in lines][: args.count]
    drafters = args.drafters.split(",")
    runs = {}
    services = []
    for name in drafters:
        drafter = Service(args.bin, "drafter-service", "--model", name)
        patience = ["--draft-deadline-min", "20s", "--draft-deadline-max", "20s"] if args.patience else []
        verifier = Service(args.bin, "verifier-service", "--model", args.target, "--drafter", drafter.url, *patience)
        services += [drafter, verifier]
        for temperature in args.settings.split(","):
            for seed in args.seeds.split(",") if float(temperature) > 0 else ["1"]:
                sampling = ["--temperature", temperature, "--seed", seed]
                sampling += ["--top-p", "0.95"] if float(temperature) > 0 else []
                for number, prompt in enumerate(prompts):
                    plain = None
                    if not args.no_baseline:
                        plain = generate(args, verifier.url, prompt, [*sampling, "--speculation", "off"])
                    for length, method in itertools.product(args.block_lengths.split(","), args.methods.split(",")):
                        extra = sampling if length == "auto" else [*sampling, "--block-length", length]
                        extra = extra if method == "auto" else [*extra, "--method", method, "--allow-lossy"]
                        answer = generate(args, verifier.url, prompt, extra)
                        runs.setdefault((name, temperature, length, method), []).append((number, plain, answer))
        for service in (verifier, drafter):
            service.stop()
    for (name, temperature, length, method), rows in runs.items():
        total = {key: sum(row[2]["usage"][key] for row in rows) for key in ("target_forwards", "committed_bytes")}
        details = [row[2]["usage"]["completion_tokens_details"] for row in rows]
        accepted = sum(detail["accepted_prediction_tokens"] for detail in details)
        proposed = accepted + sum(detail["rejected_prediction_tokens"] for detail in details)
        report = {
            "kind": args.kind, "target": args.target, "drafter": name, "temperature": float(temperature),
            "block_length": length, "method": method, "runs": len(rows),
            "accepted_per_forward": round(accepted / total["target_forwards"], 3),
            "acceptance": round(accepted / max(proposed, 1), 3),
            "bytes_per_forward": round(total["committed_bytes"] / total["target_forwards"], 2),
            "tokens_per_second": round(statistics.median(rate(row[2]) for row in rows), 2),
            "load": round(os.getloadavg()[0], 2),
        }
        if not args.no_baseline:
            report["identical"] = sum(row[1]["text"] == row[2]["text"] for row in rows)
            report["plain_tokens_per_second"] = round(statistics.median(rate(row[1]) for row in rows), 2)
            report["speedup"] = round(statistics.median(rate(row[2]) / rate(row[1]) for row in rows), 3)
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
