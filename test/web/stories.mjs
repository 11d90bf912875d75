// The stories of people: what they come for, from the first run to the deletion of a package, at a desk in the light and on a phone in
// the dark. npm is the real one, in a home of its own.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync, readFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { axeSource, desk, equal, holds, input, launch, look, phone, signIn } from "./browser.mjs";

const browser = await launch();
const password = "a password of my own";
// accessible looks at pages that are there at one moment only.
const accessible = async (page) => {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  equal("what axe finds", violations.map((v) => v.id + ": " + v.nodes[0].html).join("\n"), "");
};
const click = (page, name) => page.getByRole("button", { name, exact: true }).click();

await look("first run", async () => {
  const context = await browser.newContext(desk);
  const page = await context.newPage();
  await page.goto(input.url + "/");
  await page.getByRole("link", { name: "Sign in" }).first().click();
  holds("the page says where the password is", (await page.innerText("main")).includes("wrote the password"));
  await page.fill("#username", "root");
  await page.fill("#password", "not the password");
  await page.click("main form button");
  holds("a wrong password is told", (await page.innerText("[role=alert]")).includes("Incorrect"));
  await accessible(page);
  await page.fill("#username", "root");
  await page.fill("#password", input.password);
  await page.click("main form button");
  await page.waitForURL("**/-/setup");
  await page.goto(input.url + "/-/profile/tokens");
  equal("every page leads to the set-up until it is done", new URL(page.url()).pathname, "/-/setup");
  await page.fill("#password", password);
  await page.fill("#repeated", password + "!");
  await page.click("main form button");
  holds("two passwords that differ", (await page.innerText("[role=alert]")).includes("not the same"));
  await accessible(page);
  await page.fill("#password", password);
  await page.fill("#repeated", password);
  await page.click("main form button");
  await page.waitForURL(input.url + "/");
  equal("what was done is said", await page.innerText("[role=status]"), "The password is yours now.");
  await page.reload();
  equal("and said once", await page.locator("[role=status]").count(), 0);
  holds("an empty home says what to do next", (await page.innerText("main")).includes("A project holds packages"));
  await context.close();
});

