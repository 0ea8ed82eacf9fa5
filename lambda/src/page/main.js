// The page's main loop: fetches the fleet, shows it, sends changes and refreshes.

const $ = (id) => document.getElementById(id);

// A refresh costs one invocation and one DescribeInstances. Transitions take seconds, so the page refreshes faster during one.
const SLOW_INTERVAL = 20_000, FAST_INTERVAL = 3_000, MAX_INTERVAL = 120_000;
// The schedules change with the configuration, and the week at midnight.
const SCHEDULES_FRESH = 5 * MINUTE;

let fleet = null; // the latest response to `/status`
let schedules = null; // the latest response to `/schedules`
let schedulesAt = 0; // when it was received
let skew = 0; // the difference between the API's clock and the browser's
let refreshedAt = 0;
let failures = 0;
let timer = null;
let refreshing = null;
let beyond = false; // whether unmanaged instances are shown
let shownKind = "all";
const cards = new Map();
const now = () => Date.now() + skew;

async function refresh() {
  clearTimeout(timer);
  refreshing ??= fetchFleet().finally(() => { refreshing = null; scheduleRefresh(); });
  return refreshing;
}

async function fetchFleet() {
  try {
    const stale = Date.now() - schedulesAt > SCHEDULES_FRESH;
    const [status, timetables] = await Promise.all([ask(beyond ? "status?all=true" : "status"), stale ? weeks() : schedules]);
    [fleet, schedules] = [status, timetables];
    skew = Date.parse(status.at) - Date.now();
    // The API returns whole seconds, and the response took time: a smaller difference is no skew.
    if (Math.abs(skew) < 5_000) skew = 0;
    refreshedAt = Date.now();
    failures = 0;
    enter("fleet");
    $("trouble").replaceChildren();
    show();
  } catch (error) {
    if (!(error instanceof ApiFailure)) throw error;
    failures += 1;
    refused(error);
  }
}

// Fetches one day more than is shown, because the week moves at midnight. The fleet is shown even if this fails.
async function weeks() {
  try {
    const answer = await ask(`schedules?days=${DAYS + 1}`);
    schedulesAt = Date.now();
    return answer;
  } catch (error) {
    if (error.requires !== "") throw error;
    return schedules ?? { schedules: [] };
  }
}

// Schedules the next refresh. A page in a background tab does not refresh.
function scheduleRefresh() {
  clearTimeout(timer);
  if (document.hidden || !$("token").hidden || !$("signed").hidden) return;
  const eager = fleet?.instances.some(inFlight) && failures === 0;
  const pause = Math.max(Math.min((eager ? FAST_INTERVAL : SLOW_INTERVAL) * 2 ** failures, MAX_INTERVAL), failures ? scheduleRefresh.retryAfter * 1000 : 0);
  timer = setTimeout(refresh, pause);
}
scheduleRefresh.retryAfter = 0;

function refused(error) {
  scheduleRefresh.retryAfter = error.retryAfter;
  if (error.requires === "signature") return enter("signed");
  if (error.requires === "token") {
    const had = token.get() !== null;
    token.set(null);
    enter("token");
    $("trouble").replaceChildren(...(had ? [notice({ message: "invalid token", hint: "enter a token that is deployed" })] : []));
    return;
  }
  if (!fleet) setText($("big"), "The fleet is unavailable");
  $("trouble").replaceChildren(notice(error));
}

// Shows one of three sections: the fleet, the sign-in, or how to sign requests.
function enter(what) {
  const entered = $(what).hidden;
  for (const id of ["fleet", "token", "signed"]) $(id).hidden = id !== what;
  $("answer").hidden = what !== "fleet";
  $("refresh").hidden = what !== "fleet";
  $("forget").hidden = token.get() === null;
  if (what !== "fleet") setText($("age"), "");
  if (what === "token" && entered) $("token-input").focus();
  if (what === "signed") setText($("signed-call"), signedCall());
}

