// What the page does: look, show, change, and look again.

const $ = (id) => document.getElementById(id);

// A look costs one invocation and one describe call. Instances on their way arrive within seconds; anything else is in no hurry.
const CALM = 20_000, EAGER = 3_000, SLOWEST = 120_000;
// What the schedules say changes with the configuration, and at midnight the week does.
const SCHEDULES_FRESH = 5 * MINUTE;

let fleet = null; // the newest answer to `/status`
let schedules = null; // the newest answer to `/schedules`
let schedulesAt = 0; // when it came
let skew = 0; // the API's clock against this one's
let lookedAt = 0;
let failures = 0;
let timer = null;
let looking = null;
let beyond = false; // whether instances that nothing manages are shown
let shownKind = "all";
const cards = new Map();
const now = () => Date.now() + skew;

async function look() {
  clearTimeout(timer);
  looking ??= observe().finally(() => { looking = null; plan(); });
  return looking;
}

async function observe() {
  try {
    const stale = Date.now() - schedulesAt > SCHEDULES_FRESH;
    const [status, timetables] = await Promise.all([ask(beyond ? "status?all=true" : "status"), stale ? weeks() : schedules]);
    [fleet, schedules] = [status, timetables];
    skew = Date.parse(status.at) - Date.now();
    // The API tells whole seconds, and the answer was on its way for a while: less is no skew.
    if (Math.abs(skew) < 5_000) skew = 0;
    lookedAt = Date.now();
    failures = 0;
    enter("fleet");
    $("trouble").replaceChildren();
    show();
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    failures += 1;
    refused(error);
  }
}

// One day more than is shown: the week moves on at midnight. Without the weeks the fleet is still worth seeing.
async function weeks() {
  try {
    const answer = await ask(`schedules?days=${DAYS + 1}`);
    schedulesAt = Date.now();
    return answer;
  } catch (error) {
    if (error.wants !== "") throw error;
    return schedules ?? { schedules: [] };
  }
}

// When to look again; a page that nobody sees does not.
function plan() {
  clearTimeout(timer);
  if (document.hidden || !$("token").hidden || !$("signed").hidden) return;
  const eager = fleet?.instances.some(inFlight) && failures === 0;
  const pause = Math.max(Math.min((eager ? EAGER : CALM) * 2 ** failures, SLOWEST), failures ? plan.retryAfter * 1000 : 0);
  timer = setTimeout(look, pause);
}
plan.retryAfter = 0;

function refused(error) {
  plan.retryAfter = error.retryAfter;
  if (error.wants === "signature") return enter("signed");
  if (error.wants === "token") {
    const had = token.get() !== null;
    token.set(null);
    enter("token");
    $("trouble").replaceChildren(...(had ? [notice({ message: "that is not the token that was deployed", hint: "nothing was told or done" })] : []));
    return;
  }
  if (!fleet) say($("big"), "The fleet can't be seen right now");
  $("trouble").replaceChildren(notice(error));
}

// One of: the fleet, the question for the token, how to sign.
function enter(what) {
  const entered = $(what).hidden;
  for (const id of ["fleet", "token", "signed"]) $(id).hidden = id !== what;
  $("answer").hidden = what !== "fleet";
  $("refresh").hidden = what !== "fleet";
  $("forget").hidden = token.get() === null;
  if (what !== "fleet") say($("age"), "");
  if (what === "token" && entered) $("token-input").focus();
  if (what === "signed") say($("signed-call"), signedCall());
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
  moving: ["On the way", inFlight],
  awry: ["Needs a look", needsLook],
  overridden: ["Overridden", (one) => Boolean(one.override)],
};
const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const NO_SCHEDULE = "No schedule", OWN_SCHEDULE = "Schedules in their own tags";

