// Instants and wall times. Instants are milliseconds since 1970, as in `Date`; zones are IANA names, and `MINE` is the viewer's zone.
// No function here reads the clock: `now` is a parameter.

const MINE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

// Creating a formatter takes a hundred times as long as using it.
const formatters = new Map();
function formatter(zone) {
  if (!formatters.has(zone)) {
    const options = { weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
    let made;
    try {
      made = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone });
    } catch {
      made = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" }); // a zone that is newer than this browser
    }
    formatters.set(zone, made);
  }
  return formatters.get(zone);
}

// The wall time of an instant in a zone: as texts, and as a number that treats it as UTC, for ordering and subtraction.
function wall(at, zone) {
  const part = Object.fromEntries(formatter(zone).formatToParts(at).map(({ type, value }) => [type, value]));
  const month = 1 + "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ").indexOf(part.month.slice(0, 3));
  const number = Date.UTC(part.year, month - 1, part.day, part.hour, part.minute, part.second);
  return { day: Math.floor(number / DAY), number, clock: `${part.hour}:${part.minute}`, weekday: part.weekday, date: `${part.day} ${part.month.slice(0, 3)}` };
}

// The instant at which a day begins, as days since 1970 on the wall. Where clocks jump over midnight, it is when they jump.
function midnight(day, zone) {
  let at = day * DAY;
  // The offset is looked up near the answer; twice, because the first guess may be on the other side of a change.
  for (let turn = 0; turn < 2; turn++) at = day * DAY - (wall(at, zone).number - at);
  return wall(at, zone).day < day ? at + HOUR : at;
}

// `today 20:00`, `tomorrow 08:00`, `Mon 08:00`, `Fri 4 Dec 08:00`.
function moment(at, now, zone = MINE) {
  const then = wall(at, zone);
  const days = then.day - wall(now, zone).day;
  const near = { "-1": "yesterday", 0: "today", 1: "tomorrow" }[days];
  return `${near ?? (days > 1 && days < 7 ? then.weekday : `${then.weekday} ${then.date}`)} ${then.clock}`;
}

// A time in the viewer's zone, followed by the schedule's wall time if it differs: `today 20:00 (14:00 New York)`.
function moments(at, now, zone) {
  const mine = moment(at, now);
  if (!zone || wall(at, zone).number === wall(at, MINE).number) return mine;
  const theirs = moment(at, now, zone);
  const sameDay = wall(at, zone).day === wall(at, MINE).day;
  return `${mine} (${sameDay ? wall(at, zone).clock : theirs} ${city(zone)})`;
}

function city(zone) {
  return zone.split("/").pop().replaceAll("_", " ");
}

// A duration such as `less than a minute`, `38 min`, `4 h 38 min` or `2 d 3 h`. A no-break space joins a number and its unit.
function length(milliseconds) {
  const minutes = Math.round(milliseconds / MINUTE);
  const hours = Math.floor(minutes / 60);
  if (minutes < 1) return "less than a minute";
  const parts = hours < 48 ? [[hours, "h"], [minutes % 60, "min"]] : [[Math.floor(hours / 24), "d"], [hours % 24, "h"]];
  return parts.filter(([number]) => number).map(([number, unit]) => `${number}\u00a0${unit}`).join(" ");
}

// Replaces UTC instants in the API's sentences by the viewer's wall times.
function inWords(sentence, now) {
  return sentence.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, (text) => moment(Date.parse(text), now));
}
