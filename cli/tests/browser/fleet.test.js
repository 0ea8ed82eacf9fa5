// The fleet on the page: problems, groups, collapsed schedules, and overrides of one or many instances. The stack is as in
// `page.test.js`.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PHONE, accessible, altered, announced, api, close, counted, fits, launch, launchTagged, line, open, picture, state, status, terminate, visit } from "./support.js";

before(open);
after(close);

const HOUR = 3_600_000;

test("what needs a person comes first, with what to do", async (t) => {
  const ids = await launch("ofice", "shop-1", "shop-2");
  ids.push(...(await launch("Mon-Fry 08:00-20:00 Europe/Paris", "typo-1")));
  ids.push(...(await launchTagged("schedule", "office", "lower-1")));
  t.after(() => terminate(ids));
  const page = await visit(t, { before: (page) => altered(page, "status", (answer) => {
    answer.unanswered = [{ region: "eu-west-3", code: "denied", message: "the account-region `shop/eu-west-3` did not answer", hint: "check its role" }];
    const web = answer.instances.find(({ name }) => name === "web-1");
    web.problem = { code: "retrying", message: "its start failed once", hint: null, tag: null };
  }) });
  const problems = page.getByRole("region", { name: "Needs attention" });
  await problems.getByText("5 instances").waitFor();
  const shops = problems.getByRole("row").filter({ hasText: "shop-1 and shop-2" });
  await shops.getByText("The tag Schedule names the schedule ofice, which does not exist: there is lab, night-stop, office").waitFor();
  await shops.getByText("Set the tag Schedule to office").waitFor();
  await line(page, "typo-1").getByText("Correct the tag Schedule", { exact: true }).waitFor();
  await line(page, "lower-1").getByText("The tag schedule has the value office, but only the tag Schedule counts").waitFor();
  await line(page, "lower-1").getByText("Set the tag Schedule to office", { exact: true }).waitFor();
  assert.match(await problems.getByRole("row").last().textContent(), /web-1/, "a retry comes after the mistakes in tags");
  assert.equal(await problems.getByRole("button", { name: /^(Start|Stop|Override) (shop|typo|lower|2 inst)/ }).count(), 0, "an instance without a schedule can't be changed");
  await shops.getByRole("button", { name: "2 instances" }).click();
  await problems.getByRole("row", { name: /^shop-2 t3/ }).waitFor();
  await page.getByRole("alert").getByText("The account-region shop/eu-west-3 did not answer").waitFor();
  const order = await page.locator("#problems .notice, #problems .card, #groups .card").evaluateAll((all) => all.map((one) => one.ariaLabel ?? "notice"));
  assert.deepEqual(order, ["notice", "Needs attention", "lab", "night-stop", "office"]);
  await counted(page, "All", 7);
  await counted(page, "Needs attention", 5);
  await accessible(page, "the problems");
  await fits(page);
  await picture(page, "problems");
});

test("an override until a chosen time keeps instances running or stopped", async (t) => {
  const { id } = await status("web-1");
  const page = await visit(t);
  await page.getByRole("button", { name: "Override web-1" }).click();
  await page.getByRole("menuitem", { name: "Keep stopped until…" }).click();
  const dialog = page.getByRole("dialog", { name: "Override web-1" });
  const input = dialog.getByLabel("Until");
  assert.equal(await input.evaluate((node) => node === document.activeElement), true);
  assert.equal(await dialog.getByLabel("stopped").isChecked(), true);
  await accessible(page, "the picker");
  await picture(page, "picker");

  const paris = (at) => new Intl.DateTimeFormat("sv-SE", { timeZone: "Europe/Paris", dateStyle: "short", timeStyle: "short" }).format(at).replace(" ", "T");
  await input.fill(paris(Date.now() - HOUR));
  await dialog.getByRole("button", { name: "Override" }).click();
  assert.equal(await dialog.isVisible(), true, "a time in the past is refused");
  const end = Math.floor(Date.now() / 60_000) * 60_000 + 26 * HOUR;
  await input.fill(paris(end));
  await dialog.getByText(/^In 1 d 2 h\. Your time zone, Europe\/Paris/).or(dialog.getByText(/^In 2[56]\sh/)).waitFor();
  await input.press("Enter");
  await announced(page, "web-1 is stopped");
  assert.equal(await state(id), "stopped");
  const { override: override_ } = await status("web-1");
  assert.deepEqual([override_.state, Date.parse(override_.until)], ["stopped", end]);
  await line(page, "web-1").getByText(/^Kept stopped by [\d.]+$/).waitFor();

  await page.getByRole("button", { name: "Override web-1" }).click();
  await page.getByRole("menuitem", { name: "Keep stopped until…" }).click();
  await dialog.getByLabel("running").check();
  await dialog.getByRole("button", { name: "Override" }).click();
  await announced(page, "web-1 is running");
  assert.equal((await status("web-1")).override.state, "running");
  await page.getByRole("button", { name: "Resume the schedule of web-1" }).click();
  await page.getByRole("button", { name: "Resume the schedule of web-1" }).waitFor({ state: "hidden" });
});