function show() {
  const at = now();
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (one) => {
    const text = [one.name, one.id, one.instance_type, one.region, one.schedule, one.state].join(" ").toLowerCase();
    return KINDS[shownKind][1](one) && words.every((word) => text.includes(word));
  };
  const managed = fleet.instances.filter(touchable);
  say($("big"), inShort(managed));
  document.title = `${managed.filter((one) => one.state === "running").length}/${managed.length} running · Curfew`;
  $("answer").classList.remove("waiting");
  const next = nextUp(managed, at);
  $("next").replaceChildren(...(next ? ["Next: ", make("b", {}, next.who), ` ${next.verb} `, make("b", {}, next.when), `, in ${next.wait}.`] : [managed.length ? "No edge ahead." : guide()]));
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
    // A schedule without instances is shown where nothing was looked for: its week may be what someone came for.
    if (schedule && !all.length && !words.length && shownKind === "all") card.node.hidden = false;
    placed.push(card.node);
  }
  place($("groups"), placed);
  $("empty").hidden = fitting > 0 || !fleet.instances.length;
  say($("empty"), "No instance fits. Clear the filter to see all of them.");
  $("beyond").hidden = !fleet.unmanaged && !beyond;
  say($("beyond").firstChild, beyond ? "" : `${count(fleet.unmanaged, "instance")} without a schedule ${fleet.unmanaged === 1 ? "is" : "are"} not shown.`);
  say($("beyond").lastChild, beyond ? "Hide instances without a schedule" : fleet.unmanaged === 1 ? "Show it" : "Show them");
  showLately(at);
  showAge();
}

function guide() {
  const name = schedules.schedules[0]?.name;
  return name ? `Tag an instance Schedule=${name}, and it shows up here.` : "The configuration has no schedules; the next deploy of configuration that have some brings them here.";
}

function showChips() {
  const chips = Object.entries(KINDS).map(([kind, [text, fits]]) => ({ kind, text, n: fleet.instances.filter(fits).length }));
  const wanted = chips.filter(({ kind, n }) => n || kind === shownKind || kind === "all");
  const nodes = wanted.map(({ kind, text, n }) => {
    showChips[kind] ??= make("button", { type: "button", onclick: () => { shownKind = kind; show(); } }, text, " ", make("b"));
    showChips[kind].ariaPressed = String(kind === shownKind);
    say(showChips[kind].lastChild, String(n));
    return showChips[kind];
  });
  place($("chips"), nodes);
}

function showLately(at) {
  const told = fleet.instances.filter((one) => one.changed).sort((a, b) => Date.parse(b.changed.at) - Date.parse(a.changed.at)).slice(0, 10);
  $("lately").hidden = !told.length;
  const how = ({ changed }) => (changed.cause ? cause(changed) : DONE[changed.action]);
  const lines = told.map((one) => ({ iso: one.changed.at, when: moment(Date.parse(one.changed.at), at), who: label(one), how: how(one) }));
  if (!isNews($("lately"), lines)) return;
  $("lately").querySelector("ol").replaceChildren(...lines.map(({ iso, when, who, how }) => make("li", {}, make("time", { className: "soft", dateTime: iso }, when), make("span", {}, make("b", {}, who), ` ${how}`))));
}

function showAge() {
  if (!lookedAt || $("fleet").hidden) return;
  const age = Math.round((Date.now() - lookedAt) / 1000);
  say($("age"), age < 10 ? "Up to date" : age < 60 ? `${Math.floor(age / 10) * 10} s ago` : `${length(age * 1000)} ago`);
}