const story = async (kind, options) => {
  const context = await browser.newContext(options);
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: input.url });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const group = "house-" + kind, name = `@${group}/hammer`;
  const home = join(input.folder, kind), work = join(home, "hammer"), app = join(home, "app");
  mkdirSync(work, { recursive: true });
  mkdirSync(app);
  let token;
  const npm = (folder, line) => execFileSync("sh", ["-c", line], { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env.PATH, HOME: home, npm_config_update_notifier: "false", npm_config_cache: join(home, "cache"), npm_config_audit: "false", npm_config_fund: "false" } });
  const copied = async (locator) => {
    await locator.click();
    return page.evaluate(() => navigator.clipboard.readText());
  };
  // The file of the project, and one's own with the token.
  const npmrc = async (part, folder) => {
    writeFileSync(join(folder, ".npmrc"), await copied(part.getByRole("button", { name: "Copy: .npmrc", exact: true })));
    writeFileSync(join(home, ".npmrc"), (await copied(part.getByRole("button", { name: "Copy: ~/.npmrc", exact: true }))).replace("TOKEN", token));
  };

  await look(`${kind}, a group, a project, a token`, async () => {
    await signIn(page, "root", password);
    await page.goto(input.url + "/-/groups/new");
    await page.fill("#name", group);
    await click(page, "Create the group");
    await page.waitForURL(`**/groups/${group}`);
    await page.getByRole("link", { name: "New project" }).last().click();
    await page.fill("#name", "Tools");
    await click(page, "Create the project");
    await page.waitForURL(`**/${group}/tools`);
    await page.goto(input.url + "/-/profile/tokens");
    await page.fill("#name", "laptop");
    await click(page, "Create the token");
    token = await copied(page.locator(".made [data-copy]"));
    await accessible(page);
    holds(`a token: ${token}`, /^php_[0-9A-Za-z]{38}$/.test(token));
    await page.goto(input.url + "/-/profile/tokens");
    holds("the token is shown once", !(await page.content()).includes(token));
  });

  await look(`${kind}, publish with npm`, async () => {
    await page.goto(`${input.url}/${group}/tools`);
    await npmrc(page.locator("[data-format=npm]"), work);
    writeFileSync(join(work, "package.json"), JSON.stringify({ name, version: "1.0.0", description: "For nails", main: "index.js", license: "MIT" }));
    writeFileSync(join(work, "index.js"), "module.exports = 'bang';\n");
    writeFileSync(join(work, "README.md"), "# Hammer\n\nDrives **nails**.\n");
    npm(work, await copied(page.locator(".copy:not(.block)", { hasText: "npm publish" }).first().locator("[data-copy]")));
  });

  await look(`${kind}, find it by typing, read it, run its install line`, async () => {
    await page.goto(input.url + "/");
    await page.keyboard.press("/");
    await page.keyboard.type("hamm");
    const option = page.getByRole("option", { name: new RegExp(name) });
    await option.waitFor();
    await accessible(page);
    for (let i = 0; i < 8 && (await option.getAttribute("aria-selected")) !== "true"; i++) await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/${group}/tools/-/packages/*`);
    holds("the readme", await page.locator(".readme strong", { hasText: "nails" }).isVisible());
    const line = await copied(page.locator(".install [data-copy]").first());
    equal("the install line", line, `npm install ${name}@1.0.0`);
    await page.locator(".install summary").click();
    await npmrc(page.locator(".install"), app);
    writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", version: "1.0.0" }));
    npm(app, line);
    equal("what was installed", readFileSync(join(app, "node_modules", name, "index.js"), "utf8"), "module.exports = 'bang';\n");
    await page.getByRole("link", { name: /^Files/ }).click();
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator("td a[download]").click()]);
    holds("the file", existsSync(await download.path()));
  });

  await look(`${kind}, deprecate it, delete it`, async () => {
    await page.getByRole("link", { name: "Manage" }).click();
    await page.fill("#reason", "Use a mallet");
    await click(page, "Deprecate");
    equal("it is asked first", await page.innerText("h1"), `Deprecate ${name} 1.0.0?`);
    await accessible(page);
    await click(page, "Deprecate");
    holds("the reason is shown", (await page.innerText("main")).includes("Use a mallet"));
    equal("npm tells", JSON.parse(npm(app, `npm view ${name} deprecated --json`)), "Use a mallet");
    await page.getByRole("link", { name: "Manage" }).click();
    const remove = page.locator("form[data-confirm] button");
    holds("nothing is deleted by one click", await remove.isDisabled());
    await page.fill("form[data-confirm] input", `${name} 1.0.0`);
    await remove.click();
    await page.waitForURL(`**/${group}/tools/-/packages`);
    equal("what was done is said", await page.innerText("[role=status]"), "The version was deleted.");
    let gone = false;
    try { npm(app, `npm view ${name} version`); } catch (error) { gone = /E404/.test(error.stderr); }
    holds("npm does not find it any more", gone);
  });

  await look(`${kind}, sign out`, async () => {
    await page.locator("details.menu summary").last().click();
    await click(page, "Sign out");
    equal("what was done is said", await page.innerText("[role=status]"), "You are signed out.");
    await page.goto(`${input.url}/${group}/tools`);
    holds("a private project is not there", (await page.innerText("h1")).includes("no such page"));
    await page.goBack();
  });
  await context.close();
};

await story("desk", { ...desk, colorScheme: "light" });
await story("phone", { ...phone, colorScheme: "dark" });

await look("without scripts all works by forms and links", async () => {
  const context = await browser.newContext({ ...desk, javaScriptEnabled: false });
  const page = await context.newPage();
  await signIn(page, "root", password);
  await page.goto(input.url + "/-/projects/new");
  await page.fill("#name", "Quiet");
  await click(page, "Create the project");
  await page.waitForURL("**/root/quiet");
  await page.fill("#search", "quiet");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/-/search?q=quiet");
  holds("the project is found", await page.getByRole("link", { name: "root/quiet" }).first().isVisible());
  await page.goto(input.url + "/root/quiet/-/settings");
  await page.fill("#to", "house-desk");
  await page.fill("form[action$='/transfer'] [name=confirm]", "root/quiet");
  await click(page, "Move");
  await page.waitForURL("**/house-desk/quiet/-/settings");
  equal("what was done is said", await page.innerText("[role=status]"), "It was moved. The old address leads here.");
  await page.fill("form[action$='/delete'] [name=confirm]", "house-desk/quie");
  await click(page, "Delete");
  holds("another name than asked for", (await page.innerText("[role=alert]")).includes("another one"));
  await page.fill("form[action$='/delete'] [name=confirm]", "house-desk/quiet");
  await click(page, "Delete");
  equal("what was done is said", await page.innerText("[role=status]"), "It is marked for deletion.");
  await context.close();
});

await look("without scripts nothing is lost by one click", async () => {
  const context = await browser.newContext({ ...desk, javaScriptEnabled: false });
  const page = await context.newPage();
  await signIn(page, "root", password);
  await page.goto(input.url + "/-/profile/tokens");
  await page.fill("#name", "robot");
  await page.locator("[name=scopes][value=api]").check();
  await click(page, "Create the token");
  const token = await page.locator(".made code").innerText();
  const api = async (method, path, body) => {
    const answer = await fetch(input.url + "/api/v4" + path, { method, headers: { "PRIVATE-TOKEN": token, "Content-Type": "application/json" }, body: JSON.stringify(body) });
    holds(`${method} ${path}: ${answer.status}`, answer.ok);
    return answer.status === 204 ? null : answer.json();
  };
  const project = await api("POST", "/projects", { name: "careful" });
  const home = join(input.folder, "careful");
  mkdirSync(home);
  const address = `${input.url}/api/v4/projects/${project.id}/packages/npm/`;
  writeFileSync(join(home, ".npmrc"), `registry=${address}\n${address.replace("http:", "")}:_authToken=${token}\n`);
  writeFileSync(join(home, "package.json"), JSON.stringify({ name: "glass", version: "1.0.0" }));
  execFileSync("npm", ["publish"], { cwd: home, stdio: "pipe", env: { PATH: process.env.PATH, HOME: home } });
  const [pack] = await api("GET", `/projects/${project.id}/packages`);
  const ada = await api("POST", "/users", { username: "ada", name: "Ada", email: "ada@example.com", password: "a password of hers" });
  await api("POST", `/projects/${project.id}/members`, { user_id: ada.id, access_level: 30 });
  await api("POST", `/projects/${project.id}/packages/protection/rules`, { package_name_pattern: "core-*", package_type: "npm", minimum_access_level_for_push: "owner" });
  await api("POST", `/projects/${project.id}/deploy_tokens`, { name: "farm", scopes: ["read_package_registry"] });
  await api("PUT", `/projects/${project.id}/packages/cleanup_policy`, { keep_n_versions: 3 });
  await api("POST", `/users/${ada.id}/personal_access_tokens`, { name: "hers", scopes: ["api"] });
  const place = "/root/careful/-", version = `${place}/packages/${pack.id}`;
  // Where it is, the button, what is asked, and whether the page tells that it is there still.
  for (const [path, button, question, there] of [
    [version + "?tab=manage", "Deprecate", "Deprecate glass 1.0.0?", async () => (await api("GET", `/projects/${project.id}/packages/${pack.id}`)).status === "default"],
    [version + "?tab=files", "Delete the file", /^Delete the file glass-1\.0\.0\.tgz\?$/, async () => (await api("GET", `/projects/${project.id}/packages/${pack.id}/package_files`)).length === 1],
    [place + "/members", "Remove ada", "Remove ada?", async () => (await api("GET", `/projects/${project.id}/members`)).some((m) => m.id === ada.id)],
    [place + "/rules", "Remove core-*", "Remove the rule for core-*?", async () => (await api("GET", `/projects/${project.id}/packages/protection/rules`)).length === 1],
    [place + "/tokens", "Revoke farm", "Revoke farm?", async () => (await api("GET", `/projects/${project.id}/deploy_tokens?active=true`)).length === 1],
    [place + "/cleanup", "Run now", "Run the cleanup now?", async () => (await api("GET", `/projects/${project.id}/packages/cleanup_policy`)).next_run_at === null],
    [`/-/admin/users/${ada.id}`, "block", "Block ada?", async () => (await api("GET", `/users/${ada.id}`)).state === "active"],
  ]) {
    holds(`${question}: it is not there to begin with`, await there());
    const press = async () => {
      await page.goto(input.url + path);
      if (button === "Deprecate") await page.fill("#reason", "It breaks");
      for (const closed = page.locator("main details:not([open]) > summary"); await closed.count(); ) await closed.first().click();
      await click(page, button);
      const asked = await page.innerText("h1");
      holds(`it is asked ${asked}, not ${question}`, question instanceof RegExp ? question.test(asked) : asked === question);
      holds(`${question}: it happened before the answer`, await there());
    };
    await press();
    await page.getByRole("link", { name: "Cancel" }).click();
    equal(`${question}: to cancel leads back`, page.url(), input.url + path);
    holds(`${question}: it happened after all`, await there());
    await press();
    await page.locator("main button.danger").click();
    equal(`${question}: what was done is said`, await page.locator("main [role=status]").count(), 1);
    holds(`${question}: it did not happen`, !(await there()));
  }
  // The token that this was done with, last.
  await page.goto(input.url + "/-/profile/tokens");
  await click(page, "Revoke robot");
  equal("what is asked", await page.innerText("h1"), "Revoke robot?");
  await click(page, "Revoke");
  equal("what was done is said", await page.innerText("[role=status]"), "The token was revoked.");
  equal("the token", (await fetch(input.url + "/api/v4/user", { headers: { "PRIVATE-TOKEN": token } })).status, 401);
  await context.close();
});

await look("sessions are listed and end", async () => {
  const one = await browser.newContext(desk), other = await browser.newContext(desk);
  const page = await one.newPage(), second = await other.newPage();
  await signIn(page, "root", password);
  await signIn(second, "root", password);
  await page.goto(input.url + "/-/profile/sessions");
  await click(page, "End all others");
  await click(page, "End all others");
  equal("what was done is said", await page.innerText("[role=status]"), "All other sessions have ended.");
  await second.goto(input.url + "/-/profile");
  equal("the other browser has to sign in", new URL(second.url()).pathname, "/-/sign_in");
  await one.close();
  await other.close();
});

await look("Chinese by the browser, and by the profile", async () => {
  const context = await browser.newContext({ ...desk, locale: "zh-CN" });
  const page = await context.newPage();
  await page.goto(input.url + "/-/sign_in");
  equal("language", await page.getAttribute("html", "lang"), "zh-CN");
  equal("heading", await page.innerText("h1"), "登录");
  await signIn(page, "root", password);
  await page.goto(input.url + "/-/profile");
  await page.selectOption("#language", "en");
  await page.locator("main form").first().locator("button").click();
  equal("heading in English", await page.innerText("h1"), "Profile");
  await page.selectOption("#theme", "dark");
  await click(page, "Save");
  equal("theme", await page.getAttribute("html", "data-theme"), "dark");
  await context.close();
});

await browser.close();
