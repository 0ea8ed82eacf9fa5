// A browser, pages that fail the test on errors, and direct access to the emulator behind the API.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The URL of the deployed API, without a trailing slash. */
export const API = process.env.CURFEW_API_URL;
/** The emulator's origin. */
export const CLOUD = new URL(API).origin;
const SCREENSHOTS = process.env.CURFEW_SCREENSHOTS;

// A container often has neither a sandbox nor a graphics card, and the browser should not check for updates.
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const DESKTOP = { width: 1200, height: 900 };
export const PHONE = { width: 360, height: 740 };

// For actions that take a second on an idle machine.
const TIMEOUT = 20_000;

let browser;
export const open = async () => { browser = await chromium.launch({ executablePath: process.env.CURFEW_CHROMIUM, args: FLAGS }); };
export const close = () => browser?.close();

/**
 * Opens the page in a new context. Logged errors, exceptions, and requests to other hosts fail the test, except for the
 * `refusals` that a test provokes: the browser itself logs refused requests.
 */
export async function visit(test, { url = `${API}/`, viewport = DESKTOP, colorScheme = "light", timezoneId = "Europe/Paris", refusals, before, ...more } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, timezoneId, locale: "en-GB", ...more });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT);
  const complaints = [];
  const complain = (text) => refusals?.test(text) || complaints.push(text);
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complain(message.text()));
  page.on("pageerror", (error) => complain(error.stack));
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (to.protocol !== "data:" && to.origin !== new URL(url).origin) complain(`asked ${to.origin}`);
  });
  test.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  await before?.(page);
  await page.goto(url);
  return page;
}

/** The browser's log entry for an error response. */
export const ERRORS = /^Failed to load resource: /;

/** The row of the instance with this name. */
export const line = (page, name) => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name }) });
/** Waits for a text in the live region that screen readers announce. */
export const announced = (page, text) => page.locator("#announcement").filter({ hasText: text }).waitFor({ state: "attached" });

/** Waits for a count of the summary, such as `Running 3`. */
export const counted = (page, what, n) => page.getByRole("group", { name: "Show" }).getByRole("button", { name: `${what} ${n}`, exact: true }).waitFor();

export async function picture(page, name) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true, animations: "disabled" });
}

/** Asserts that axe has no findings; the message lists them. */
export async function accessible(page, what) {
  await page.evaluate(`${axe};0`);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
  assert.ok(passes.length > 10, "axe ran its checks");
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`), [], what);
}

/** Asserts that the page has no horizontal overflow. */
export async function fits(page) {
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.equal(wider, 0, "nothing to scroll sideways");
}

/** The status of a response to a request without credentials. */
export async function anonymousStatus(path) {
  const response = await fetch(`${API}/${path}`);
  await response.text(); // an unread response keeps the connection and with it this process
  return response.status;
}

/** The API's response. */
export async function api(path) {
  const response = await fetch(`${API}/${path}`);
  return response.json();
}

export async function status(name) {
  const { instances } = await api("status");
  return instances.find((one) => one.name === name);
}

// The emulator accepts any signature; the tests need only a few words of EC2's XML.
async function ec2(action, parameters = {}) {
  const response = await fetch(CLOUD, {
    method: "POST",
    headers: { "Content-Type": "application/x-www-form-urlencoded", Authorization: "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=00" },
    body: new URLSearchParams({ Action: action, Version: "2016-11-15", ...parameters }),
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return text;
}

/** The state of an instance in EC2. */
export async function state(id) {
  const instances = (await ec2("DescribeInstances")).split("<instanceId>");
  const own = instances.find((text) => text.startsWith(id));
  return own && /<instanceState>.*?<name>([a-z-]+)</s.exec(own)[1];
}

/** Lets a test change the API's responses to `path` before the page receives them. */
export const altered = (page, path, alter) => page.route((url) => url.pathname.endsWith(`/${path}`), async (route) => {
  const response = await route.fetch();
  const answer = await response.json();
  alter(answer);
  await route.fulfill({ response, json: answer });
});

/** Launches instances with the schedule tag, and returns their ids. */
export const launch = (schedule, ...names) => launchTagged("Schedule", schedule, ...names);

/** Launches instances with a tag, and returns their ids. */
export async function launchTagged(key, value, ...names) {
  const ids = [];
  for (const name of names) {
    const tags = { "TagSpecification.1.ResourceType": "instance", "TagSpecification.1.Tag.1.Key": "Name", "TagSpecification.1.Tag.1.Value": name, "TagSpecification.1.Tag.2.Key": key, "TagSpecification.1.Tag.2.Value": value };
    const text = await ec2("RunInstances", { ImageId: "ami-curfewdemo", InstanceType: "t3.micro", MinCount: 1, MaxCount: 1, ...tags });
    ids.push(/<instanceId>(i-[0-9a-f]+)</.exec(text)[1]);
  }
  return ids;
}

export const terminate = (ids) => ec2("TerminateInstances", Object.fromEntries(ids.map((id, index) => [`InstanceId.${index + 1}`, id])));