async function act(verb, targets, place, hours) {
  if (place.isActing || place.isBusy || !targets.length) return;
  if (verb !== "resume" && !hours && place instanceof Line && place.turn.ariaDisabled === "true") return;
  const wanted = targets.filter((one) => hours || verb === "resume" || (verb === "stop") === (one.state === "running"));
  if (!wanted.length) return place.complain({ harmless: true, message: `there is nothing to ${verb}`, hint: `none of these instances is ${verb === "stop" ? "running" : "stopped"}` });
  if (wanted.length > 1 && !(await sure(verb, wanted, hours))) return;
  place.isActing = true;
  place.complain(null);
  place.busy(true);
  const { done, wrong } = await change(verb, wanted.map((one) => one.id), hours ? { for: `${hours}h` } : {});
  place.isActing = false;
  if (wrong?.wants) {
    place.busy(false);
    return refused(wrong);
  }
  // What came of it is shown at once; the next look tells the rest.
  const came = new Map(done.map((one) => [one.id, one]));
  fleet.instances = fleet.instances.map((one) => {
    const { after, next_edge, override, reason } = came.get(one.id) ?? {};
    return after ? { ...one, state: after, desired: after, next_edge, override, reason, due: null, skip: null, changed: null } : one;
  });
  place.busy(false);
  show();
  if (done.length) tell(outcome(done));
  if (wrong) place.complain(wrong);
  const failed = done.find((one) => ["skipped", "postponed", "recorded"].includes(one.result));
  if (failed && !wrong && wanted.length === 1) place.complain(new Trouble({ message: `${label(failed)} ${RESULTS[failed.result]}`, hint: inWords(failed.reason, now()) }));
  // A look that was under way has seen the time before.
  await looking;
  await look();
  // Whoever was asked for may be gone now, and its line with it.
  if (wrong && !place.node.isConnected) $("told").replaceChildren(notice(wrong, () => { $("told").replaceChildren(); $("filter").focus(); }));
}

function tell(text) {
  // The same words again are only read out when they are new.
  $("said").textContent = "";
  setTimeout(() => { $("said").textContent = text; }, 50);
}

// More than one instance is only changed after a look at which.
function sure(verb, targets, hours) {
  const [dialog, names] = [$("sure"), targets.map(label)];
  const [no, yes] = dialog.querySelectorAll("button");
  const what = hours ? "Keep up" : { start: "Start", stop: "Stop", resume: "Resume" }[verb];
  const deed = `${what} ${count(targets.length, "instance")}${hours ? ` for ${hours} h` : ""}`;
  say($("sure-title"), `${deed}?`);
  dialog.querySelector("ul").replaceChildren(...names.slice(0, 30).map((name) => make("li", {}, name)), ...(names.length > 30 ? [make("li", { className: "soft" }, `and ${names.length - 30} more`)] : []));
  say(dialog.querySelector("p"), hours ? `Their schedules are overridden until ${moment(now() + hours * HOUR, now())}.` : "Each stays so until the next edge of its schedule.");
  say(yes, deed);
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

// One menu for all: for how long to keep up.
function openMenu(opener, choose) {
  const menu = $("menu");
  // A press beside the menu closes it. If it is on what opened it, it must not open it again.
  if (opener.ariaDisabled === "true" || opener.wasOpen) return;
  const title = $("menu-title");
  say(title, "Keep up, whatever the schedule says, for");
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
  // Not `toggle`, which comes later than the change: whoever is quick, or whose browser is busy, would press on what is told wrongly.
  menu.onbeforetoggle = ({ newState }) => { menu.opener.ariaExpanded = String(newState === "open"); };
  menu.showPopover();
  placeMenu();
  items[0].focus({ preventScroll: true });
}

// Below what opened it, or above where there is more room.
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

$("refresh").onclick = () => { schedulesAt = 0; look().then(() => failures || tell("Up to date")); };
// What was shown with the token goes with it.
$("forget").onclick = () => { token.set(null); location.reload(); };
$("token-form").onsubmit = (event) => {
  event.preventDefault();
  token.set($("token-input").value.trim());
  $("token-input").value = "";
  $("trouble").replaceChildren();
  look();
};
$("filter").oninput = show;
$("beyond").lastChild.onclick = () => { beyond = !beyond; look(); };
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (Date.now() - lookedAt > EAGER) look();
});
// Waits get shorter and ages longer also between two looks.
$("answer").hidden = $("refresh").hidden = false;
setInterval(() => { if (!document.hidden && fleet && !$("fleet").hidden && !$("menu").matches(":popover-open")) Date.now() - lookedAt > 30_000 ? show() : showAge(); }, 5_000);
look();
