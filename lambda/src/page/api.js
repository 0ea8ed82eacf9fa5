// The API next to this page. Every answer that is not what was asked for becomes a `Trouble`, with a sentence and a hint.

// The page is at `/`, `/prod`, `/prod/` or deeper, wherever API Gateway, a function URL or a domain put it; the API is below it.
const BASE = new URL(location.pathname.replace(/\/*$/, "/"), location.origin);
const TOKEN = "curfew-token";

class Trouble extends Error {
  constructor({ message, hint = "", status = 0, wants = "", retryAfter = 0, requestId = "", answer = null }) {
    super(message);
    Object.assign(this, { hint, status, wants, retryAfter, requestId, answer });
  }
}

// In this tab's memory where the browser allows no storage.
let unstored = null;
const token = {
  get() {
    try { return sessionStorage.getItem(TOKEN); } catch { return unstored; }
  },
  set(value) {
    unstored = value;
    try { value === null ? sessionStorage.removeItem(TOKEN) : sessionStorage.setItem(TOKEN, value); } catch { /* `unstored` has it */ }
  },
};

// Twice what the function may take.
const PATIENCE = 20_000;

async function ask(path, body) {
  const headers = { Accept: "application/json" };
  // A header takes no other characters; a token that has some is a wrong one, and the API says so.
  if (token.get()) headers.Authorization = `Bearer ${/^[\x20-\x7e]+$/.test(token.get()) ? token.get() : "-"}`;
  if (body) headers["Content-Type"] = "application/json";
  const options = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), cache: "no-store", credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(PATIENCE) };
  let response, text;
  try {
    response = await fetch(new URL(path, BASE), options);
    text = await response.text();
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Trouble({ message: late ? "Curfew did not answer in time" : "Curfew can't be reached", hint: late ? "what was asked may have been done: the page looks again" : "check the connection; the page tries again by itself" });
  }
  let answer = null;
  try { answer = JSON.parse(text); } catch { /* not ours: told below */ }
  if (response.ok && answer && !answer.error) return answer;
  throw trouble(response, answer);
}

function trouble(response, answer) {
  const { status } = response;
  const header = (name) => response.headers.get(name) ?? response.headers.get(`x-amzn-remapped-${name}`) ?? "";
  const signed = /AWS4-HMAC/.test(header("www-authenticate")) || /MissingAuthenticationToken/.test(header("x-amzn-errortype"));
  const wants = signed ? "signature" : status === 401 ? "token" : "";
  const facts = { status, wants, answer, retryAfter: Number(header("retry-after")) || 0, requestId: answer?.request_id ?? header("x-amzn-requestid") };
  if (answer?.error?.message) return new Trouble({ ...facts, message: answer.error.message, hint: answer.error.hint });
  // From API Gateway, or a proxy on the way.
  if (status === 429) return new Trouble({ ...facts, message: "too many requests at once", hint: "wait a few seconds" });
  if (response.ok) return new Trouble({ ...facts, message: "the answer is not from Curfew", hint: "is there a proxy in between that wants a sign-in? Reload the page" });
  return new Trouble({ ...facts, message: answer?.message ? `${answer.message} (${status})` : `the answer was ${status}`, hint: "the function's log says more" });
}

// One batch of EC2's: with more, the function could run out of time.
const MOST = 100;

// Asks for each id once, a batch after the other, and stops at the first batch that was refused altogether. The limit that the
// API sets to one request is for who did not see how many it means; here a person has been shown and has said yes.
async function change(what, ids, extra) {
  const done = [];
  let wrong = null;
  for (let from = 0; from < ids.length; from += MOST) {
    try {
      const batch = ids.slice(from, from + MOST);
      done.push(...(await ask(what, { instance: batch, all: batch.length > 1, ...extra })).instances);
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      wrong = error;
      if (!error.answer?.instances) break;
      done.push(...error.answer.instances);
    }
  }
  return { done, wrong };
}
