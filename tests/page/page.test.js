// The page in real headless Chromium, against a real pair: what a person does, and what a person must see.

import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, test } from "node:test";

import { launch } from "./browser.js";
import { startPair } from "./services.js";

const PATIENCE = 120_000;

let pair;
let browser;
let page;
let faults;

before(async () => {
  pair = await startPair();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await pair?.verifier.stop();
  await pair?.drafter.stop();
});

beforeEach(async () => {
  faults = [];
  page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    // The console is meant to report an answer such as 400.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) faults.push(message.text());
  });
  await page.goto(pair.url);
  await page.getByText("smollm2-135m (ready)").waitFor();
});

afterEach(async () => {
  await page.close();
  assert.deepEqual(faults, []);
});

async function settings(values) {
  if ((await page.locator(".settings").getAttribute("open")) === null) await page.locator(".settings > summary").click();
  for (const [id, value] of Object.entries(values)) await page.locator(`#${id}`).fill(`${value}`);
}

async function ended() {
  await page.locator("#generate:enabled").waitFor();
}

// Tests draft blocks of a fixed length: what pays depends on the machine.
async function generate(prompt, tokens) {
  await page.locator("#prompt").fill(prompt);
  await settings({ "max-tokens": tokens, "block-tokens": 6 });
  await page.locator("#generate").click();
  await ended();
}

const REPEAT = "Repeat this word for word: the quick brown fox jumps over the lazy dog, then over the quick brown fox.";

async function text(locator) {
  return (await page.locator(`${locator} .piece`).allTextContents()).join("");
}

// The reply that the same request gets without the page.
async function reply(speculation) {
  const response = await fetch(new URL("duet/v1/generate", pair.url), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      prompt: { conversation: { messages: [{ role: "user", content: REPEAT }] } },
      max_tokens: 40, seed: 7, sampling: { temperature: 0 }, speculation,
    }),
  });
  const events = (await response.text()).split("\n\n").filter(Boolean);
  const chunks = events.filter((event) => event.startsWith("event: chunk")).map((event) => JSON.parse(event.split("data: ")[1]));
  return chunks.flatMap(({ pieces }) => pieces.map((piece) => piece.text)).join("");
}

test("generation shows the text of plain decoding, each piece with its origin", async () => {
  await generate(REPEAT, 40);
  assert.equal(await text("#text"), await reply({ mode: "off" }));
  assert.ok((await page.locator("#text .piece.accepted").count()) > 0);
  const legend = await page.locator("#legend li").allTextContents();
  for (const origin of ["accepted", "correction", "bonus", "plain"]) {
    assert.ok(legend.some((entry) => entry.startsWith(origin)), origin);
  }
  // Marks differ without colour, too.
  const styles = await page.locator("#legend .run").evaluateAll((runs) => runs.map((run) => {
    const style = getComputedStyle(run);
    return `${style.textDecorationLine} ${style.textDecorationStyle}`;
  }));
  assert.equal(new Set(styles).size, 4, styles.join());
  assert.match(await page.locator("#status").textContent(), /after \d+ tokens .* greedy/);
});

test("rounds are on the time line and can be walked through by keyboard", async () => {
  await generate(REPEAT, 40);
  const rounds = page.getByRole("option");
  const count = await rounds.count();
  assert.ok(count > 2);
  assert.ok((await page.locator("#timeline .bar-verify").count()) > 0);
  assert.ok((await page.locator("#timeline .bar-fell").count()) > 0);
  await rounds.first().focus();
  await page.keyboard.press("Home");
  assert.equal(await page.locator("#alignment-title").textContent(), "Round 1");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.locator("#alignment-title").textContent(), "Round 2");
  assert.equal(await page.locator("[role=option][aria-selected=true]").getAttribute("data-round"), "2");
  await page.keyboard.press("End");
  assert.equal(await page.locator("#alignment-title").textContent(), `Round ${count}`);
  assert.ok(await page.locator("#later").isDisabled());
});

