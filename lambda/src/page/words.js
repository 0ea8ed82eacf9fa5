// Texts about instances: state, reason and next edge. All facts come from the API.

const STATES = { running: "Running", stopped: "Stopped", pending: "Starting", stopping: "Stopping", "shutting-down": "Terminating", terminated: "Terminated", other: "In an unknown state" };
const RESULTS = {
  starting: "is starting", started: "runs", stopping: "is stopping", stopped: "is stopped", hibernating: "is going to hibernate", hibernated: "hibernates",
  unchanged: "is already in the requested state", overridden: "keeps its state until the override ends", resumed: "follows its schedule again", deferred: "changes when its transition is complete",
  recorded: "is recorded, and changes in a later pass", skipped: "was skipped", failed: "failed", planned: "would change",
};
const DONE = { start: "started", stop: "stopped" };
const HOURS = [1, 2, 4, 8];

const label = (one) => one.name || one.id;
// The id and, if the fleet has several regions, the region.
const whereabouts = (one, regions) => [one.name && one.id, regions > 1 && one.region].filter(Boolean).join(" · ");
// The instance type and, after a fallback for lack of capacity, the desired type.
const kind = (one) => (one.fallback ? `${one.instance_type} (no capacity for ${one.fallback.desired_type})` : one.instance_type);
const inFlight = (one) => ["pending", "stopping", "shutting-down"].includes(one.state);
// Whether an expected change is missing: a retry, an overdue action, or a start that did not lead to running.
const needsAttention = (one) => Boolean(one.retry || (one.pending_action && one.pending_action !== "record") || (one.last_applied?.pending && one.last_applied.action === "start" && one.state === "stopped"));
const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const list = (names, most = 3) => {
  const shown = names.length > most + 1 ? [...names.slice(0, most), `${names.length - most} more`] : names;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
};

// The reason for an instance's state.
function why(one, now) {
  const { override, last_change: changed, reason } = one;
  if (one.retry) return retrying(one.retry, now);
  if (override) return { running: `Kept up by ${override.actor}`, stopped: `Kept stopped by ${override.actor}`, ignored: `Ignored by ${override.actor}` }[override.state] ?? inWords(reason, now);
  // If the state is the desired one, or one that a person chose since, the latest change is the best explanation.
  const explains = one.state === one.desired || ["as_desired", "manual_override"].includes(one.skip_code) || one.pending_action === "record";
  if (explains && changed?.cause) return `${cause(changed)} ${moment(Date.parse(changed.at), now)}`;
  return inWords(reason, now);
}

// A failed step, with its error code and the time of the next attempt.
function retrying({ action, attempts: tries, code, next_attempt_at: next }, now) {
  const wait = Date.parse(next) - now;
  return `the ${action} failed: \`${code}\`, tried ${tries === 1 ? "once" : `${tries} times`}; next attempt ${wait > 0 ? `in ${length(wait)}` : "in the next pass"}`;
}

// `started by schedule office`, `stopped on request by alice`, `started for an override by bob`, `started outside of Curfew`.
function cause({ cause, action }) {
  const how = cause === "external" ? "outside of Curfew" : cause.startsWith("request ") ? `on ${cause}` : cause.startsWith("override ") ? `for an ${cause}` : `by ${cause}`;
  return `${DONE[action]} ${how}`;
}

// The end of the override or the next edge, and the time until then.
function until(one, now, zone) {
  const up = one.state === "running" || one.state === "pending";
  const next = one.next_edge && { at: Date.parse(one.next_edge.at), action: one.next_edge.action };
  const moves = Boolean(next) && (next.action === "start") !== up;
  if (one.override) {
    const end = Date.parse(one.override.until);
    const then = next?.at !== end ? "then follows its schedule" : moves ? `then ${DONE[next.action]} by its schedule` : `then kept ${up ? "running" : "stopped"} by its schedule`;
    return { moves, text: `Until ${moments(end, now, zone)}`, note: `in ${length(end - now)}, ${then}` };
  }
  if (!next) return null;
  const verb = moves ? { start: "Starts", stop: "Stops" }[next.action] : `Next ${next.action}:`;
  return { moves, text: `${verb} ${moments(next.at, now, zone)}`, note: `in ${length(next.at - now)}` };
}

// The fleet's summary in one line.
function summary(instances) {
  const running = instances.filter((one) => one.state === "running").length;
  const moving = instances.filter(inFlight).length;
  if (!instances.length) return "No instance is managed yet";
  const main = running === instances.length ? (running === 1 ? `${label(instances[0])} is running` : `All ${running} are running`)
    : running === 0 && !moving ? (instances.length === 1 ? `${label(instances[0])} is stopped` : `All ${instances.length} are stopped`)
    : `${running} of ${instances.length} ${running === 1 ? "is" : "are"} running`;
  return moving ? `${main}, ${moving} in transition` : main;
}

// The next edge that changes a state, and its instances.
function nextUp(instances, now) {
  const coming = instances.filter((one) => one.next_edge && until(one, now)?.moves).sort((a, b) => Date.parse(a.next_edge.at) - Date.parse(b.next_edge.at));
  if (!coming.length) return null;
  const { at, action } = coming[0].next_edge;
  const names = coming.filter((one) => one.next_edge.at === at && one.next_edge.action === action).map(label);
  const verb = { start: names.length === 1 ? "starts" : "start", stop: names.length === 1 ? "stops" : "stop" }[action];
  return { names: list(names), verb, when: moment(Date.parse(at), now), wait: length(Date.parse(at) - now) };
}

// The result of a change, for screen readers.
function outcome(done) {
  if (done.length === 1) return `${label(done[0])} ${RESULTS[done[0].result] ?? done[0].result}`;
  const tally = new Map();
  for (const { result } of done) tally.set(result, (tally.get(result) ?? 0) + 1);
  return [...tally].map(([result, n]) => `${n} ${(RESULTS[result] ?? result).replace(/^is /, n === 1 ? "is " : "are ")}`).join(", ");
}