function signedCall() {
  const region = /\.(?:execute-api|lambda-url)\.([a-z0-9-]+)\./.exec(location.hostname)?.[1] ?? "$AWS_REGION";
  const service = /\.lambda-url\./.test(location.hostname) ? "lambda" : "execute-api";
  return [`curl --aws-sigv4 "aws:amz:${region}:${service}"`, `--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"`, `-H "X-Amz-Security-Token: $AWS_SESSION_TOKEN"`, `"${new URL("status", BASE)}"`].join(" \\\n  ");
}

const KINDS = {
  all: ["All", () => true],
  running: ["Running", (one) => one.state === "running"],
  stopped: ["Stopped", (one) => one.state === "stopped"],
  moving: ["In transition", inFlight],
  awry: ["Needs attention", needsAttention],
  overridden: ["Overridden", (one) => Boolean(one.override)],
};
const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const NO_SCHEDULE = "No schedule", OWN_SCHEDULE = "Inline schedules";

function show() {
  const at = now();
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (one) => {
    const text = [one.name, one.id, one.instance_type, one.region, one.schedule, one.state].join(" ").toLowerCase();
    return KINDS[shownKind][1](one) && words.every((word) => text.includes(word));
  };
  const managed = fleet.instances.filter(isManaged);
  setText($("big"), summary(managed));
  document.title = `${managed.filter((one) => one.state === "running").length}/${managed.length} running · Curfew`;
  $("answer").classList.remove("waiting");
  const next = nextUp(managed, at);
  $("next").replaceChildren(...(next ? ["Next: ", make("b", {}, next.names), ` ${next.verb} `, make("b", {}, next.when), `, in ${next.wait}.`] : [managed.length ? "No next edge." : guide()]));
  showChips();

  const groups = new Map(schedules.schedules.map((schedule) => [schedule.name, { schedule, all: [] }]));
  for (const one of fleet.instances) {
    const name = one.schedule ?? null;
    if (!groups.has(name)) groups.set(name, { schedule: null, all: [] });
    groups.get(name).all.push(one);
  }
  const regions = new Set(fleet.instances.map(({ region }) => region)).size;
  const placed = [];
  let fitting = 0;
  for (const [name, { schedule, all }] of groups) {
    const title = name === null ? NO_SCHEDULE : schedule ? name : OWN_SCHEDULE;
    if (!cards.has(name)) cards.set(name, new Card(title, act));
    const card = cards.get(name);
    all.sort((a, b) => order.compare(label(a), label(b)) || order.compare(a.id, b.id));
    const shown = all.filter(fits);
    fitting += shown.length;
    card.show(schedule, all, shown, at, regions);
    // A schedule without instances is shown unless a filter is set, because its week is of interest too.
    if (schedule && !all.length && !words.length && shownKind === "all") card.node.hidden = false;
    placed.push(card.node);
  }
  place($("groups"), placed);
  $("empty").hidden = fitting > 0 || !fleet.instances.length;
  setText($("empty"), "No instance matches. Clear the filter to see all of them.");
  $("beyond").hidden = !fleet.unmanaged && !beyond;
  setText($("beyond").firstChild, beyond ? "" : `${count(fleet.unmanaged, "instance")} without a schedule ${fleet.unmanaged === 1 ? "is" : "are"} not shown.`);
  setText($("beyond").lastChild, beyond ? "Hide instances without a schedule" : fleet.unmanaged === 1 ? "Show it" : "Show them");
  showLately(at);
  showAge();
}

function guide() {
  const name = schedules.schedules[0]?.name;
  return name ? `Tag an instance Schedule=${name}, and it shows up here.` : "The configuration has no schedules; deploy one that has schedules to see them here.";
}

function showChips() {
  const chips = Object.entries(KINDS).map(([kind, [text, fits]]) => ({ kind, text, n: fleet.instances.filter(fits).length }));
  const wanted = chips.filter(({ kind, n }) => n || kind === shownKind || kind === "all");
  const nodes = wanted.map(({ kind, text, n }) => {
    showChips[kind] ??= make("button", { type: "button", onclick: () => { shownKind = kind; show(); } }, text, " ", make("b"));
    showChips[kind].ariaPressed = String(kind === shownKind);
    setText(showChips[kind].lastChild, String(n));
    return showChips[kind];
  });
  place($("chips"), nodes);
}

