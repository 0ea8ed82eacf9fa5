// The page of a deployed stack without authentication: `web-1` is in its office hours, `batch-1` has stop edges only, `lab-1` is
// enforced. There is no edge during these tests.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { API, CLOUD, DESKTOP, ERRORS, PHONE, accessible, altered, api, close, counted, fits, announced, launch, line, open, picture, state, status, terminate, visit } from "./support.js";

before(open);
after(close);

const HOUR = 3_600_000;

test("instances are listed with their state, its cause and the next edge", async (t) => {
  const page = await visit(t);
  await counted(page, "Running", 3);
  const { next } = await status("web-1");
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Paris", hour: "2-digit", minute: "2-digit" }).format(Date.parse(next.at));
  const web = line(page, "web-1");
  await web.getByText("Running", { exact: true }).waitFor();
  await web.getByText(/^(Launched outside Curfew|Started( outside Curfew| by its schedule| before Curfew managed it,| on request by .*)?) (today|yesterday) \d\d:\d\d$/).waitFor();
  await web.getByText(new RegExp(`^Stops (today|tomorrow) ${clock}$`)).waitFor();
  assert.match(await page.locator("#next").innerText(), /^Next: .*batch-1 stops? (today|tomorrow) \d\d:\d\d, in \d\sh/);
  await picture(page, "desktop-light");
});

test("the week is shown as a chart, as text and as a table", async (t) => {
  const page = await visit(t, { timezoneId: "Asia/Tokyo" });
  const office = page.getByRole("region", { name: "office" });
  const strip = office.getByRole("img");
  assert.match(await strip.getAttribute("aria-label"), /^The coming 7 days in Paris: runs (today|yesterday) \d\d:00 to /);
  assert.ok((await strip.locator(".run").count()) >= 7);
  await office.getByText("Exact times").click();
  const columns = await office.getByRole("table").first().getByRole("columnheader").allInnerTexts();
  assert.deepEqual(columns, ["Action", "Europe/Paris", "Yours (Asia/Tokyo)"]);
  const { schedules } = await api("schedules");
  const { next } = schedules.find(({ name }) => name === "office");
  const hours = (timeZone) => new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit" }).format(Date.parse(next.at));
  const [first] = await office.getByRole("table").first().getByRole("row").filter({ hasText: "stop" }).allInnerTexts();
  assert.match(first, new RegExp(`${hours("Europe/Paris")}\\s.*${hours("Asia/Tokyo")}`));
  await line(page, "web-1").getByText(`${hours("Asia/Tokyo")} (`).waitFor();
});

test("stop and start", async (t) => {
  const { id } = await status("web-1");
  const page = await visit(t);
  await page.getByRole("button", { name: "Stop web-1" }).click();
  await announced(page, "web-1 is stopped");
  assert.equal(await state(id), "stopped");
  await line(page, "web-1").getByText("Stopped", { exact: true }).waitFor();
  await line(page, "web-1").getByText(/^Stopped on request by [\d.]+ today \d\d:\d\d$/).waitFor();
  await counted(page, "Running", 2);
  await counted(page, "Stopped", 1);
  await page.getByRole("listitem").filter({ hasText: /web-1 stopped on request by / }).waitFor();
  await page.getByRole("button", { name: "Start web-1" }).click();
  await announced(page, "web-1 is running");
  assert.equal(await state(id), "running");
  await counted(page, "Running", 3);
});

test("an override for two hours, and resume", async (t) => {
  const { id } = await status("batch-1");
  const page = await visit(t);
  await page.getByRole("button", { name: "Stop batch-1" }).click();
  await announced(page, "batch-1 is stopped");
  await page.getByRole("button", { name: "Override batch-1" }).click();
  await page.getByRole("menuitem").filter({ hasText: "2 hours" }).click();
  await announced(page, "batch-1 is running");
  assert.equal(await state(id), "running");
  const { override: override_ } = await status("batch-1");
  assert.equal(override_.state, "running");
  const length = Date.parse(override_.until) - Date.now();
  assert.ok(1.9 * HOUR < length && length < 2.1 * HOUR, override_.until);
  const batch = line(page, "batch-1");
  await batch.getByText(/^Kept running by [\d.]+$/).waitFor();
  await batch.getByText(/^in (2\sh|1\sh 59\smin), then /).waitFor();
  await picture(page, "override");
  await page.getByRole("button", { name: "Resume the schedule of batch-1" }).click();
  await batch.locator(".overridden").waitFor({ state: "hidden" });
  assert.equal((await status("batch-1")).override, null);
});

