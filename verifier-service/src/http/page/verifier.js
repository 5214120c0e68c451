// The verifier's own endpoints. Every failure becomes a Problem that says what to do.

export class Problem extends Error {
  constructor(message, advice) {
    super(message);
    this.advice = advice;
  }
}

export async function describe() {
  const response = await reach("/duet/v1/describe", {});
  return response.json();
}

// Yields {name, data} for each event of a reply. The reply ends with `finish`; a stream that ends without it is a failure.
export async function* generate(request, signal) {
  const response = await reach("/duet/v1/generate", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
    signal,
  });
  for await (const event of events(response.body)) {
    if (event.name === "error") {
      throw new Problem(event.data.error.message, "The text so far is right. Generate it again with the same seed to get the rest.");
    }
    yield event;
    if (event.name === "finish") return;
  }
  throw new Problem("The reply broke off.", "The verifier was stopped or the connection lost. Try again.");
}

async function reach(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The verifier cannot be reached.", "See that it is running and try again.");
  }
  if (response.ok) return response;
  throw await refusal(response);
}

async function refusal(response) {
  let message = `The verifier answered ${response.status}.`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // Not in the shape of our errors: the status has to do.
  }
  if (response.status === 429) {
    const seconds = response.headers.get("retry-after") ?? "a few";
    return new Problem(message, `Everything is busy: try again in ${seconds} s.`);
  }
  if (response.status === 503) return new Problem(message, "The verifier is stopping: try again when it is back.");
  if (response.status < 500) return new Problem(message, "Change the setting it names and generate again.");
  return new Problem(message, "This is a fault of the verifier: its log says more.");
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      waiting += value;
      let end;
      while ((end = waiting.indexOf("\n\n")) >= 0) {
        const event = parse(waiting.slice(0, end));
        waiting = waiting.slice(end + 2);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// Lines that are comments keep the connection alive.
function parse(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null;
}
