// What the scripts share: a browser, and lines about what was looked at.
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(import.meta.url);
const { chromium } = require(join(process.env.MODULES, "playwright-core"));

export const axeSource = readFileSync(join(process.env.MODULES, "axe-core/axe.min.js"), "utf8");
export const input = JSON.parse(readFileSync(0, "utf8"));

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"],
});

// look runs a check and tells how it went.
export const look = async (name, check) => {
  try {
    await check();
    console.log("ok " + name);
  } catch (error) {
    console.log("not ok " + name + ": " + String(error.stack ?? error).replaceAll("\n", "␤"));
    process.exitCode = 0;
  }
};

export const desk = { viewport: { width: 1280, height: 900 } };
export const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

export const signIn = async (page, username, password) => {
  await page.goto(input.url + "/-/sign_in");
  await page.fill("#username", username);
  await page.fill("#password", password);
  await Promise.all([page.waitForURL((url) => !url.pathname.endsWith("/sign_in")), page.click("main form button")]);
};

export const temporary = (name) => mkdtempSync(join(tmpdir(), name));

export const equal = (what, got, want) => { if (got !== want) throw new Error(`${what}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`); };
export const holds = (what, ok) => { if (!ok) throw new Error(what); };
