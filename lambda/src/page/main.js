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
    showTrouble(null);
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
    showTrouble(had ? { message: "invalid token", hint: "enter a token that is deployed" } : null);
    return;
  }
  // An old state is shown with its time.
  const stale = fleet ? `this is the state of ${moment(refreshedAt + skew, now())}${error.hint ? `; ${error.hint}` : ""}` : error.hint;
  showTrouble({ message: error.message, hint: stale, requestId: error.requestId });
  if (fleet) return showAge();
  $("skeleton").hidden = true;
  $("answer").hidden = $("big").hidden = false;
  setText($("big"), "The fleet is unavailable");
}

// Shows why there is no fleet, or none that is up to date. A repeated error is not announced again.
function showTrouble(error) {
  const { message, hint } = error ?? {};
  if (hasChanged($("trouble"), message, hint)) $("trouble").replaceChildren(...(error ? [notice(error)] : []));
}

// Shows one of three sections: the fleet, the sign-in, or how to sign requests.
function enter(what) {
  const entered = $(what).hidden;
  $("skeleton").hidden = true;
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
  awry: ["Needs attention", (one) => Boolean(one.problem)],
  overridden: ["Overridden", (one) => Boolean(one.override)],
};
const NO_SCHEDULE = "No schedule", OWN_SCHEDULE = "Inline schedules", PROBLEMS = "Needs attention";
// With more schedules than this, they are folded at first.
const MANY_SCHEDULES = 8;

