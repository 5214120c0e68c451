#!/usr/bin/env python3
"""Starts a drafter and a verifier, real models and real processes, and runs OpenAI's clients and Anthropic's against them.

run.py BINARIES NODE_MODULES: the folder of the services' binaries, and the one in which npm has put the client. The clients
for Python are those that this interpreter imports.
"""

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

TARGET, DRAFTER = "gemma-3-270m", "smollm2-135m"
HERE = pathlib.Path(__file__).parent


@contextlib.contextmanager
def service(binary, *arguments):
    """A service on free ports; gives the addresses that its log names, by what is served there."""
    command = [binary, "--listen", "127.0.0.1:0", "--log-format", "json", *arguments]
    expected = {"serving"}
    if "--http" in arguments:
        expected |= {"serving HTTP", "serving metrics and probes"}
    with tempfile.TemporaryFile("w+") as rest:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        addresses, lines = {}, []
        try:
            while not expected <= addresses.keys():
                line = process.stderr.readline()
                if not line:
                    sys.exit(f"{binary.name} has ended:\n{''.join(lines)}")
                lines.append(line)
                entry = json.loads(line) if line.startswith("{") else {}
                fields = entry.get("fields", entry)
                if "address" in fields:
                    addresses[fields["message"]] = fields["address"]
            # What else it logs must not fill the pipe.
            drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=rest)
            yield addresses
        finally:
            process.terminate()
            status = process.wait(60)
            with contextlib.suppress(UnboundLocalError):
                drain.wait(60)
        if status:
            rest.seek(0)
            sys.exit(f"{binary.name} has failed with {status}:\n{rest.read()[-4000:]}")


def wait_for_drafter(url):
    """Until a request that requires a drafter is let in."""
    body = {"model": TARGET, "prompt": "a", "max_tokens": 1, "speculation": {"mode": "required"}}
    request = urllib.request.Request(
        f"{url}/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60):
                return
        except urllib.error.HTTPError as refusal:
            if json.load(refusal)["error"]["code"] != "no_drafter":
                raise


def main():
    binaries, modules = pathlib.Path(sys.argv[1]), sys.argv[2]
    drafting = ("--model", DRAFTER, "--threads", "1")
    with service(binaries / "drafter-service", *drafting) as drafter:
        verifying = (
            *("--model", TARGET, "--threads", "1", "--max-sessions", "4", "--max-waiting", "12", "--max-wait", "20s"),
            *("--drafter", f"http://{drafter['serving']}", "--http", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"),
            *("--draft-deadline-max", "20s", "--draft-deadline-min", "10s"),
        )
        with service(binaries / "verifier-service", *verifying) as verifier:
            url = f"http://{verifier['serving HTTP']}/v1"
            asked = [url, f"http://{verifier['serving metrics and probes']}", TARGET]
            wait_for_drafter(url)
            python = [[sys.executable, HERE / name] for name in ("client.py", "messages.py")]
            clients = [*python, ["node", HERE / "client.mjs"]]
            ended = [subprocess.run([*client, *asked, modules], check=False).returncode for client in clients]
    sys.exit(any(ended))


if __name__ == "__main__":
    main()