test("the page can be used with the keyboard only", async (t) => {
  const { id } = await status("web-1");
  const page = await visit(t);
  await line(page, "web-1").waitFor();
  const focused = () => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent);
  const reach = async (name) => {
    for (let press = 0; press < 40; press++) {
      if ((await focused()) === name) return;
      await page.keyboard.press("Tab");
      const outline = await page.evaluate(() => document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle);
      assert.notEqual(outline, "none", `the focus is seen on ${await focused()}`);
    }
    assert.fail(`${name} can't be reached`);
  };
  await reach("Override web-1");
  await page.keyboard.press("Enter");
  assert.match(await focused(), /^1 hour/);
  await page.keyboard.press("Escape");
  assert.equal(await focused(), "Override web-1", "the focus is back where it was");
  await page.keyboard.press("Enter");
  await page.keyboard.press("ArrowUp");
  assert.match(await focused(), /^Keep stopped until…/);
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  assert.match(await focused(), /^2 hours/);
  await page.keyboard.press("Enter");
  await announced(page, "web-1 keeps its state until the override ends");
  assert.equal((await status("web-1")).override.state, "running");
  assert.equal(await focused(), "Override web-1");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(), "Stop web-1");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(), "Resume the schedule of web-1");
  await page.keyboard.press("Space");
  await page.getByRole("button", { name: "Resume the schedule of web-1" }).waitFor({ state: "hidden" });
  assert.equal((await status("web-1")).override, null);
  assert.equal(await state(id), "running");
  assert.equal(await focused(), "Stop web-1", "the focus did not go with the button");
});

test("stopping several instances needs a confirmation that lists them", async (t) => {
  const more = await launch("office", "web-2", "web-3");
  t.after(() => terminate(more));
  const page = await visit(t);
  const office = page.getByRole("region", { name: "office" });
  await office.getByRole("button", { name: "Stop all of office" }).click();
  const dialog = page.getByRole("dialog", { name: "Stop 3 instances of office?" });
  assert.deepEqual(await dialog.getByRole("listitem").allInnerTexts(), ["web-1", "web-2", "web-3"]);
  await accessible(page, "the question");
  await picture(page, "confirm");
  await page.keyboard.press("Enter"); // on "Cancel", which has the focus
  await dialog.waitFor({ state: "hidden" });
  assert.equal(await state(more[0]), "running");

  await page.getByRole("searchbox").fill("web-2 office");
  await line(page, "web-3").waitFor({ state: "detached" });
  await page.getByRole("searchbox").fill("web");
  await office.getByRole("button", { name: "Stop all of office" }).click();
  await dialog.getByRole("button", { name: "Stop 3 instances" }).click();
  await announced(page, "3 are stopped");
  assert.equal(await state(more[1]), "stopped");
  await office.getByRole("button", { name: "Start all of office" }).click();
  await page.getByRole("button", { name: "Start 3 instances" }).click();
  await announced(page, "3 are running");
  assert.equal(await state(more[1]), "running");
});

test("a failure is shown at its instance, with a hint", async (t) => {
  const page = await visit(t, { refusals: ERRORS });
  const web = line(page, "web-1");
  await web.waitFor();
  // An error of the function for a missing instance: the test replaces the body of the page's request.
  await page.route("**/stop", (route) => route.continue({ postData: JSON.stringify({ instance: ["i-0abc1234def567890"] }) }));
  await page.getByRole("button", { name: "Stop web-1" }).click();
  const alert = web.getByRole("alert");
  await alert.getByText("There is no instance i-0abc1234def567890").waitFor();
  await alert.getByText("Nothing was changed; check the id or the name, the region and the account").waitFor();
  await alert.getByText(/^Request /).waitFor();
  await accessible(page, "an error");
  await picture(page, "error");
  await alert.getByRole("button", { name: "Dismiss" }).click();
  await alert.waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), "Stop web-1");
  assert.equal(await state((await status("web-1")).id), "running");

  // An error of API Gateway, and a page of a proxy.
  await page.unroute("**/stop");
  await page.route("**/stop", (route) => route.fulfill({ status: 429, json: { message: "Too Many Requests" } }));
  await page.getByRole("button", { name: "Stop web-1" }).click();
  await alert.getByText("Too many requests at once").waitFor();
  await page.route("**/start", (route) => route.fulfill({ status: 200, body: "<h1>Sign in</h1>" }));
  await page.getByRole("button", { name: "Override web-1" }).click();
  await page.getByRole("menuitem").first().click();
  await alert.getByText("The response is not from Curfew").waitFor();
});