function showLately(at) {
  const changed = fleet.instances.filter((one) => one.last_change).sort((a, b) => Date.parse(b.last_change.at) - Date.parse(a.last_change.at)).slice(0, 10);
  $("lately").hidden = !changed.length;
  const how = ({ last_change: changed }) => (changed.cause ? cause(changed) : DONE[changed.action]);
  const lines = changed.map((one) => ({ iso: one.last_change.at, when: moment(Date.parse(one.last_change.at), at), who: label(one), how: how(one) }));
  if (!hasChanged($("lately"), lines)) return;
  $("lately").querySelector("ol").replaceChildren(...lines.map(({ iso, when, who, how }) => make("li", {}, make("time", { className: "soft", dateTime: iso }, when), make("span", {}, make("b", {}, who), ` ${how}`))));
}

function showAge() {
  if (!refreshedAt || $("fleet").hidden) return;
  const age = Math.round((Date.now() - refreshedAt) / 1000);
  setText($("age"), age < 10 ? "Up to date" : age < 60 ? `${Math.floor(age / 10) * 10} s ago` : `${length(age * 1000)} ago`);
}

async function act(verb, targets, place, hours) {
  if (place.isActing || place.isBusy || !targets.length) return;
  if (verb !== "resume" && !hours && place instanceof Line && place.turn.ariaDisabled === "true") return;
  const wanted = targets.filter((one) => hours || verb === "resume" || (verb === "stop") === (one.state === "running"));
  if (!wanted.length) return place.complain({ harmless: true, message: `there is nothing to ${verb}`, hint: `none of these instances is ${verb === "stop" ? "running" : "stopped"}` });
  if (wanted.length > 1 && !(await confirmChange(verb, wanted, hours))) return;
  place.isActing = true;
  place.complain(null);
  place.busy(true);
  const { done, wrong } = await change(verb, wanted.map((one) => one.id), hours ? { for: `${hours}h` } : {});
  place.isActing = false;
  if (wrong?.requires) {
    place.busy(false);
    return refused(wrong);
  }
  // Shows the results at once; the next refresh completes them.
  const came = new Map(done.map((one) => [one.id, one]));
  fleet.instances = fleet.instances.map((one) => {
    const { after, next_edge, override, reason } = came.get(one.id) ?? {};
    return after ? { ...one, state: after, desired: after, next_edge, override, reason, pending_action: null, skip_code: null, last_change: null } : one;
  });
  place.busy(false);
  show();
  if (done.length) announce(outcome(done));
  if (wrong) place.complain(wrong);
  const failed = done.find((one) => ["skipped", "deferred", "recorded"].includes(one.result));
  if (failed && !wrong && wanted.length === 1) place.complain(new ApiFailure({ message: `${label(failed)} ${RESULTS[failed.result]}`, hint: inWords(failed.reason, now()) }));
  // A refresh in progress may have observed the state before the change.
  await refreshing;
  await refresh();
  // The instance and its line may be gone.
  if (wrong && !place.node.isConnected) $("errors").replaceChildren(notice(wrong, () => { $("errors").replaceChildren(); $("filter").focus(); }));
}

function announce(text) {
  // Cleared first, because screen readers announce only changes.
  $("announcement").textContent = "";
  setTimeout(() => { $("announcement").textContent = text; }, 50);
}

