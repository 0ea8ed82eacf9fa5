// Texts about instances: state, reason and next edge. All facts come from the API.

const STATES = { running: "Running", stopped: "Stopped", pending: "Starting", stopping: "Stopping", "shutting-down": "Terminating", terminated: "Terminated", other: "In an unknown state" };
// The result for one instance, and for several.
const RESULTS = {
  starting: ["is starting", "are starting"], started: ["is running", "are running"], stopping: ["is stopping", "are stopping"], stopped: ["is stopped", "are stopped"],
  hibernating: ["is hibernating", "are hibernating"], hibernated: ["is hibernated", "are hibernated"],
  unchanged: ["is already in the requested state", "are already in the requested state"], overridden: ["keeps its state until the override ends", "keep their state until the override ends"],
  resumed: ["follows its schedule again", "follow their schedules again"], deferred: ["changes when its transition is complete", "change when their transitions are complete"],
  recorded: ["is recorded, and changes in a later pass", "are recorded, and change in a later pass"], skipped: ["was skipped", "were skipped"], failed: ["failed", "failed"], planned: ["would change", "would change"],
};
const result = ({ result }, several) => RESULTS[result]?.[several ? 1 : 0] ?? result;
const DONE = { start: "started", stop: "stopped" };
const HOURS = [1, 2, 4, 8];
const INLINE = "inline";

const label = (one) => one.name || one.id;
// The instance type (and, after a fallback for lack of capacity, the desired type), the id and, if the fleet has several regions, the region.
const kind = (one) => (one.fallback ? `${one.instance_type} (no capacity for ${one.fallback.desired_type})` : one.instance_type);
const whereabouts = (one, regions) => [one.name && one.id, regions > 1 && one.region].filter(Boolean).join(" · ");
const inFlight = (one) => ["pending", "stopping", "shutting-down"].includes(one.state);
const isUp = (one) => one.state === "running" || one.state === "pending";
const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const list = (names, most = 3) => {
  const shown = names.length > most + 1 ? [...names.slice(0, most), `${names.length - most} more`] : names;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
};

// Instances with equal texts are alike: they are shown as one row.
function likeness(one) {
  const { override, next, retry, problem } = one;
  const reason = retry ? [retry.action, retry.error_code] : problem ? [problem.message, problem.hint] : explains(one) ? cause(one) : one.verdict;
  return JSON.stringify([one.schedule, one.inline_schedule, one.state, Boolean(problem), reason, override && [override.state, override.until, override.actor], next && [next.at, next.action]]);
}

// The reason for an instance's state.
function why(one, now) {
  if (one.retry) return retrying(one.retry, now);
  if (one.problem) return inWords(one.problem.message, now);
  if (one.override) return overriding(one.override) ?? inWords(one.verdict, now);
  return explains(one) ? `${cause(one)} ${moment(Date.parse(one.last_change.at), now)}` : inWords(one.verdict, now);
}

// The reason for the state of instances that are alike. Their changes took place at different times.
function whyAll(alike, now) {
  const [first] = alike;
  const texts = new Set(alike.map((one) => why(one, now)));
  if (texts.size === 1) return why(first, now);
  if (first.retry) return retrying(alike.map(({ retry }) => retry).reduce((a, b) => (a.next_attempt_at < b.next_attempt_at ? a : b)), now);
  if (!alike.every(explains)) return why(first, now);
  const times = alike.map((one) => Date.parse(one.last_change.at)).sort((a, b) => a - b);
  const [from, to] = [moment(times[0], now), moment(times.at(-1), now)];
  const [day, clock] = [to.slice(0, -6), to.slice(-5)];
  return `${cause(first)} ${from.startsWith(`${day} `) ? `${from}–${clock}` : `between ${from} and ${to}`}`;
}

// If the state is the desired one, or one that a person chose since, the latest change is the best explanation.
const explains = (one) => Boolean(one.last_change) && (one.state === one.desired || ["as_desired", "manual_override"].includes(one.skip_code) || one.pending_action === "record");

const overriding = ({ state, actor }) => ({ running: `Kept running by ${person(actor)}`, stopped: `Kept stopped by ${person(actor)}`, ignored: `Ignored by ${person(actor)}` }[state]);

