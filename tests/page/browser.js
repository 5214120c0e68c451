// The distribution's Chromium, without a window, without a network beyond this machine.

import { chromium } from "playwright-core";

export function launch() {
  return chromium.launch({
    executablePath: process.env.DUET_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
}
