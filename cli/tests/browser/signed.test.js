// The page on a stack that wants signed requests. API Gateway lets nobody in without a signature, to the page neither: it is
// found through a proxy that signs, or where something else than API Gateway is in front.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { API, ERRORS, accessible, close, line, open, picture, stranger, visit } from "./support.js";

before(open);
after(close);

// The emulator wants a signature and checks none; it tells the function of no identity.
const SIGNATURE = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/execute-api/aws4_request, SignedHeaders=host, Signature=00";
const sign = (route) => route.continue({ headers: { ...route.request().headers(), authorization: SIGNATURE } });

test("without a signature API Gateway keeps the page to itself", async () => {
  assert.equal(await stranger(""), 403);
});

test("what it refuses for want of a signature, the page says how to sign", async (t) => {
  const page = await visit(t, { refusals: ERRORS, before: (page) => page.route(`${API}/`, sign) });
  await page.getByRole("heading", { name: "This API requires signed requests" }).waitFor();
  const call = await page.locator("pre").innerText();
  assert.match(call, /^curl --aws-sigv4 "aws:amz:\$AWS_REGION:execute-api"/);
  assert.ok(call.includes(`"${API}/status"`), call);
  assert.equal(await page.getByLabel("Token").isVisible(), false);
  await accessible(page, "how to sign");
  await picture(page, "signed");
});

test("through a proxy that signs it works as it is", async (t) => {
  const page = await visit(t, { before: (page) => page.route(`${API}/**`, sign) });
  await line(page, "web-1").waitFor();
});
