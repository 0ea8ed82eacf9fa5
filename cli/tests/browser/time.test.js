// The page's arithmetic with wall times, without a browser.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

process.env.TZ = "Europe/Paris";
const source = readFileSync(new URL("../../../lambda/src/page/time.js", import.meta.url), "utf8");
const time = await import(`data:text/javascript,${encodeURIComponent(`${source}; export { wall, midnight, moment, moments, length, inWords };`)}`);
const at = Date.parse;

test("a day begins at midnight, or after the gap if midnight is skipped", () => {
  const begins = (date, zone) => new Date(time.midnight(at(`${date}T00:00Z`) / 86_400_000, zone)).toISOString();
  assert.equal(begins("2026-11-24", "Europe/Paris"), "2026-11-23T23:00:00.000Z");
  assert.equal(begins("2026-11-24", "America/New_York"), "2026-11-24T05:00:00.000Z");
  assert.equal(begins("2026-11-24", "Asia/Kolkata"), "2026-11-23T18:30:00.000Z");
  assert.equal(begins("2026-11-24", "Pacific/Kiritimati"), "2026-11-23T10:00:00.000Z");
  // The clocks change on these days, and on the evenings before them the offset is still the other one.
  for (const [date, zone, begin, end] of [["2026-03-29", "Europe/Paris", "2026-03-28T23:00", "2026-03-29T22:00"], ["2026-10-25", "Europe/Paris", "2026-10-24T22:00", "2026-10-25T23:00"], ["2026-03-08", "America/New_York", "2026-03-08T05:00", "2026-03-09T04:00"]]) {
    assert.equal(begins(date, zone), `${begin}:00.000Z`, date);
    const next = new Date(at(`${date}T00:00Z`) + 86_400_000).toISOString().slice(0, 10);
    assert.equal(begins(next, zone), `${end}:00.000Z`, `the day after ${date}`);
  }
  // Midnight itself is skipped: the day begins at 01:00, which is 04:00 UTC before and after.
  assert.equal(begins("2026-09-06", "America/Santiago"), "2026-09-06T04:00:00.000Z");
  // The last hour of Saturday occurs twice.
  assert.equal(begins("2026-04-05", "America/Santiago"), "2026-04-05T04:00:00.000Z");
});

test("an instant is formatted relative to the local day", () => {
  const now = at("2026-11-24T22:30:00Z"); // Tuesday, 23:30 in Paris
  const told = (text) => time.moment(at(text), now);
  assert.deepEqual(["2026-11-24T22:45Z", "2026-11-24T23:15Z", "2026-11-23T23:15Z", "2026-11-23T22:15Z", "2026-11-27T07:00Z", "2026-12-01T07:00Z", "2026-11-20T07:00Z"].map(told),
    ["today 23:45", "tomorrow 00:15", "today 00:15", "yesterday 23:15", "Fri 08:00", "Tue 1 Dec 08:00", "Fri 20 Nov 08:00"]);
});

test("the time in the schedule's zone is added where it differs", () => {
  const now = at("2026-11-24T12:00:00Z");
  const told = (text, zone) => time.moments(at(text), now, zone);
  assert.equal(told("2026-11-24T19:00Z", "Europe/Paris"), "today 20:00");
  assert.equal(told("2026-11-24T19:00Z", "Africa/Lagos"), "today 20:00", "the same wall by another name");
  assert.equal(told("2026-11-24T19:00Z", "America/New_York"), "today 20:00 (14:00 New York)");
  assert.equal(told("2026-11-24T19:00Z", "Asia/Tokyo"), "today 20:00 (tomorrow 04:00 Tokyo)");
  assert.equal(told("2026-11-24T19:00Z", undefined), "today 20:00");
  assert.equal(told("2026-11-24T19:00Z", "Mars/Olympus"), "today 20:00 (19:00 Olympus)", "a zone that is newer than the browser is told in UTC");
});

test("a duration is rounded to its significant units", () => {
  const minutes = [0, 0.4, 1, 59, 60, 61, 278, 2879, 2880, 2940, 10_080];
  assert.deepEqual(minutes.map((n) => time.length(n * 60_000).replaceAll("\u00a0", " ")), ["less than a minute", "less than a minute", "1 min", "59 min", "1 h", "1 h 1 min", "4 h 38 min", "47 h 59 min", "2 d", "2 d 1 h", "7 d"]);
});

test("instants within sentences are formatted in the same way", () => {
  assert.equal(time.inWords("its stop of 2026-11-23T19:00:00Z was missed by more than the catch-up limit", at("2026-11-24T20:00:00Z")), "its stop of yesterday 20:00 was missed by more than the catch-up limit");
});
