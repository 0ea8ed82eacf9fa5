// A browser, pages that are watched, and the cloud behind the API, seen without Curfew.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Where the deployed API is, without a slash at its end. */
export const API = process.env.CURFEW_API_URL;
/** The emulator. */
export const CLOUD = new URL(API).origin;
const SCREENSHOTS = process.env.CURFEW_SCREENSHOTS;

// In a container there is often neither a sandbox nor a graphics card; and a browser under test asks nobody for updates.
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const DESKTOP = { width: 1200, height: 900 };
export const PHONE = { width: 360, height: 740 };

// For what takes a second on an idle machine.
const PATIENCE = 20_000;

let browser;
export const open = async () => { browser = await chromium.launch({ executablePath: process.env.CURFEW_CHROMIUM, args: FLAGS }); };
export const close = () => browser?.close();

/**
 * The page as a person finds it, in a window of its own. Whatever it logs as an error, throws, or asks of another host fails
 * the test, except for the `refusals` that a test provokes: the browser logs by itself whatever it was refused.
 */
export async function visit(test, { url = `${API}/`, viewport = DESKTOP, colorScheme = "light", timezoneId = "Europe/Paris", refusals, before, ...more } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, timezoneId, locale: "en-GB", ...more });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
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

/** What the browser logs of answers that are errors. */
export const ERRORS = /^Failed to load resource: /;

/** The line of an instance, by its name. */
export const line = (page, name) => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name }) });
/** Waits for what is read out to whoever listens. */
export const heard = (page, text) => page.locator("#announcement").filter({ hasText: text }).waitFor({ state: "attached" });

export async function picture(page, name) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true, animations: "disabled" });
}

/** No serious finding of axe's: everything it calls serious or critical is in the message. */
export async function accessible(page, what) {
  await page.evaluate(`${axe};0`);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
  assert.ok(passes.length > 10, "axe looked at something");
  const grave = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  assert.deepEqual(grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`), [], what);
}

/** No text or control runs out of the window. */
export async function fits(page) {
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.equal(wider, 0, "nothing to scroll sideways");
}

/** The status of an answer, for whoever comes without credentials. */
export async function stranger(path) {
  const response = await fetch(`${API}/${path}`);
  await response.text(); // an answer that nobody reads keeps its connection, and that this process
  return response.status;
}

/** The API's own answer. */
export async function api(path) {
  const response = await fetch(`${API}/${path}`);
  return response.json();
}

export async function status(name) {
  const { instances } = await api("status");
  return instances.find((one) => one.name === name);
}

// The emulator takes any signature, and EC2 answers in XML of which these tests need two or three words.
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

/** What EC2 says, whatever Curfew does. */
export async function state(id) {
  const instances = (await ec2("DescribeInstances")).split("<instanceId>");
  const own = instances.find((text) => text.startsWith(id));
  return own && /<instanceState>.*?<name>([a-z-]+)</s.exec(own)[1];
}

/** Launches instances under a schedule, and answers with their ids. */
export async function launch(schedule, ...names) {
  const ids = [];
  for (const name of names) {
    const tags = { "TagSpecification.1.ResourceType": "instance", "TagSpecification.1.Tag.1.Key": "Name", "TagSpecification.1.Tag.1.Value": name, "TagSpecification.1.Tag.2.Key": "Schedule", "TagSpecification.1.Tag.2.Value": schedule };
    const text = await ec2("RunInstances", { ImageId: "ami-curfewdemo", InstanceType: "t3.micro", MinCount: 1, MaxCount: 1, ...tags });
    ids.push(/<instanceId>(i-[0-9a-f]+)</.exec(text)[1]);
  }
  return ids;
}

export const terminate = (ids) => ec2("TerminateInstances", Object.fromEntries(ids.map((id, index) => [`InstanceId.${index + 1}`, id])));
