// The page of a stack that requires signed requests. API Gateway refuses unsigned requests, also for the page: it is reached
// through a proxy that signs, or without API Gateway.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { API, ERRORS, accessible, close, line, open, picture, anonymousStatus, visit } from "./support.js";

before(open);
after(close);

// The emulator requires a signature without verifying it, and passes no identity to the function.
const SIGNATURE = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/execute-api/aws4_request, SignedHeaders=host, Signature=00";
const sign = (route) => route.continue({ headers: { ...route.request().headers(), authorization: SIGNATURE } });

test("API Gateway refuses an unsigned request for the page", async () => {
  assert.equal(await anonymousStatus(""), 403);
});

test("the page explains how to sign a refused request", async (t) => {
  const page = await visit(t, { refusals: ERRORS, before: (page) => page.route(`${API}/`, sign) });
  await page.getByRole("heading", { name: "This API requires signed requests" }).waitFor();
  const call = await page.locator("pre").innerText();
  assert.match(call, /^curl --aws-sigv4 "aws:amz:\$AWS_REGION:execute-api"/);
  assert.ok(call.includes(`"${API}/status"`), call);
  assert.equal(await page.getByLabel("Token").isVisible(), false);
  await accessible(page, "how to sign");
  await picture(page, "signed");
});

test("the page works through a proxy that signs", async (t) => {
  const page = await visit(t, { before: (page) => page.route(`${API}/**`, sign) });
  await line(page, "web-1").waitFor();
});
