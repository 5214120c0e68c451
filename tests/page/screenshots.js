// Takes the pictures in docs/ from the real page: `node screenshots.js FOLDER`.

import { launch } from "./browser.js";
import { startPair } from "./services.js";

const [folder] = process.argv.slice(2);
if (!folder) throw new Error("say into which folder: node screenshots.js ../../docs");

const pair = await startPair();
const browser = await launch();
try {
  const page = await browser.newPage({ viewport: { width: 1120, height: 900 } });
  page.setDefaultTimeout(300_000);
  await page.goto(pair.url);
  await page.getByText("smollm2-135m (ready)").waitFor();
  await page.locator(".settings > summary").click();
  await page.locator("#block-tokens").fill("8");
  await page.locator(".settings > summary").click();
  await page.locator("#generate").click();
  await page.locator("#generate:enabled").waitFor();
  // The selected round, in the middle and after the smooth scrolling to it.
  await page.locator("#timeline").evaluate((timeline) => {
    timeline.style.scrollBehavior = "auto";
    const option = timeline.querySelector("[aria-selected=true] .hit");
    timeline.scrollLeft = option.x.baseVal.value - timeline.clientWidth / 2;
  });
  await picture(page, "page-light");
  await page.emulateMedia({ colorScheme: "dark" });
  await picture(page, "page-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 390, height: 844 });
  await picture(page, "page-phone");
  await page.setViewportSize({ width: 1120, height: 900 });
  await page.locator("#compare").click();
  await page.locator("#generate:enabled").waitFor();
  await picture(page, "page-compare");
} finally {
  await browser.close();
  await pair.verifier.stop();
  await pair.drafter.stop();
}

async function picture(page, name) {
  await page.evaluate(() => document.activeElement?.blur());
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}
