// Calls the API. Every failure is thrown as an `ApiFailure` with a message and a hint.

// The page is at `/`, `/prod`, `/prod/` or deeper, depending on API Gateway, the function URL or the domain; the API is below it.
const BASE = new URL(location.pathname.replace(/\/*$/, "/"), location.origin);
const TOKEN = "curfew-token";

class ApiFailure extends Error {
  constructor({ message, hint = "", status = 0, requires = "", retryAfter = 0, requestId = "", answer = null }) {
    super(message);
    Object.assign(this, { hint, status, requires, retryAfter, requestId, answer });
  }
}

// Keeps the token in memory where the browser allows no storage.
let unstored = null;
const token = {
  get() {
    try { return sessionStorage.getItem(TOKEN); } catch { return unstored; }
  },
  set(value) {
    unstored = value;
    try { value === null ? sessionStorage.removeItem(TOKEN) : sessionStorage.setItem(TOKEN, value); } catch { /* kept in `unstored` */ }
  },
};

// Twice the function's timeout.
const TIMEOUT = 20_000;

async function ask(path, body) {
  const headers = { Accept: "application/json" };
  // A header can't contain other characters. A token with other characters is invalid, and the API rejects the `-`.
  if (token.get()) headers.Authorization = `Bearer ${/^[\x20-\x7e]+$/.test(token.get()) ? token.get() : "-"}`;
  if (body) headers["Content-Type"] = "application/json";
  const options = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), cache: "no-store", credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(TIMEOUT) };
  let response, text;
  try {
    response = await fetch(new URL(path, BASE), options);
    text = await response.text();
  } catch (error) {
    const timedOut = error.name === "TimeoutError";
    throw new ApiFailure({ message: timedOut ? "Curfew did not answer in time" : "Curfew can't be reached", hint: timedOut ? "the change may have been made; the page refreshes" : "check the connection; the page retries automatically" });
  }
  let answer = null;
  try { answer = JSON.parse(text); } catch { /* not JSON: reported below */ }
  if (response.ok && answer && !answer.error) return answer;
  throw failureOf(response, answer);
}

function failureOf(response, answer) {
  const { status } = response;
  const header = (name) => response.headers.get(name) ?? response.headers.get(`x-amzn-remapped-${name}`) ?? "";
  const signed = /AWS4-HMAC/.test(header("www-authenticate")) || /MissingAuthenticationToken/.test(header("x-amzn-errortype"));
  const requires = signed ? "signature" : status === 401 ? "token" : "";
  const facts = { status, requires, answer, retryAfter: Number(header("retry-after")) || 0, requestId: answer?.request_id ?? header("x-amzn-requestid") };
  if (answer?.error?.message) return new ApiFailure({ ...facts, message: answer.error.message, hint: answer.error.hint });
  // The response comes from API Gateway or a proxy.
  if (status === 429) return new ApiFailure({ ...facts, message: "too many requests at once", hint: "wait a few seconds" });
  if (response.ok) return new ApiFailure({ ...facts, message: "the response is not from Curfew", hint: "a proxy may require a sign-in; reload the page" });
  return new ApiFailure({ ...facts, message: answer?.message ? `${answer.message} (${status})` : `the response status was ${status}`, hint: "the function's log has the details" });
}

// One batch of EC2's; with a larger one, the function could run out of time.
const BATCH = 100;

// Requests the change for each id once, batch by batch, and stops at the first batch that fails as a whole. Sets `all`, because the
// user has confirmed the list of instances.
async function change(what, ids, extra = {}) {
  const done = [];
  let wrong = null;
  for (let from = 0; from < ids.length; from += BATCH) {
    try {
      const batch = ids.slice(from, from + BATCH);
      done.push(...(await ask(what, { instance: batch, all: batch.length > 1, ...extra })).instances);
    } catch (error) {
      if (!(error instanceof ApiFailure)) throw error;
      wrong = error;
      if (!error.answer?.instances) break;
      done.push(...error.answer.instances);
    }
  }
  return { done, wrong };
}
