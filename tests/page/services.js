// A drafter and a verifier as real processes on ports of the system's choice. They end with whoever started them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

// Longest time of loading models on a machine that is busy with other tests.
const PATIENCE = 180_000;

export class Service {
  #child;
  #lines = [];
  #news = [];
  #ended = false;

  constructor(name, args) {
    const folder = process.env.DUET_BIN;
    if (!folder) throw new Error("DUET_BIN must name the folder of the binaries, such as target/debug: .ci/page builds and sets it");
    const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^(DUET|OTEL)_/.test(key)));
    this.#child = spawn(`${folder}/${name}`, ["--log-format", "json", "--threads", "1", "--listen", "127.0.0.1:0", ...args], {
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.name = name;
    createInterface({ input: this.#child.stderr }).on("line", (line) => this.#take(line));
    this.#child.on("exit", () => {
      this.#ended = true;
      this.#wake();
    });
    process.on("exit", () => this.#child.kill("SIGKILL"));
  }

  // The address in the line that says `message`, once it does.
  async address(message) {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      const line = this.#lines.find((each) => each.message === message);
      if (line) return line.address;
      const log = () => this.#lines.map((each) => JSON.stringify(each)).join("\n");
      if (this.#ended) throw new Error(`${this.name} ended before it said ${message}:\n${log()}`);
      if (Date.now() > deadline) throw new Error(`${this.name} did not say ${message}:\n${log()}`);
      await new Promise((resolve) => {
        this.#news.push(resolve);
        setTimeout(resolve, 1000).unref();
      });
    }
  }

  async stop(signal = "SIGTERM") {
    if (this.#ended) return;
    const exit = once(this.#child, "exit");
    this.#child.kill(signal);
    await exit;
  }

  #take(line) {
    try {
      this.#lines.push(JSON.parse(line));
    } catch {
      this.#lines.push({ message: line });
    }
    this.#wake();
  }

  #wake() {
    for (const wake of this.#news.splice(0)) wake();
  }
}

// SmolLM2-135M drafting for Qwen2.5-Coder-0.5B, and where their page is. What has been started is stopped if the rest fails.
export async function startPair() {
  const started = [];
  const start = (...of) => {
    started.unshift(new Service(...of));
    return started[0];
  };
  try {
    const drafter = start("drafter-service", ["--model", "smollm2-135m"]);
    const drafts = await drafter.address("serving");
    const verifier = start("verifier-service", [
      "--model", "qwen2.5-coder-0.5b", "--drafter", `http://${drafts}`, "--http", "127.0.0.1:0",
    ]);
    const url = `http://${await verifier.address("serving HTTP")}/`;
    return { drafter, verifier, url };
  } catch (error) {
    for (const service of started) await service.stop();
    throw error;
  }
}