// Without authentication, the actor is the address of the caller.
const person = (actor) => actor.replace(/^http (?=[\da-f.:]+$)/i, "");

// A failed step, with its error code and the time of the next attempt.
function retrying({ action, attempts: tries, error_code: code, next_attempt_at: next }, now) {
  const wait = Date.parse(next) - now;
  return `the ${action} failed: \`${code}\`, tried ${tries === 1 ? "once" : `${tries} times`}; next attempt ${wait > 0 ? `in ${length(wait)}` : "in the next pass"}`;
}

// The cause of the latest change: `started by its schedule`, `stopped on request by alice`, `launched outside Curfew`.
function cause({ last_change: { cause, action }, last_applied: last, schedule }) {
  const done = DONE[action];
  if (!cause) return done;
  const [, what, name] = /^(schedule|request by|override by) (.*)$/s.exec(cause) ?? [];
  switch (what ?? cause) {
    case "schedule": return `${done} by ${[schedule, INLINE].includes(name) ? "its schedule" : `schedule ${name}`}`;
    case "request by": return `${done} on request by ${person(name)}`;
    case "override by": return `${done} for an override by ${person(name)}`;
    // Nothing but its launch started an instance to which no edge was applied yet.
    case "external": return `${action === "start" && (!last || last.cause === "adopted") ? "launched" : done} outside Curfew`;
    case "adopted": return `${done} before Curfew managed it,`;
    default: return `${done} by ${cause}`;
  }
}

// Whether the next edge changes the state.
const moves = (one) => Boolean(one.next) && (one.next.action === "start") !== isUp(one);

// The end of the override or the next edge, and the time until then.
function until(one, now, zone) {
  const next = one.next && { at: Date.parse(one.next.at), action: one.next.action };
  if (one.override) {
    const end = Date.parse(one.override.until);
    const then = next?.at !== end ? "then follows its schedule" : moves(one) ? `then ${DONE[next.action]} by its schedule` : `then kept ${isUp(one) ? "running" : "stopped"} by its schedule`;
    return { text: `Until ${moments(end, now, zone)}`, note: `in ${length(end - now)}, ${then}` };
  }
  if (!next) return null;
  const verb = moves(one) ? { start: "Starts", stop: "Stops" }[next.action] : `Next ${next.action}:`;
  return { text: `${verb} ${moments(next.at, now, zone)}`, note: `in ${length(next.at - now)}` };
}

// The next edge that changes a state, and its instances: a few by name, many by their number and schedules.
function nextUp(instances, now) {
  const coming = instances.filter(moves).sort((a, b) => Date.parse(a.next.at) - Date.parse(b.next.at));
  if (!coming.length) return null;
  const { at, action } = coming[0].next;
  const those = coming.filter((one) => one.next.at === at && one.next.action === action);
  const verb = { start: those.length === 1 ? "starts" : "start", stop: those.length === 1 ? "stops" : "stop" }[action];
  return { who: named(those), verb, when: moment(Date.parse(at), now), wait: length(Date.parse(at) - now) };
}

// Names instances once: `web-1 and web-2`, or `120 instances of nyc`.
function named(instances) {
  if (instances.length < 3) return list(instances.map(label));
  return `${instances.length} instances${ofSchedules(instances)}`;
}

function ofSchedules(instances) {
  const names = [...new Set(instances.map(({ schedule }) => schedule))].filter(Boolean);
  if (names.includes(INLINE)) return names.length === 1 ? " with inline schedules" : "";
  return names.length ? ` of ${names.length > 3 ? `${names.length} schedules` : list(names)}` : "";
}

// The first names and the last one of instances that are alike.
function sample(alike) {
  const names = alike.map(label);
  return names.length < 4 ? list(names) : `${names.slice(0, 2).join(", ")} … ${names.at(-1)}`;
}

// The result of a change, for screen readers.
function outcome(done) {
  if (done.length === 1) return `${label(done[0])} ${result(done[0])}`;
  const tally = new Map();
  for (const one of done) tally.set(one.result, [...(tally.get(one.result) ?? []), one]);
  return [...tally.values()].map((those) => `${those.length} ${result(those[0], those.length > 1)}`).join(", ");
}