// Asks for confirmation before a change to more than one instance, with their names.
function confirmChange(verb, targets, hours) {
  const [dialog, names] = [$("sure"), targets.map(label)];
  const [no, yes] = dialog.querySelectorAll("button");
  const what = hours ? "Keep up" : { start: "Start", stop: "Stop", resume: "Resume" }[verb];
  const deed = `${what} ${count(targets.length, "instance")}${hours ? ` for ${hours} h` : ""}`;
  setText($("sure-title"), `${deed}?`);
  dialog.querySelector("ul").replaceChildren(...names.slice(0, 30).map((name) => make("li", {}, name)), ...(names.length > 30 ? [make("li", { className: "soft" }, `and ${names.length - 30} more`)] : []));
  setText(dialog.querySelector("p"), hours ? `Their schedules are overridden until ${moment(now() + hours * HOUR, now())}.` : "Each keeps this state until the next edge of its schedule.");
  setText(yes, deed);
  yes.className = verb === "stop" ? "grave" : "main";
  return new Promise((resolve) => {
    const close = (answer) => { dialog.close(); resolve(answer); };
    no.onclick = () => close(false);
    yes.onclick = () => close(true);
    dialog.oncancel = () => resolve(false);
    dialog.showModal();
    no.focus();
  });
}

// Opens the menu for the duration of an override. All buttons share one menu.
function openMenu(opener, choose) {
  const menu = $("menu");
  // A press outside closes the menu. A press on its opener must not open it again.
  if (opener.ariaDisabled === "true" || opener.wasOpen) return;
  const title = $("menu-title");
  setText(title, "Keep up, regardless of the schedule, for");
  const items = HOURS.map((hours) => make("button", { type: "button", role: "menuitem", tabIndex: -1, onclick: () => { menu.hidePopover(); choose(hours); } },
    count(hours, "hour"), make("span", {}, `until ${moment(now() + hours * HOUR, now()).replace(/^today /, "")}`)));
  menu.replaceChildren(title, ...items);
  menu.onkeydown = (event) => {
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Tab") menu.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    items.at(to % items.length).focus();
  };
  if (menu.opener) menu.opener.ariaExpanded = "false";
  menu.opener = opener;
  // `beforetoggle` instead of `toggle`, which is delayed: `aria-expanded` would be wrong until then.
  menu.onbeforetoggle = ({ newState }) => { menu.opener.ariaExpanded = String(newState === "open"); };
  menu.showPopover();
  placeMenu();
  items[0].focus({ preventScroll: true });
}

// Places the menu below its opener, or above if there is more space.
function placeMenu() {
  const menu = $("menu");
  if (!menu.matches(":popover-open")) return;
  const { left, right, top, bottom } = menu.opener.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(left + width > innerWidth - 8 ? right - width : left, innerWidth - width - 8))}px`;
  menu.style.top = `${bottom + 6 + height > innerHeight && top > height + 6 ? top - height - 6 : bottom + 6}px`;
}
addEventListener("pointerdown", ({ target }) => {
  const opener = target.closest?.("[aria-haspopup]");
  if (opener) opener.wasOpen = opener === $("menu").opener && $("menu").matches(":popover-open");
}, { capture: true });
addEventListener("keydown", () => { if ($("menu").opener) $("menu").opener.wasOpen = false; }, { capture: true });
addEventListener("scroll", placeMenu, { passive: true });
addEventListener("resize", placeMenu);

$("refresh").onclick = () => { schedulesAt = 0; refresh().then(() => failures || announce("Up to date")); };
// Reloads, so that the data shown with the token disappears.
$("forget").onclick = () => { token.set(null); location.reload(); };
$("token-form").onsubmit = (event) => {
  event.preventDefault();
  token.set($("token-input").value.trim());
  $("token-input").value = "";
  $("trouble").replaceChildren();
  refresh();
};
$("filter").oninput = show;
$("beyond").lastChild.onclick = () => { beyond = !beyond; refresh(); };
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (Date.now() - refreshedAt > FAST_INTERVAL) refresh();
});
// Updates the waiting times and the age between refreshes.
$("answer").hidden = $("refresh").hidden = false;
setInterval(() => { if (!document.hidden && fleet && !$("fleet").hidden && !$("menu").matches(":popover-open")) Date.now() - refreshedAt > 30_000 ? show() : showAge(); }, 5_000);
refresh();