test("alignment shows what was drafted, what it became and what the target thought of it", async () => {
  await generate(REPEAT, 40);
  const label = (option) => option.getAttribute("aria-label");
  const labels = await Promise.all((await page.getByRole("option").all()).map(label));
  const index = labels.findIndex((each) => /: [1-9]\d* of \d+ tokens accepted/.test(each));
  assert.ok(index >= 0, labels.join("\n"));
  const [, accepted, proposed] = labels[index].match(/: (\d+) of (\d+)/).map(Number);
  await page.getByRole("option").nth(index).press("Home");
  for (let step = 0; step < index; step += 1) await page.locator("#later").click();
  const view = page.locator("#alignment-view");
  assert.equal(await view.locator(".token.accepted").count(), accepted);
  const candidates = await view.locator(".token.accepted, .token.rejected, .token.behind").count();
  assert.equal(candidates, proposed);
  assert.ok((await view.locator(".token.draft").count()) > 0);
  assert.ok((await view.locator("path.link").count()) > 0);
  for (const chance of await view.locator(".token.accepted .chance").allTextContents()) assert.match(chance, /^✓ .*\d %$/);
  await page.locator("#alignment details > summary").click();
  const rows = await page.locator("#alignment-table tbody tr").count();
  assert.ok(rows === proposed || rows === proposed + 1);
});

test("stop ends the reply at once and frees its session", async () => {
  await page.locator("#prompt").fill("Write a very long story about a lighthouse.");
  await settings({ "max-tokens": 2000, "block-tokens": 4 });
  await page.locator("#generate").click();
  await page.locator("#text .piece").first().waitFor();
  await page.keyboard.press("Escape");
  await ended();
  assert.equal(await page.locator("#status").textContent(), "Stopped.");
  const seen = await text("#text");
  assert.ok(seen.length > 0);
  for (;;) {
    const { sessions } = await (await fetch(new URL("duet/v1/describe", pair.url))).json();
    if (sessions === 0) break;
  }
  assert.equal(await text("#text"), seen);
});

test("error names the setting and says what to do", async () => {
  await page.locator("#form").evaluate((form) => {
    form.noValidate = true;
    for (const input of form.querySelectorAll("input")) input.removeAttribute("max");
  });
  await page.locator("#prompt").fill("Hello");
  await settings({ "max-tokens": 10, temperature: 3 });
  await page.locator("#generate").click();
  const problem = page.getByRole("alert");
  await problem.waitFor();
  assert.match(await problem.textContent(), /temperature is 3: it must be 0 to 2.*Change the setting/);
  await settings({ temperature: 0 });
  await page.locator("#generate").click();
  await ended();
  assert.ok(await problem.isHidden());
});

test("verifier that cannot be reached is reported with advice", async () => {
  await page.route("**/duet/v1/generate", (route) => route.abort("connectionrefused"));
  await page.locator("#prompt").fill("Hello");
  await page.locator("#generate").click();
  await page.getByRole("alert").waitFor();
  assert.match(await page.getByRole("alert").textContent(), /cannot be reached.*See that it is running/);
});

test("comparison runs both and finds the texts identical", async () => {
  await page.locator("#prompt").fill(REPEAT);
  await settings({ "max-tokens": 32, "block-tokens": 6 });
  await page.locator("#compare").click();
  await ended();
  assert.match(await page.locator("#verdict").textContent(), /^✓ Identical text, [\d.]+× /);
  assert.equal(await text(".column.on"), await text(".column.off"));
  assert.equal(await page.locator(".column.off .piece:not(.plain)").count(), 0);
  assert.ok((await page.locator(".column.on .piece.accepted").count()) > 0);
});

test("comparison of a reply that was cut off gives no verdict on the text", async () => {
  const usage = { completion_tokens: 3, decode_micros: 1000, target_forwards: 3 };
  const finish = JSON.stringify({ reason: "cancelled", method: "greedy", usage });
  const body = `event: finish\ndata: ${finish}\n\n`;
  let asked = 0;
  // The first is answered; of the second nothing comes but its end.
  await page.route("**/duet/v1/generate", (route) => {
    asked += 1;
    return asked === 1 ? route.continue() : route.fulfill({ contentType: "text/event-stream", body });
  });
  await page.locator("#prompt").fill(REPEAT);
  await settings({ "max-tokens": 8, "block-tokens": 6 });
  await page.locator("#compare").click();
  await ended();
  assert.equal(asked, 2);
  assert.match(await page.locator("#verdict").textContent(), /^✗ Not compared: the verifier had to stop/);
});

test("page asks nobody but its own port and runs no script of others", async () => {
  const hosts = new Set();
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  const response = await page.goto(pair.url);
  const policy = response.headers()["content-security-policy"];
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  await generate("<img src=x onerror=alert(1)><script>alert(1)</script>", 8);
  assert.deepEqual([...hosts], [new URL(pair.url).host]);
  assert.equal(await page.locator("#text img, #text script").count(), 0);
});

test("phone's width shows everything without scrolling sideways", async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  await generate(REPEAT, 24);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(wide, 0);
});
