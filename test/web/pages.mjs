// Opens every page, in both themes, on a desk and on a phone, and in Chinese: axe-core finds nothing, nothing is loaded from elsewhere, nothing is wider
// than the screen, nothing moves while it loads, and a first visit is small. With a folder it writes pictures.
import { join } from "node:path";
import { axeSource, desk, equal, holds, input, launch, look, phone, signIn } from "./browser.mjs";

const maxBytes = 60 * 1024, maxRequests = 8;
const browser = await launch();

// A session of who may do everything and one of who has nothing yet, each begun once.
const begin = async (username, password) => {
  const context = await browser.newContext(desk);
  await signIn(await context.newPage(), username, password);
  const state = await context.storageState();
  await context.close();
  return state;
};
const session = await begin("root", input.password);
const newcomer = await begin(input.newcomer.username, input.newcomer.password);

// Each page is loaded once, and then shown as all of these.
const kinds = [["light", desk, "light"], ["dark", desk, "dark"], ["phone-dark", phone, "dark"], ["phone-light", phone, "light"]];

const contexts = new Map();
const contextOf = async (how) => {
  if (!contexts.has(how)) {
    contexts.set(how, browser.newContext({ ...desk, locale: how.startsWith("zh-CN") ? "zh-CN" : "en-US", storageState: how.endsWith("signed out") ? undefined : how.endsWith("newcomer") ? newcomer : session }).then(async (context) => {
      await context.addInitScript(() => {
        window.moved = 0;
        const add = (entries) => { for (const entry of entries) if (!entry.hadRecentInput) window.moved += entry.value; };
        const observer = new PerformanceObserver((list) => add(list.getEntries()));
        observer.observe({ type: "layout-shift", buffered: true });
        // settle is for what the last frames have moved, of which the observer has not been told.
        window.settle = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => { add(observer.takeRecords()); done(window.moved); })));
      });
      return context;
    }));
  }
  return contexts.get(how);
};

// visit opens an address; "pressed" is what asks there before something is removed.
const visit = async (page, how, path) => {
  let answer = await page.goto(input.url + path, { waitUntil: "load" });
  if (how === "pressed") {
    const press = page.locator("main button.danger").first().evaluate((button) => button.form.requestSubmit(button));
    [answer] = await Promise.all([page.waitForNavigation({ waitUntil: "load" }), press]);
  }
  return answer;
};

// inChinese is the same page for who reads Chinese.
const inChinese = async (name, how, path) => {
  const context = await contextOf("zh-CN" + how), problems = [];
  const page = await context.newPage();
  try {
    await visit(page, how, path);
    equal("language", await page.getAttribute("html", "lang"), "zh-CN");
    await page.evaluate(axeSource);
    const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    for (const v of violations) problems.push(`zh-CN: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 300)).join(" | ")}`);
    if (input.folder) await page.screenshot({ path: join(input.folder, `${name}-chinese.png`), fullPage: true });
    await page.setViewportSize({ width: 320, height: 740 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) problems.push(`zh-CN: ${wide} pixels wider than a screen of 320`);
    return problems;
  } finally {
    await page.close();
  }
};

const check = async (name, address) => {
  const [, how, path] = /^(?:(signed out|newcomer|pressed):)?(.*)$/s.exec(address);
  const context = await contextOf(how ?? "");
  const page = await context.newPage();
  try {
    const complaints = [], requests = [];
    page.on("console", (message) => { if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) complaints.push(message.text()); });
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("request", (request) => requests.push(request.url()));
    const client = await context.newCDPSession(page);
    await client.send("Network.enable");
    let bytes = 0;
    client.on("Network.loadingFinished", (event) => { bytes += event.encodedDataLength; });
    const answer = await visit(page, how, path);
    const want = { error: 404, "error-forbidden": 403, "command-line": 404 }[name] ?? 200;
    equal("status", answer.status(), want);
    const foreign = requests.filter((url) => !url.startsWith(input.url + "/"));
    holds(`requests to elsewhere: ${foreign}`, foreign.length === 0);
    holds(`${requests.length} requests`, requests.length <= maxRequests);
    holds(`${bytes} bytes`, bytes <= maxBytes);
    const moved = await page.evaluate(() => window.settle());
    holds(`layout shift ${moved}`, moved < 0.02); // a line of fields that is painted before its last one came moves by 0.009; lists moved by 0.015 to 0.036
    equal("language", await page.getAttribute("html", "lang"), "en");
    await page.evaluate(axeSource);
    const problems = [];
    for (const [kind, screen, colorScheme] of kinds) {
      await page.setViewportSize(screen.viewport);
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wide > 0) problems.push(`${kind}: ${wide} pixels wider than the screen`);
      const cut = await page.evaluate(() => [...document.querySelectorAll("table.list")].filter((table) => table.getBoundingClientRect().right > document.documentElement.clientWidth || table.scrollWidth > table.clientWidth + 1).length);
      if (cut > 0) problems.push(`${kind}: ${cut} tables are wider than the screen`);
      if (input.folder) await page.screenshot({ path: join(input.folder, `${name}-${kind}.png`), fullPage: true });
      // What does not hang on the colours or the width is looked at once.
      const rules = kind === "light" ? {} : { runOnly: kind === "phone-dark" ? ["color-contrast", "target-size", "scrollable-region-focusable", "landmark-unique", "region", "bypass"] : ["color-contrast"] };
      const { violations } = await page.evaluate((rules) => axe.run(document, { resultTypes: ["violations"], ...rules }), rules);
      for (const v of violations) problems.push(`${kind}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 300) + " " + n.failureSummary).join(" | ")}`);
    }
    problems.push(...await inChinese(name, how ?? "", path));
    holds(`complaints of the browser: ${complaints}`, complaints.length === 0);
    holds(problems.join("\n"), problems.length === 0);
    return bytes;
  } finally {
    await page.close();
  }
};