test("a request for a terminated instance shows an error", async (t) => {
  const [id] = await launch("office", "short-lived");
  const page = await visit(t, { refusals: ERRORS });
  await line(page, "short-lived").waitFor();
  await terminate([id]);
  await page.getByRole("button", { name: "Stop short-lived" }).click();
  await page.getByRole("alert").getByText(/short-lived|There is no instance/).first().waitFor();
  await line(page, "short-lived").waitFor({ state: "detached" });
  assert.equal(await page.getByRole("alert").count(), 1, "the line is removed, and the error stays");
});

test("the age of the data turns into the error when a refresh fails", async (t) => {
  const page = await visit(t, { refusals: ERRORS, before: (page) => page.clock.install() });
  await counted(page, "Running", 3);
  const age = page.locator("#age");
  assert.equal(await age.innerText(), "Updated just now");
  const clock = await page.evaluate(() => new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" }).format(Date.now()));
  await page.context().setOffline(true);
  await page.clock.fastForward(65_000);
  await page.getByRole("alert").getByText("Curfew can't be reached").waitFor();
  await page.getByRole("alert").getByText(new RegExp(`^This is the state of today ${clock}; check the connection`)).waitFor();
  await page.clock.runFor(6_000);
  assert.match(await age.innerText(), /^Refresh failed, updated 1\smin ago$/);
  await counted(page, "Running", 3);
  await accessible(page, "an old state");
  await picture(page, "stale");
  await page.context().setOffline(false);
  await page.getByRole("button", { name: "Refresh" }).click();
  await page.getByRole("alert").waitFor({ state: "detached" });
  assert.equal(await age.innerText(), "Updated just now");
});

test("a skeleton is shown until the first response", async (t) => {
  let respond;
  const held = new Promise((resolve) => { respond = resolve; });
  const page = await visit(t, { before: (page) => page.route("**/status", async (route) => { await held; await route.continue(); }) });
  await page.locator("#skeleton").waitFor();
  await page.getByText("Loading…").waitFor();
  await picture(page, "loading");
  respond();
  await counted(page, "Running", 3);
  assert.equal(await page.locator("#skeleton").isVisible(), false);
});

test("names are escaped", async (t) => {
  const hostile = [`<img src=x onerror="document.title='owned'">`, `</td></table><script>document.title='owned'</script>`, "\u202Egnp.1-bew"];
  const ids = await launch("office", ...hostile);
  t.after(() => terminate(ids));
  const page = await visit(t);
  await page.getByText(hostile[0]).first().waitFor();
  await page.getByText(hostile[1]).first().waitFor();
  assert.match(await page.title(), /running · Curfew$/);
  assert.equal(await page.locator("main img, main script").count(), 0);
  await page.getByRole("button", { name: `Stop ${hostile[0]}` }).click();
  await page.locator("#announcement").getByText(`${hostile[0]} is stopped`).waitFor({ state: "attached" });
  await fits(page);
});

test("the content security policy is enforced", async (t) => {
  const page = await visit(t, { refusals: /(blocked|Content Security Policy)\.?\s*$|fallback\.\s*$|^asked http:\/\/192\.0\.2\.1$/, before: (page) => page.addInitScript(() => {
    globalThis.refused = [];
    document.addEventListener("securitypolicyviolation", (event) => globalThis.refused.push(event.effectiveDirective));
  }) });
  await line(page, "web-1").waitFor();
  const tried = await page.evaluate(async () => {
    // The policy does not apply to code that the test evaluates directly, but to code in a later task.
    await new Promise((resolve) => { setTimeout(resolve, 0); });
    const attempt = async (deed) => { try { return `done: ${await deed()}`; } catch (error) { return error.name; } };
    const element = (name, properties) => Object.assign(document.createElement(name), properties);
    const results = {};
    results.markup = await attempt(() => { document.body.innerHTML += "<i>markup</i>"; });
    results.script = await attempt(() => { document.body.append(element("script", { text: "document.title = 'owned'" })); });
    results.eval = await attempt(() => (0, eval)("document.title = 'owned'"));
    results.elsewhere = await attempt(() => fetch("http://192.0.2.1/"));
    results.beacon = await attempt(() => { new Image().src = "http://192.0.2.1/beacon"; });
    results.handler = await attempt(() => { document.body.setAttribute("onclick", "document.title = 'owned'"); });
    results.style = await attempt(() => { document.body.append(element("style", { textContent: "body { display: none }" })); return getComputedStyle(document.body).display; });
    results.frame = await attempt(() => { document.body.append(element("iframe", { src: "https://example.com/" })); });
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    return { results, refused: globalThis.refused, title: document.title };
  }).catch((error) => assert.fail(error.message));
  assert.match(tried.title, /running · Curfew$/);
  const { markup, script, eval: evaluated, handler, elsewhere, style } = tried.results;
  assert.deepEqual({ markup, script, evaluated, handler, elsewhere, style }, { markup: "TypeError", script: "TypeError", evaluated: "EvalError", handler: "TypeError", elsewhere: "TypeError", style: "done: block" });
  for (const directive of ["require-trusted-types-for", "connect-src", "img-src", "style-src-elem", "frame-src"]) {
    assert.ok(tried.refused.includes(directive), `${directive} in ${tried.refused}`);
  }
});

test("an injected script does not run", async (t) => {
  const refusals = [];
  const page = await visit(t, { refusals: /Content Security Policy/, before: async (page) => {
    page.on("console", (message) => refusals.push(message.text()));
    await page.route(`${API}/`, async (route) => {
      const response = await route.fetch();
      const injected = `<body><script>document.title = "owned"</script><img src="data:," onerror="document.title = 'owned'"><p id="styled" style="color: red">`;
      await route.fulfill({ response, body: (await response.text()).replace("<body>", injected) });
    });
  } });
  await line(page, "web-1").waitFor();
  assert.match(await page.title(), /running · Curfew$/);
  assert.equal(await page.locator("#styled").evaluate((node) => getComputedStyle(node).color === getComputedStyle(document.body).color), true);
  assert.equal(refusals.length, 3, refusals.join("\n"));
});

test("security headers are set", async () => {
  const response = await fetch(`${API}/`);
  const { headers } = response;
  assert.match(await response.text(), /^<!doctype html>/);
  assert.equal(headers.get("content-type"), "text/html; charset=utf-8");
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.equal(headers.get("referrer-policy"), "no-referrer");
  assert.equal(headers.get("cache-control"), "no-cache");
  assert.match(headers.get("content-security-policy"), /default-src 'none'.*frame-ancestors 'none'/);
  const again = await fetch(`${API}/`, { headers: { "If-None-Match": headers.get("etag") } });
  assert.deepEqual([again.status, await again.text()], [304, ""]);
});

test("the API is found behind any path prefix", async (t) => {
  const [, id, stage] = /\/restapis\/([^/]+)\/([^/]+)\/_user_request_$/.exec(API);
  const { port } = new URL(CLOUD);
  const host = `http://${id}.execute-api.localhost:${port}/${stage}`;
  for (const url of [API, `${API}/`, `${CLOUD}/_aws/execute-api/${id}/${stage}`, `${CLOUD}/_aws/execute-api/${id}/${stage}/`, host, `${host}/`]) {
    const page = await visit(t, { url });
    await counted(page, "Running", 3);
  }
});

for (const [size, viewport] of [["desktop", { width: 1440, height: 900 }], ["tablet", { width: 768, height: 1024 }], ["phone", PHONE]]) {
  for (const colorScheme of ["light", "dark"]) {
    test(`it can be read and used by everyone: ${size}, ${colorScheme}`, async (t) => {
      const page = await visit(t, { viewport, colorScheme });
      await line(page, "web-1").waitFor();
      await page.getByText("Exact times").first().click();
      const paper = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
      const brightness = Math.max(...paper.match(/\d+/g).map(Number));
      assert.equal(brightness < 64, colorScheme === "dark", paper);
      await accessible(page, "the fleet");
      await fits(page);
      const small = await page.getByRole("button").evaluateAll((all) => all.map((one) => [one.textContent, one.getBoundingClientRect()]).filter(([, { width, height }]) => width && (width < 24 || height < 24)).map(([text]) => text));
      assert.deepEqual(small, [], "fingers hit what is 24 px wide and high");
      await page.getByRole("button", { name: "Override web-1" }).click();
      await accessible(page, "the menu");
      const { x, width } = await page.getByRole("menu").boundingBox();
      assert.ok(x >= 0 && x + width <= viewport.width, "the menu is in the window");
      await page.keyboard.press("Escape");
      await picture(page, `${size}-${colorScheme}`);
    });
  }
}

test("one button opens and closes the menu", async (t) => {
  const page = await visit(t);
  const keep = page.getByRole("button", { name: "Override web-1" });
  const menu = page.getByRole("menu");
  for (const turn of [1, 2]) {
    await keep.click();
    await menu.waitFor();
    assert.equal(await keep.getAttribute("aria-expanded"), "true", `turn ${turn}`);
    await keep.click();
    await menu.waitFor({ state: "hidden" });
    assert.equal(await keep.getAttribute("aria-expanded"), "false", `turn ${turn}`);
  }
});

test("a refused step is shown with EC2's error code and the next attempt", async (t) => {
  const page = await visit(t, { before: (page) => altered(page, "status", (answer) => {
    const web = answer.instances.find(({ name }) => name === "web-1");
    const next = new Date(Date.now() + 5 * 60_000).toISOString();
    Object.assign(web, { state: "stopped", pending_action: "start", retry: { edge_at: answer.at, action: "start", attempts: 3, error_code: "InsufficientInstanceCapacity", next_attempt_at: next }, problem: { code: "retrying", message: "its start failed", hint: null, tag: null } });
  }) });
  await line(page, "web-1").getByText(/^The start failed: InsufficientInstanceCapacity, tried 3 times; next attempt in [45]\smin$/).waitFor();
  await page.getByRole("button", { name: "Needs attention 1" }).click();
  await line(page, "batch-1").waitFor({ state: "detached" });
  await picture(page, "refused");
});

test("account-region and fallback type are shown where they apply", async (t) => {
  const page = await visit(t, { before: (page) => altered(page, "status", (answer) => {
    Object.assign(answer.instances.find(({ name }) => name === "web-1"), { region: "eu-south-2", fallback: { desired_type: "m8g.large", current_type: "t3.micro" } });
  }) });
  await line(page, "web-1").getByText(/^i-[0-9a-f]+ · eu-south-2$/).waitFor();
  await line(page, "web-1").getByText("t3.micro (no capacity for m8g.large)", { exact: true }).waitFor();
  await line(page, "batch-1").getByText(/^i-[0-9a-f]+ · us-east-1$/).waitFor();
  await page.unrouteAll();
  await page.reload();
  await line(page, "web-1").getByText(/^i-[0-9a-f]+$/).waitFor();
});

test("reduced motion disables animations", async (t) => {
  const page = await visit(t, { reducedMotion: "reduce", before: (page) => altered(page, "status", (answer) => {
    for (const one of answer.instances) one.state = "pending";
  }) });
  await line(page, "web-1").getByText("Starting").waitFor();
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
  assert.equal(await page.getByRole("button", { name: "Stop web-1" }).getAttribute("aria-disabled"), "true", "EC2 can't be asked yet");
});

test("the page refreshes periodically, and pauses in the background", async (t) => {
  const page = await visit(t, { before: async (page) => {
    await page.clock.install();
    await page.addInitScript(() => {
      let hidden = false;
      Object.defineProperty(document, "hidden", { get: () => hidden });
      globalThis.hide = (value) => { hidden = value; document.dispatchEvent(new Event("visibilitychange")); };
    });
  } });
  let looks = 0;
  page.on("request", (request) => { looks += request.url().endsWith("/status") ? 1 : 0; });
  await line(page, "web-1").waitFor();
  const looked = (what) => assert.equal(looks > 0, what);
  looks = 0;
  await Promise.all([page.waitForResponse("**/status"), page.clock.fastForward(25_000)]);
  looked(true);
  await page.evaluate(() => globalThis.hide(true));
  looks = 0;
  await page.clock.fastForward(600_000);
  looked(false);
  await Promise.all([page.waitForResponse("**/status"), page.evaluate(() => globalThis.hide(false))]);
  looked(true);
});