function show() {
  const focused = document.activeElement;
  const at = now();
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (one) => {
    const text = [one.name, one.id, one.instance_type, one.region, one.schedule, one.inline_schedule, one.state].join(" ").toLowerCase();
    return KINDS[shownKind][1](one) && words.every((word) => text.includes(word));
  };
  const all = fleet.instances.toSorted(byName);
  const fitting = new Set(all.filter(matches));
  const fits = (one) => fitting.has(one);
  const key = schedules.tag ?? "Schedule";
  document.title = `${all.filter((one) => one.state === "running").length}/${all.length} running · Curfew`;
  showCounts(all);
  showNext(all.filter(isManaged), key, at);

  const groups = new Map(schedules.schedules.map((schedule) => [schedule.name, { schedule, all: [] }]));
  for (const one of all) {
    const name = one.schedule ?? null;
    // An instance with an incorrect tag is shown with the problems only.
    if (name === null && one.problem) continue;
    if (!groups.has(name)) groups.set(name, { schedule: null, all: [] });
    groups.get(name).all.push(one);
  }
  const filtered = words.length > 0 || shownKind !== "all";
  const context = {
    now: at, filtered, words: words.length > 0, open: groups.size <= MANY_SCHEDULES,
    regions: new Set(all.map(({ region }) => region)).size,
    zones: new Map(schedules.schedules.map(({ name, timezone }) => [name, timezone])),
  };
  showProblems(all.filter(({ problem }) => problem), fits, context);
  const placed = [...groups].map(([name, { schedule, all }]) => {
    const title = name === null ? NO_SCHEDULE : schedule ? name : OWN_SCHEDULE;
    if (!cards.has(name)) cards.set(name, new Card(title, act));
    const card = cards.get(name);
    const shown = all.filter(fits);
    card.show(schedule, all, shown, context);
    // A schedule without instances is shown unless a filter is set, because its week is of interest too.
    card.node.hidden = shownKind === "awry" || (!shown.length && !(schedule && !all.length && !filtered));
    return { card, isEmpty: !all.length };
  });
  placed.sort((a, b) => a.isEmpty - b.isEmpty);
  place($("groups"), placed.map(({ card }) => card.node));
  showTools(all.filter((one) => fits(one) && isManaged(one) && one.override), placed.map(({ card }) => card));
  $("empty").hidden = fitting.size > 0 || !all.length;
  setText($("empty"), "No instance matches. Clear the filter to see all of them.");
  $("beyond").hidden = !fleet.unmanaged && !beyond;
  setText($("beyond").firstChild, beyond ? "" : `${count(fleet.unmanaged, "instance")} without a schedule ${fleet.unmanaged === 1 ? "is" : "are"} not shown.`);
  setText($("beyond").lastChild, beyond ? "Hide instances without a schedule" : fleet.unmanaged === 1 ? "Show it" : "Show them");
  showLately(at);
  showAge();
  // An instance that moved to another card lost the focus.
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

function showNext(managed, key, at) {
  setText($("big"), managed.length ? "" : "No instance is managed yet");
  $("big").hidden = managed.length > 0;
  const next = nextUp(managed, at);
  const name = schedules.schedules[0]?.name;
  const guide = name ? `Tag an instance ${key}=${name}, and it shows up here.` : "The configuration has no schedules; deploy one that has schedules to see them here.";
  $("next").replaceChildren(...(next ? ["Next: ", make("b", {}, next.who), ` ${next.verb} `, make("b", {}, next.when), `, in ${next.wait}.`] : [managed.length ? "No next edge." : guide]));
}

// The only counts of the whole fleet. Each filters what is shown.
function showCounts(all) {
  const counts = Object.entries(KINDS).map(([kind, [text, fits]]) => ({ kind, text, n: all.filter(fits).length }));
  const wanted = counts.filter(({ kind, n }) => n || kind === shownKind || ["all", "running"].includes(kind));
  const nodes = wanted.map(({ kind, text, n }) => {
    const button = (showCounts[kind] ??= make("button", { type: "button", className: kind, onclick: () => { shownKind = kind === shownKind ? "all" : kind; show(); } }, make("span", {}, text), " ", make("b")));
    button.ariaPressed = String(kind === shownKind);
    setText(button.lastChild, String(n));
    return button;
  });
  $("counts").hidden = !all.length;
  place($("counts"), nodes);
}

// What needs a person comes first: account-regions without an answer, incorrect tags, then failures.
function showProblems(awry, fits, context) {
  showProblems.card ??= new Card(PROBLEMS, act, { alarm: true });
  const { card } = showProblems;
  const shown = awry.filter(fits);
  card.show(null, awry, shown, { ...context, open: true });
  card.node.hidden = !shown.length;
  if (hasChanged($("problems"), fleet.unanswered)) $("problems").replaceChildren(...(fleet.unanswered ?? []).map((error) => notice(error)), card.node);
}

function showTools(overridden, all) {
  $("resume").hidden = shownKind !== "overridden" || overridden.length < 2;
  setText($("resume"), `Resume all ${overridden.length}`);
  $("resume").onclick = () => act("resume", overridden, everything);
  $("fold").hidden = all.length < 2;
  const isOpen = all.some((card) => card.isOpen);
  setText($("fold"), isOpen ? "Collapse all" : "Expand all");
  $("fold").onclick = () => { for (const card of all) card.toggle(!isOpen); show(); };
}

// The place of a change to several schedules.
const everything = {
  node: $("errors"),
  busy(isBusy) { $("resume").ariaDisabled = String(isBusy); },
  complain(error) { showError($("errors"), error, $("filter")); },
};

// The latest changes; those with one cause within ten minutes are one.
function showLately(at) {
  const changed = fleet.instances.filter((one) => one.last_change).map((one) => ({ one, time: Date.parse(one.last_change.at) })).sort((a, b) => b.time - a.time);
  const groups = new Map();
  for (const { one, time } of changed) {
    const how = cause({ ...one, schedule: null }).replace(/,$/, "");
    const group = groups.get(how);
    if (group && group.first - time < 10 * MINUTE) {
      group.first = time;
      group.names.push(label(one));
    } else {
      if (group) groups.set(Symbol(how), group);
      groups.set(how, { how, when: moment(time, at), iso: one.last_change.at, first: time, names: [label(one)] });
    }
  }
  const lines = [...groups.values()].sort((a, b) => Date.parse(b.iso) - Date.parse(a.iso)).slice(0, 10).map(({ names, ...line }) => ({ ...line, who: list(names.sort(order.compare)) }));
  $("lately").hidden = !lines.length;
  if (!hasChanged($("lately"), lines)) return;
  $("lately").querySelector("ol").replaceChildren(...lines.map(({ iso, when, who, how }) => make("li", {}, make("time", { className: "soft", dateTime: iso }, when), make("span", {}, make("b", {}, who), ` ${how}`))));
}

// The age of what is shown, or that it is out of date.
function showAge() {
  if (!refreshedAt || $("fleet").hidden) return;
  const seconds = Math.round((Date.now() - refreshedAt) / 1000);
  const age = seconds < 10 ? "just now" : seconds < 60 ? `${Math.floor(seconds / 10) * 10} s ago` : `${length(seconds * 1000)} ago`;
  $("age").classList.toggle("stale", failures > 0);
  setText($("age"), !failures ? `Updated ${age}` : seconds < 10 ? "Refresh failed" : `Refresh failed, updated ${age}`);
}

// Changes instances. `lasting` makes it an override: `{ for: "2h" }`, or `"ask"` for an end that a dialog asks for.
async function act(verb, targets, place, lasting) {
  if (place.isActing || place.isBusy || !targets.length) return;
  const wanted = targets.filter((one) => lasting || verb === "resume" || (verb === "stop") === isUp(one));
  if (!wanted.length) return place.complain({ harmless: true, message: `there is nothing to ${verb}`, hint: `none of these instances is ${verb === "stop" ? "running" : "stopped"}` });
  if (wanted.length > 1 || lasting === "ask") {
    const confirmed = await confirmChange(verb, wanted, lasting, targets.length - wanted.length);
    if (!confirmed) return;
    [verb, lasting] = confirmed;
  }
  place.isActing = true;
  place.complain(null);
  place.busy(true);
  const { done, wrong } = await change(verb, wanted.map((one) => one.id), lasting);
  place.isActing = false;
  if (wrong?.requires) {
    place.busy(false);
    return refused(wrong);
  }
  // Shows the results at once; the next refresh completes them.
  const came = new Map(done.map((one) => [one.id, one]));
  fleet.instances = fleet.instances.map((one) => {
    const { after, next, override, reason } = came.get(one.id) ?? {};
    return after ? { ...one, state: after, desired: after, next, override, verdict: reason, pending_action: null, skip_code: null, last_change: null, problem: null } : one;
  });
  place.busy(false);
  show();
  if (done.length) announce(outcome(done));
  if (wrong) place.complain(wrong);
  const failed = done.find((one) => ["skipped", "deferred", "recorded"].includes(one.result));
  if (failed && !wrong && wanted.length === 1) place.complain(new ApiFailure({ message: `${label(failed)} ${result(failed)}`, hint: inWords(failed.reason, now()) }));
  // A refresh in progress may have observed the state before the change.
  await refreshing;
  await refresh();
  // The instance and its row may be gone.
  if (wrong && !place.node.isConnected) everything.complain(wrong);
}

function announce(text) {
  // Cleared first, because screen readers announce only changes.
  $("announcement").textContent = "";
  setTimeout(() => { $("announcement").textContent = text; }, 50);
}

// Asks for confirmation of a change with the names of what it touches, and for the end of an override. Returns the verb and the
// duration, or `null`.
function confirmChange(verb, targets, lasting, others) {
  const dialog = $("sure");
  const [no, yes] = dialog.querySelectorAll("button");
  const one = targets.length === 1;
  const what = lasting ? "Override" : { start: "Start", stop: "Stop", resume: "Resume" }[verb];
  const asks = lasting === "ask";
  setText($("sure-title"), `${what} ${one ? label(targets[0]) : named(targets)}${asks ? "" : "?"}`);
  $("pick").hidden = !asks;
  if (asks) preparePicker(verb);
  setText(dialog.querySelector("p:not(#zone)"), consequence(verb, targets, lasting, others));
  const list = dialog.querySelector("ul");
  list.hidden = one;
  const names = new Set(targets.map(label));
  list.replaceChildren(...targets.toSorted(byName).map((target) => make("li", {}, label(target), ...(names.size < targets.length && target.name ? [" ", make("span", { className: "id" }, target.id)] : []))));
  setText(yes, one ? "Override" : `${what} ${count(targets.length, "instance")}`);
  yes.className = verb === "stop" && !asks ? "grave" : "main";
  return new Promise((resolve) => {
    const close = (answer) => { dialog.close(); resolve(answer); };
    no.onclick = () => close(null);
    yes.onclick = () => {
      if (!asks) return close([verb, lasting]);
      if ($("until").reportValidity()) close([dialog.querySelector("input:checked").value, { until: new Date($("until").value).toISOString().replace(".000", "") }]);
    };
    $("until").onkeydown = (event) => { if (event.key === "Enter") { event.preventDefault(); yes.click(); } };
    dialog.oncancel = () => resolve(null);
    dialog.showModal();
    list.scrollTop = 0;
    (asks ? $("until") : no).focus();
  });
}

// Offers the hour after next; an override lasts 31 days at most.
function preparePicker(verb) {
  const [input, zone] = [$("until"), $("zone")];
  const local = (at) => new Date(at - new Date(at).getTimezoneOffset() * MINUTE).toISOString().slice(0, 16);
  const soon = Math.ceil((Date.now() + MINUTE) / MINUTE) * MINUTE;
  input.min = local(soon);
  input.max = local(Date.now() + 31 * DAY - MINUTE);
  input.value = local(Math.ceil(Date.now() / HOUR) * HOUR + HOUR);
  $("sure").querySelector(`input[value=${verb}]`).checked = true;
  const tell = () => {
    const at = new Date(input.value).getTime() + skew;
    setText(zone, [at > now() && `In ${length(at - now())}.`, `Your time zone, ${MINE}. At most 31 days.`].filter(Boolean).join(" "));
  };
  input.oninput = tell;
  tell();
}

// What a change means for the instances.
function consequence(verb, targets, lasting, others) {
  if (lasting === "ask") return targets.length === 1 ? "Afterwards it follows its schedule again." : "Afterwards they follow their schedules again.";
  if (lasting) return `Kept running until ${moment(now() + parseInt(lasting.for, 10) * HOUR, now())}; then they follow their schedules again.`;
  if (verb === "resume") return "Their overrides end, and their schedules apply at once.";
  const rest = others ? ` ${others === 1 ? "1 other is" : `${others} others are`} ${verb === "stop" ? "not running" : "running already"}.` : "";
  const edges = new Set(targets.map(({ next }) => next?.at));
  const [at] = edges;
  const end = edges.size === 1 && at ? `the next edge, ${moment(Date.parse(at), now())}` : "the next edge of their schedule";
  return `They stay ${verb === "stop" ? "stopped" : "up"} until ${end}.${rest}`;
}

// Opens the menu for an override. All buttons share one menu.
function openMenu(opener, choose) {
  const menu = $("menu");
  // A press outside closes the menu. A press on its opener must not open it again.
  if (opener.ariaDisabled === "true" || opener.wasOpen) return;
  const title = $("menu-title");
  setText(title, "Keep running, whatever the schedule says, for");
  const item = (text, note, verb, lasting) => make("button", { type: "button", role: "menuitem", tabIndex: -1, onclick: () => { menu.hidePopover(); choose(verb, lasting); } }, text, make("span", {}, note));
  const items = HOURS.map((hours) => item(count(hours, "hour"), `until ${moment(now() + hours * HOUR, now()).replace(/^today /, "")}`, "start", { for: `${hours}h` }));
  items.push(item("Keep running until…", "", "start", "ask"), item("Keep stopped until…", "", "stop", "ask"));
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

$("refresh").onclick = () => { schedulesAt = 0; refresh().then(() => failures || announce("Updated just now")); };
// Reloads, so that the data shown with the token disappears.
$("forget").onclick = () => { token.set(null); location.reload(); };
$("token-form").onsubmit = (event) => {
  event.preventDefault();
  token.set($("token-input").value.trim());
  $("token-input").value = "";
  showTrouble(null);
  refresh();
};
$("filter").oninput = show;
$("beyond").lastChild.onclick = () => { beyond = !beyond; refresh(); };
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (Date.now() - refreshedAt > FAST_INTERVAL) refresh();
});
// Updates the waiting times and the age between refreshes.
$("skeleton").hidden = $("refresh").hidden = false;
setText($("age"), "Loading…");
setInterval(() => { if (!document.hidden && fleet && !$("fleet").hidden && !$("menu").matches(":popover-open")) Date.now() - refreshedAt > 30_000 ? show() : showAge(); }, 5_000);
refresh();