test("overrides of a schedule and of the whole fleet are resumed together", async (t) => {
  const more = await launch("office", "web-2");
  t.after(() => terminate(more));
  const page = await visit(t);
  const office = page.getByRole("region", { name: "office" });
  for (const region of ["office", "fleet"]) {
    await office.getByRole("button", { name: "Override all of office" }).click();
    await page.getByRole("menuitem", { name: "1 hour" }).click();
    const question = page.getByRole("dialog", { name: "Override web-1 and web-2?" });
    await question.getByText(/^Kept running until (today|tomorrow) \d\d:\d\d; then they follow their schedules again\.$/).waitFor();
    assert.deepEqual(await question.getByRole("listitem").allInnerTexts(), ["web-1", "web-2"]);
    await question.getByRole("button", { name: "Override 2 instances" }).click();
    await counted(page, "Overridden", 2);
    if (region === "office") {
      await office.getByRole("button", { name: "Resume 2 of office" }).click();
    } else {
      await page.getByRole("button", { name: "Overridden 2" }).click();
      await line(page, "batch-1").waitFor({ state: "detached" });
      await page.getByRole("button", { name: "Resume all 2" }).click();
    }
    const dialog = page.getByRole("dialog", { name: "Resume web-1 and web-2?" });
    assert.deepEqual(await dialog.getByRole("listitem").allInnerTexts(), ["web-1", "web-2"]);
    await dialog.getByRole("button", { name: "Resume 2 instances" }).click();
    await announced(page, "2 follow their schedules again");
    assert.deepEqual([(await status("web-1")).override, (await status("web-2")).override], [null, null]);
  }
});

test("schedules are collapsed and expanded", async (t) => {
  const page = await visit(t);
  const office = page.getByRole("region", { name: "office" });
  const fold = office.getByRole("button", { name: "office", exact: true });
  await line(page, "web-1").waitFor();
  await fold.click();
  await line(page, "web-1").waitFor({ state: "hidden" });
  assert.equal(await fold.getAttribute("aria-expanded"), "false");
  await Promise.all([page.waitForResponse("**/status"), page.getByRole("button", { name: "Refresh" }).click()]);
  await announced(page, "Updated just now");
  assert.equal(await line(page, "web-1").isVisible(), false, "a refresh does not expand it");
  await page.getByRole("searchbox").fill("web-1");
  await line(page, "web-1").waitFor();
  await page.getByRole("searchbox").fill("");
  await line(page, "web-1").waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Collapse all" }).click();
  await line(page, "batch-1").waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Expand all" }).click();
  for (const name of ["web-1", "batch-1", "lab-1"]) await line(page, name).waitFor();
});

test("an inline schedule is shown at its instance", async (t) => {
  const text = "Mon-Sun 00:00-24:00 Europe/Paris";
  const ids = await launch(text, "own-1", "a-name-of-many-words-".repeat(10));
  t.after(() => terminate(ids));
  const page = await visit(t, { viewport: PHONE });
  const inline = page.getByRole("region", { name: "Inline schedules" });
  await inline.getByRole("row").filter({ hasText: "own-1" }).getByText(text, { exact: true }).waitFor();
  await page.getByRole("searchbox").fill("00:00-24:00");
  await line(page, "web-1").waitFor({ state: "detached" });
  await inline.getByText("own-1").waitFor();
  await fits(page);
});