let most = ["", 0];
const jobs = Object.entries(input.pages).filter(([name]) => !input.only || name.match(input.only));
const work = async () => {
  for (let job; (job = jobs.shift());) {
    const [name, path] = job;
    await look(name, async () => {
      const bytes = await check(name, path);
      if (bytes > most[1]) most = [name, bytes];
    });
  }
};
await Promise.all(input.folder ? [work()] : [work(), work()]); // pictures of two pages at once get mixed up

// A first visit, with nothing in the browser's cache.
await look("first visits are small", async () => {
  let largest = ["", 0, 0];
  for (const path of ["/", input.pages["package-npm"], "/groups/acme/-/packages"]) {
    const context = await browser.newContext(desk);
    const page = await context.newPage();
    const client = await context.newCDPSession(page);
    await client.send("Network.enable");
    let bytes = 0, requests = 0;
    client.on("Network.loadingFinished", (event) => { bytes += event.encodedDataLength; requests++; });
    await page.goto(input.url + path, { waitUntil: "networkidle" });
    if (bytes > largest[1]) largest = [path, bytes, requests];
    holds(`${path}: ${bytes} bytes, ${requests} requests`, bytes <= maxBytes && requests <= maxRequests);
    await context.close();
  }
  console.log(`largest first visit: ${largest[0]}, ${largest[1]} bytes, ${largest[2]} requests`);
});

await look("from 320 to 2560 pixels nothing sticks out", async () => {
  const context = await browser.newContext({ ...desk, storageState: session });
  const page = await context.newPage();
  for (const width of [320, 480, 768, 800, 1024, 2560]) {
    await page.setViewportSize({ width, height: 900 });
    for (const name of ["home", "package-npm", "package-files", "project-packages", "members", "settings", "protection", "tokens", "deploy-tokens", "admin-audit", "admin-users"]) {
      await page.goto(input.url + input.pages[name]);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      holds(`${name} at ${width}: ${wide} pixels too wide`, wide <= 0);
      const over = await page.evaluate(() => [...document.querySelectorAll("table.list th, table.list td")].filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.innerText));
      holds(`${name} at ${width}: cells run over: ${over}`, over.length === 0);
      if (input.folder && [320, 800, 2560].includes(width)) await page.screenshot({ path: join(input.folder, `${name}-${width}.png`), fullPage: true });
    }
  }
  await context.close();
});

await look("a readme full of attacks is harmless", async () => {
  const context = await browser.newContext({ ...desk, storageState: session });
  const page = await context.newPage();
  const requests = [], complaints = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("dialog", (dialog) => { complaints.push("dialog " + dialog.message()); dialog.dismiss(); });
  page.on("console", (message) => { if (message.type() === "error") complaints.push(message.text()); });
  await page.goto(input.url + input.attack, { waitUntil: "networkidle" });
  equal("what an attack has left", await page.evaluate(() => window.attacked), undefined);
  holds(`requests: ${requests}`, requests.every((url) => url.startsWith(input.url + "/")));
  holds(`complaints: ${complaints}`, complaints.length === 0);
  const readme = page.locator(".readme");
  holds("the readme is not shown to its end", (await readme.innerText()).includes("The end of the readme."));
  const left = await readme.evaluate((element) => [...element.querySelectorAll("*")].filter((e) =>
    ["SCRIPT", "STYLE", "IFRAME", "OBJECT", "EMBED", "LINK", "META", "BASE", "FORM", "INPUT", "BUTTON", "SVG", "MATH", "IMG", "VIDEO", "TEXTAREA", "TEMPLATE"].includes(e.tagName.toUpperCase()) && !(e.tagName === "INPUT" && e.disabled) ||
    [...e.attributes].some((a) => a.name.startsWith("on") || a.name === "style" || a.name === "id" || a.name === "class" && !["scroll", "picture"].includes(a.value) || a.name === "href" && !/^(https?|mailto):/.test(a.value))).map((e) => e.outerHTML.slice(0, 200)));
  holds(`left of it: ${left.join("\n")}`, left.length === 0);
  holds("the rest of the page is in the readme", await page.locator("aside").evaluate((aside) => aside.closest(".readme, a, b, table") === null && aside.querySelector(":scope > a") === null));
  // Nothing of it covers the page or leads a click astray.
  for (const link of await readme.locator("a").all()) {
    const href = await link.getAttribute("href");
    holds(`a link to ${href}`, href === null || /^(https?|mailto):/.test(href));
  }
  holds("other links of the page lead to the web only", (await page.locator("main a[href]").evaluateAll((all) => all.every((a) => ["http:", "https:", "mailto:"].includes(a.protocol)))));
  await page.click(".mark");
  equal("the mark leads home", new URL(page.url()).pathname, "/");
  await context.close();
});

console.log(`heaviest page: ${most[0]}, ${most[1]} bytes`);
await browser.close();
