// What is said about instances: which, why, until when. Everything comes from the API; nothing is guessed.

const STATES = { running: "Running", stopped: "Stopped", pending: "Starting", stopping: "Stopping", "shutting-down": "Terminating", terminated: "Terminated", other: "In an unknown state" };
const RESULTS = {
  starting: "is starting", started: "runs", stopping: "is stopping", stopped: "is stopped", hibernating: "is going to hibernate", hibernated: "hibernates",
  unchanged: "was as asked already", overridden: "is kept as asked", resumed: "follows its schedule again", postponed: "changes when it has settled",
  recorded: "is recorded, and changes with a later pass", skipped: "is left as it is", failed: "failed", planned: "would change",
};
const DONE = { start: "started", stop: "stopped" };
const HOURS = [1, 2, 4, 8];

const label = (one) => one.name || one.id;
// Where it is told only where there are several places, and what else it runs as for want of capacity.
const whereabouts = (one, regions) => [one.name && one.id, regions > 1 && one.region].filter(Boolean).join(" · ");
const kind = (one) => (one.fallback ? `${one.instance_type} for want of ${one.fallback.wanted}` : one.instance_type);
const inFlight = (one) => ["pending", "stopping", "shutting-down"].includes(one.state);
// Something should have happened to it, and has not.
const needsLook = (one) => Boolean(one.retry || (one.due && one.due !== "record") || (one.last?.pending && one.last.action === "start" && one.state === "stopped"));
const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const list = (names, most = 3) => {
  const shown = names.length > most + 1 ? [...names.slice(0, most), `${names.length - most} more`] : names;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
};

// Why it is as it is.
function why(one, now) {
  const { override, changed, reason } = one;
  if (one.retry) return retrying(one.retry, now);
  if (override) return { running: `Kept up by ${override.by}`, stopped: `Kept stopped by ${override.by}`, ignored: `Hands off, says ${override.by}` }[override.state] ?? inWords(reason, now);
  // Where it is as something wanted it, the schedule or a person since, the latest change often tells what.
  const explains = one.state === one.desired || ["as_desired", "left_alone"].includes(one.skip) || one.due === "record";
  if (explains && changed?.cause) return `${cause(changed)} ${moment(Date.parse(changed.at), now)}`;
  return inWords(reason, now);
}

// What EC2 refuses, and when it is asked again.
function retrying({ action, tries, code, next }, now) {
  const wait = Date.parse(next) - now;
  return `the ${action} did not work: \`${code}\`, tried ${tries === 1 ? "once" : `${tries} times`}; again ${wait > 0 ? `in ${length(wait)}` : "with the next pass"}`;
}

// `started by schedule office`, `stopped on request by alice`, `started for an override by bob`, `started outside of Curfew`.
function cause({ cause, action }) {
  const how = cause === "external" ? "outside of Curfew" : cause.startsWith("request ") ? `on ${cause}` : cause.startsWith("override ") ? `for an ${cause}` : `by ${cause}`;
  return `${DONE[action]} ${how}`;
}

// Until when it stays so: what is next, and how long until then.
function until(one, now, zone) {
  const up = one.state === "running" || one.state === "pending";
  const next = one.next_edge && { at: Date.parse(one.next_edge.at), action: one.next_edge.action };
  const moves = Boolean(next) && (next.action === "start") !== up;
  if (one.override) {
    const end = Date.parse(one.override.until);
    const then = next?.at !== end ? "then as its schedule says" : moves ? `then ${DONE[next.action]} by its schedule` : `then kept ${up ? "running" : "stopped"} by its schedule`;
    return { moves, text: `Until ${moments(end, now, zone)}`, note: `in ${length(end - now)}, ${then}` };
  }
  if (!next) return null;
  const verb = moves ? { start: "Starts", stop: "Stops" }[next.action] : `Next ${next.action}:`;
  return { moves, text: `${verb} ${moments(next.at, now, zone)}`, note: `in ${length(next.at - now)}` };
}

// The whole fleet in one line.
function inShort(instances) {
  const running = instances.filter((one) => one.state === "running").length;
  const moving = instances.filter(inFlight).length;
  if (!instances.length) return "No instance is managed yet";
  const main = running === instances.length ? (running === 1 ? `${label(instances[0])} is running` : `All ${running} are running`)
    : running === 0 && !moving ? (instances.length === 1 ? `${label(instances[0])} is stopped` : `All ${instances.length} are stopped`)
    : `${running} of ${instances.length} ${running === 1 ? "is" : "are"} running`;
  return moving ? `${main}, ${moving} on the way` : main;
}

// What happens next, to whom.
function nextUp(instances, now) {
  const coming = instances.filter((one) => one.next_edge && until(one, now)?.moves).sort((a, b) => Date.parse(a.next_edge.at) - Date.parse(b.next_edge.at));
  if (!coming.length) return null;
  const { at, action } = coming[0].next_edge;
  const names = coming.filter((one) => one.next_edge.at === at && one.next_edge.action === action).map(label);
  const verb = { start: names.length === 1 ? "starts" : "start", stop: names.length === 1 ? "stops" : "stop" }[action];
  return { who: list(names), verb, when: moment(Date.parse(at), now), wait: length(Date.parse(at) - now) };
}

// What became of a change, for those who listen rather than look.
function outcome(done) {
  if (done.length === 1) return `${label(done[0])} ${RESULTS[done[0].result] ?? done[0].result}`;
  const tally = new Map();
  for (const { result } of done) tally.set(result, (tally.get(result) ?? 0) + 1);
  return [...tally].map(([result, n]) => `${n} ${(RESULTS[result] ?? result).replace(/^is /, n === 1 ? "is " : "are ")}`).join(", ");
}