test("the legend explains the colours", async (t) => {
  const page = await visit(t);
  await line(page, "web-1").waitFor();
  await page.getByRole("button", { name: "Legend" }).click();
  const legend = page.getByRole("dialog", { name: "Legend" });
  await legend.getByText("Unmanaged: states stay as they are").waitFor();
  await accessible(page, "the legend");
  await page.keyboard.press("Escape");
  await legend.waitFor({ state: "hidden" });
});

test("hundreds of alike instances are one row, named once", async (t) => {
  // Its own history makes `batch-1` different from the others.
  const batch = await status("batch-1");
  for (const verb of ["stop", "start"]) await api(`${verb}?instance=${batch.id}`);
  const names = Array.from({ length: 297 }, (_, index) => `ci-${index + 1}`);
  const ids = await launch("night-stop", ...names);
  t.after(() => terminate(ids));
  const page = await visit(t);
  const card = page.getByRole("region", { name: "night-stop" });
  await counted(page, "All", 300);
  await card.getByText("298 of 298 running").waitFor();
  const group = card.getByRole("row").filter({ hasText: "ci-1, ci-2 … ci-297" });
  assert.match(await group.innerText(), /297 instances[^]*Running[^]*Stops (today|tomorrow) \d\d:00/);
  assert.equal(await card.getByRole("rowheader").count(), 2, "batch-1 and the group");
  assert.match(await page.locator("#next").innerText(), /^Next: 298 instances of night-stop stop (today|tomorrow) \d\d:00, in \d\sh/);
  const elements = await page.evaluate(() => document.querySelectorAll("*").length);
  assert.ok(elements < 900, `${elements} elements`);
  await accessible(page, "a group");
  await picture(page, "hundreds");

  const open = card.getByRole("button", { name: "297 instances", exact: true });
  await open.click();
  assert.equal(await open.getAttribute("aria-expanded"), "true");
  assert.deepEqual((await card.getByRole("rowheader").allInnerTexts()).slice(2, 5).map((text) => text.split(/\s/)[0]), ["ci-1", "ci-2", "ci-3"]);
  assert.equal(await card.getByRole("rowheader").count(), 50);
  await card.getByRole("button", { name: "Show 249 more" }).click();
  assert.equal(await card.getByRole("rowheader").count(), 299);
  const [first, last] = await page.evaluate(() => {
    const input = document.getElementById("filter");
    const timed = (text) => { const begin = performance.now(); input.value = text; input.dispatchEvent(new Event("input")); return performance.now() - begin; };
    return [timed("ci"), timed("")];
  });
  assert.ok(first < 1_000 && last < 1_000, `300 rows are updated in ${first} and ${last} ms`);
  await picture(page, "hundreds-open");

  await page.getByRole("searchbox").fill("CI-23");
  await card.getByText("ci-239").waitFor();
  assert.equal(await card.getByRole("rowheader").count(), 11, "23, 230 to 239");
  await page.getByRole("searchbox").fill("");

  // A request has at most a hundred instances: more need several requests.
  let requests = 0;
  page.on("request", (request) => { requests += request.url().endsWith("/stop") ? 1 : 0; });
  // What is shown between them splits the group.
  await page.route((url) => url.pathname.endsWith("/stop"), async (route) => {
    const response = await route.fetch();
    if (requests === 1) {
      await page.evaluate(() => document.getElementById("refresh").click());
      await card.getByRole("button", { name: "100 instances", exact: true }).waitFor();
    }
    await route.fulfill({ response });
  });
  await card.getByRole("button", { name: /^Stop 297 instances of night-stop: / }).click();
  const dialog = page.getByRole("dialog", { name: "Stop 297 instances of night-stop?" });
  assert.equal(await dialog.getByRole("listitem").count(), 297);
  await dialog.getByText(/^They stay stopped until the next edge, (today|tomorrow) \d\d:00\.$/).waitFor();
  await picture(page, "confirm-hundreds");
  await dialog.getByRole("button", { name: "Stop 297 instances" }).click();
  await announced(page, "297 are stopped");
  assert.equal(requests, 3);
  await card.getByText("1 of 298 running").waitFor();
  await counted(page, "Stopped", 297);
  assert.equal(await open.getAttribute("aria-expanded"), "true", "the group is as it was");
  await group.getByText("Stopped", { exact: true }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.ariaLabel?.split(":")[0]), "Start 297 instances of night-stop");
});
