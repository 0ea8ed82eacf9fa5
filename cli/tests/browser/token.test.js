// The page of a stack with token authentication.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { API, ERRORS, accessible, close, line, open, picture, anonymousStatus, visit } from "./support.js";

before(open);
after(close);

const TOKEN = process.env.CURFEW_TOKEN;

test("only the page is served without a token", async () => {
  assert.deepEqual(await Promise.all(["", "status", "schedules"].map(anonymousStatus)), [200, 401, 401]);
});

test("the token is prompted for, kept in the tab, and forgotten on request", async (t) => {
  const page = await visit(t, { refusals: ERRORS });
  const input = page.getByLabel("Token");
  await input.waitFor();
  assert.equal(await input.evaluate((node) => node === document.activeElement), true);
  await accessible(page, "the question");
  await picture(page, "token");

  await page.keyboard.type("not the token");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("Invalid token").waitFor();
  await page.keyboard.type(TOKEN);
  await page.keyboard.press("Enter");
  await line(page, "web-1").waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);
  assert.ok(!page.url().includes(TOKEN));
  const kept = await page.evaluate(() => ({ tab: Object.values(sessionStorage), browser: Object.values(localStorage), cookies: document.cookie, text: document.documentElement.innerHTML }));
  assert.deepEqual([kept.tab, kept.browser, kept.cookies], [[TOKEN], [], ""]);
  assert.ok(!kept.text.includes(TOKEN));
  const other = await page.context().newPage();
  await other.goto(`${API}/`);
  await other.getByLabel("Token").waitFor();
  await other.close();

  await page.reload();
  await line(page, "web-1").waitFor();
  await page.getByRole("button", { name: "Stop web-1" }).click();
  await page.getByRole("listitem").filter({ hasText: "web-1 stopped on request by token" }).waitFor();

  await page.getByRole("button", { name: "Forget token" }).click();
  await input.waitFor();
  assert.equal(await page.getByText("web-1").count(), 0);
  assert.deepEqual(await page.evaluate(() => Object.values(sessionStorage)), []);
});

test("a token with characters invalid in a header is refused as a wrong one", async (t) => {
  const page = await visit(t, { refusals: ERRORS });
  await page.getByLabel("Token").fill("żółw 🐢");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("Invalid token").waitFor();
});
