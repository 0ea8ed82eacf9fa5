// Draws a schedule's days as a strip, and its edges as a table for exact times and for screen readers.

// Creates an element. Texts are inserted as text nodes only, because names and reasons are untrusted.
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Shows a sentence of the API: capitalises it, and formats `names` as code.
function showSentence(node, sentence) {
  if (node.sentence === sentence) return node;
  node.sentence = sentence;
  const parts = sentence.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
  if (sentence) parts[0] = parts[0].charAt(0).toUpperCase() + parts[0].slice(1);
  node.replaceChildren(...parts);
  return node;
}

const DAYS = 7;

// The week from today's midnight on, in the schedule's zone.
function weekOf(now, zone) {
  const today = wall(now, zone).day;
  const midnights = Array.from({ length: DAYS + 1 }, (_, day) => midnight(today + day, zone));
  return { midnights, from: midnights[0], to: midnights[DAYS] };
}

function clip(intervals, { from, to }) {
  return intervals
    .map(({ since, until }) => ({ from: Math.max(Date.parse(since), from), to: Math.min(Date.parse(until), to) }))
    .filter((one) => one.from < one.to);
}

// Whether the facts differ from those last shown. Replacing unchanged nodes would lose the focus and the reading position.
function hasChanged(place, ...facts) {
  const latest = JSON.stringify(facts);
  const known = place.shown === latest;
  place.shown = latest;
  return !known;
}

function drawWeek(place, schedule, now) {
  if (!hasChanged(place, schedule.timeline, Math.floor(now / MINUTE))) return;
  const zone = schedule.timezone;
  const week = weekOf(now, zone);
  const share = (at) => `${((at - week.from) / (week.to - week.from)) * 100}%`;
  const put = (kind, from, to, properties, ...children) => {
    const node = make("div", { className: kind, ...properties }, ...children);
    node.style.left = share(from);
    if (to) node.style.width = `${((to - from) / (week.to - week.from)) * 100}%`;
    return node;
  };
  const runs = clip(schedule.timeline.running, week);
  const open = clip(schedule.timeline.unmanaged, week);
  const edges = schedule.timeline.edges.map(({ at, action }) => ({ at: Date.parse(at), action })).filter(({ at }) => week.from <= at && at < week.to);
  // Unmanaged intervals have no runs; their edges are drawn as ticks.
  const bare = edges.filter(({ at }) => open.some((one) => one.from <= at && at <= one.to));
  const days = make("div", { className: "days", ariaHidden: "true" });
  week.midnights.slice(0, DAYS).forEach((at, day) => {
    const { weekday, date } = wall(at + HOUR, zone);
    days.append(make("span", { className: day ? "" : "today" }, ...(day ? [weekday, make("span", { className: "date" }, ` ${date.split(" ")[0]}`)] : ["Today"])));
  });
  const strip = make("div", { className: "strip", role: "img", ariaLabel: described(runs, open, bare, zone, now) });
  strip.append(...week.midnights.slice(1, DAYS).map((at) => put("midnight", at)));
  strip.append(...open.map((one) => put("open", one.from, one.to)));
  strip.append(...runs.map((one) => {
    const text = clocks(one, zone);
    return put(text.length > 6 ? "run long" : "run", one.from, one.to, { title: `${moment(one.from, now, zone)} to ${moment(one.to, now, zone)}` }, make("span", {}, text));
  }));
  strip.append(...bare.map(({ at, action }) => put(`tick ${action}`, at)));
  const past = make("div", { className: "past" });
  past.style.width = share(now);
  strip.append(past, put("now", now));
  place.replaceChildren(days, strip);
}

function clocks({ from, to }, zone) {
  const short = (at) => wall(at, zone).clock.replace(/:00$/, "").replace(/^0(?=\d)/, "");
  return `${short(from)}–${short(to)}`;
}

function described(runs, open, bare, zone, now) {
  if (open.length && !runs.length && !bare.length) return `The coming ${DAYS} days: no edge`;
  const parts = [
    ...runs.map((one) => ({ at: one.from, text: `${moment(one.from, now, zone)} to ${moment(one.to, now, zone)}` })),
    ...bare.map(({ at, action }) => ({ at, text: `${action} ${moment(at, now, zone)}` })),
  ].sort((a, b) => a.at - b.at);
  const verb = runs.length ? "runs" : "edges";
  return `The coming ${DAYS} days in ${city(zone)}: ${parts.length ? `${verb} ${parts.map(({ text }) => text).join("; ")}` : "stopped throughout"}`;
}

// Lists the coming edges in the schedule's zone and, if it differs, in the viewer's.
function drawTimes(place, schedule, now) {
  if (!hasChanged(place, schedule.timeline, Math.floor(now / MINUTE))) return;
  const zone = schedule.timezone;
  const { to } = weekOf(now, zone);
  const edges = schedule.timeline.edges.filter(({ at }) => Date.parse(at) >= now && Date.parse(at) < to);
  const differs = edges.some(({ at }) => wall(Date.parse(at), zone).number !== wall(Date.parse(at), MINE).number);
  const head = make("tr", {}, make("th", { scope: "col" }, "Action"), make("th", { scope: "col" }, zone));
  if (differs) head.append(make("th", { scope: "col" }, `Yours (${MINE})`));
  const rows = edges.map(({ at, action }) => {
    const row = make("tr", {}, make("td", {}, action), make("td", {}, moment(Date.parse(at), now, zone)));
    if (differs) row.append(make("td", {}, moment(Date.parse(at), now)));
    return row;
  });
  place.replaceChildren(edges.length ? make("table", { className: "times" }, make("thead", {}, head), make("tbody", {}, ...rows)) : make("p", { className: "small soft" }, `No edge in the coming ${DAYS} days.`));
}
