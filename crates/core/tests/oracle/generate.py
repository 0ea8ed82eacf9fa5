#!/usr/bin/env python3
"""Writes `fixture.json`: crons in time zones and the instants at which they fire, computed with Python's `zoneinfo` and `croniter`.

croniter works on wall time without a zone; zoneinfo converts wall time to instants. The policy for clock changes is
implemented here independently: a wall time that occurs twice fires at the first occurrence (`fold=0`); one that does
not occur fires at the jump, which is found by bisection.

    python3 -m venv venv && venv/bin/pip install croniter==7.0.0 tzdata==2026.6
    venv/bin/python generate.py > fixture.json

The fixture is committed: the test that reads it (`crates/core/tests/it/python.rs`) needs neither Python nor a network.
"""

import importlib.metadata
import json
import os
import random
from datetime import datetime, timedelta, timezone

os.environ["PYTHONTZPATH"] = ""  # the package tzdata, not the machine's files
import zoneinfo  # noqa: E402

from croniter import croniter  # noqa: E402

zoneinfo.reset_tzpath(to=[])

ZONES = """
Africa/Cairo Africa/Casablanca Africa/El_Aaiun America/Asuncion America/Caracas America/Havana America/Nuuk
America/New_York America/Santiago America/Sao_Paulo America/Scoresbysund America/St_Johns America/Tijuana
Antarctica/Troll Asia/Amman Asia/Beirut Asia/Gaza Asia/Jerusalem Asia/Kathmandu Asia/Kolkata Asia/Pyongyang Asia/Tehran
Asia/Tokyo Atlantic/Azores Australia/Lord_Howe Australia/Sydney Europe/Chisinau Europe/Dublin Europe/Istanbul
Europe/London Europe/Moscow Europe/Paris Pacific/Apia Pacific/Auckland Pacific/Chatham Pacific/Easter Pacific/Kiritimati
Pacific/Norfolk UTC
""".split()

MINUTE = timedelta(minutes=1)
UTC = timezone.utc


def instant(wall, zone):
    """Returns the instant at which a clock in `zone` first shows `wall`, or jumps past it."""
    at = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == wall:
        return at
    # Clocks show an earlier time than `wall` before the jump, and a later one after it.
    early, late = at - timedelta(days=2), at + timedelta(days=2)
    while late - early > timedelta(seconds=1):
        middle = (early + (late - early) / 2).replace(microsecond=0)
        if middle.astimezone(zone).replace(tzinfo=None) < wall:
            early = middle
        else:
            late = middle
    return late


def changes(zone, first, last):
    """Yields the days in the years `first`..`last` on which the offset changes."""
    day = datetime(first, 1, 1, tzinfo=UTC)
    while day.year <= last:
        after = day + timedelta(days=1)
        if day.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            yield day
        day = after


def field(chance, minimum, maximum):
    kind = chance.random()
    value = lambda: chance.randint(minimum, maximum)  # noqa: E731
    if kind < 0.5:
        return str(value())
    if kind < 0.7:
        return ",".join(str(each) for each in sorted({value(), value(), value()}))
    if kind < 0.85:
        one, other = sorted((value(), value()))
        return f"{one}-{other}" if one != other else str(one)
    return f"*/{chance.randint(2, max(2, (maximum - minimum) // 3))}"


def cron(chance):
    """Returns a random cron, mostly in the small hours, when clocks change."""
    minute = chance.choice(["0", "30", "1", field(chance, 0, 59)])
    hour = chance.choice([field(chance, 0, 4), field(chance, 0, 23), "*"])
    dates, weekdays = chance.choice(
        [
            ("*", "*"),
            ("*", "*"),
            (field(chance, 1, 31), "*"),
            ("*", field(chance, 0, 6)),
            (field(chance, 1, 31), field(chance, 0, 6)),
        ]
    )
    month = chance.choice(["*", "*", "*", field(chance, 1, 12)])
    return f"{minute} {hour} {dates} {month} {weekdays}"


def fires(expression, zone, after, count):
    wall = after.astimezone(zone).replace(tzinfo=None) - timedelta(days=2)
    # croniter calls Vixie's rule for a day field that begins with a star a bug.
    walls = croniter(expression, wall, ret_type=datetime, implement_cron_bug=True, max_years_between_matches=50)
    found = []
    while len(found) < count:
        at = instant(walls.get_next(), zone)
        if at > after and (not found or at > found[-1]):
            found.append(at)
    return found


def main():
    chance = random.Random(3)
    cases = []
    for name in ZONES:
        zone = zoneinfo.ZoneInfo(name)
        days = list(changes(zone, 1975, 2036)) or [datetime(2026, 3, 29, tzinfo=UTC)]
        for _ in range(14):
            expression = cron(chance)
            after = chance.choice(days) - timedelta(minutes=chance.randint(0, 2 * 24 * 60))
            fired = fires(expression, zone, after, 6)
            cases.append([name, expression, after.strftime("%FT%TZ"), [at.strftime("%FT%TZ") for at in fired]])
    versions = {package: importlib.metadata.version(package) for package in ("croniter", "tzdata")}
    lines = ",\n".join(json.dumps(case) for case in cases)
    print(f'{{"versions": {json.dumps(versions)}, "cases": [\n{lines}\n]}}')


if __name__ == "__main__":
    main()
