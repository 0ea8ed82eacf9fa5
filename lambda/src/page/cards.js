// Shows the fleet: a card for each schedule, a row for each instance or for several that are alike. Elements are created once and
// updated in place, so that the focus, open menus and the reading position are kept.

// The number of alike instances from which they are shown as one row, and the number of rows that are shown at first.
const MANY = 5, FEW = 50;

// A row for one instance; with `toggle`, for several that are alike.
class Row {
  constructor(act, toggle) {
    const button = (name, properties, ...text) => (this[name] = make("button", { type: "button", ...properties }, ...text));
    this.name = make("b");
    this.type = make("span");
    this.id = make("span", { className: "id" });
    this.own = make("code", { className: "own", hidden: true });
    this.state = make("span", { className: "state" });
    this.why = make("div", { className: "why small soft" });
    this.until = make("div", { className: "until" });
    this.note = make("div", { className: "note small soft" });
    this.badge = make("span", { className: "overridden" }, "Override");
    button("resume", { className: "main soft", onclick: () => act("resume", this.all, this) }, "Resume");
    button("turn", { onclick: () => this.turn.ariaDisabled === "true" || act(this.verb, this.all, this) });
    button("keep", { className: "plain", ariaHasPopup: "menu", ariaExpanded: "false", onclick: () => openMenu(this.keep, (verb, lasting) => act(verb, this.all, this, lasting)) }, "Override");
    if (toggle) this.toggle = make("button", { type: "button", className: "fold", ariaExpanded: "false", onclick: toggle }, this.name);
    this.wrong = make("td", { className: "wrong", role: "cell", hidden: true });
    this.node = make("tr", { role: "row", className: toggle ? "several" : "" },
      make("th", { scope: "row", role: "rowheader" }, toggle ? this.toggle : make("div", { className: "name" }, this.name), make("div", { className: "small soft kind" }, this.type, " ", this.id)),
      make("td", { className: "look", role: "cell" }, make("div", { className: "line" }, this.state, this.badge), this.why),
      make("td", { className: "when", role: "cell" }, this.until, this.note),
      make("td", { className: "acts", role: "cell" }, this.resume, this.turn, this.keep), this.wrong);
    this.node.querySelector("th").append(this.own);
  }

  show(all, { zones, now, regions }) {
    const [one] = all;
    const changed = this.all?.[0].id === one.id && this.all[0].state !== one.state;
    this.all = all;
    const name = this.toggle ? count(all.length, "instance") : label(one);
    setText(this.name, name);
    this.name.title = this.toggle ? "" : name;
    this.name.classList.toggle("bare", !this.toggle && !one.name);
    setText(this.type, this.toggle ? sample(all) : kind(one));
    setText(this.id, this.toggle ? "" : whereabouts(one, regions));
    this.own.hidden = !one.inline_schedule;
    setText(this.own, one.inline_schedule ?? "");
    setText(this.state, STATES[one.state] ?? one.state);
    this.state.className = `state ${one.state in STATES ? one.state : ""}`;
    this.badge.hidden = !one.override;
    showSentence(this.why, this.toggle ? whyAll(all, now) : why(one, now));
    const next = until(one, now, zones.get(one.schedule));
    const remedy = one.problem?.hint;
    showSentence(this.until, remedy ?? next?.text ?? "No next edge");
    this.until.classList.toggle("none", !remedy && !moves(one) && !one.override);
    setText(this.note, remedy ? "" : next?.note ?? "");
    this.node.classList.toggle("awry", Boolean(one.problem));
    this.node.classList.toggle("held", Boolean(one.override));
    this.node.classList.toggle("fixed", !isManaged(one));
    if (changed) flash(this.node);
    this.verb = isUp(one) ? "stop" : "start";
    setText(this.turn, isUp(one) ? "Stop" : "Start");
    this.turn.hidden = this.keep.hidden = !isManaged(one);
    // Moves the focus before its button is hidden.
    if (!one.override && document.activeElement === this.resume) this.turn.focus();
    this.resume.hidden = !one.override || !isManaged(one);
    const what = this.toggle ? `${name}${ofSchedules(all)}: ${sample(all)}` : name;
    this.turn.ariaLabel = `${this.turn.textContent} ${what}`;
    this.resume.ariaLabel = `Resume the schedule of ${what}`;
    this.keep.ariaLabel = `Override ${what}`;
    this.showBusy();
  }

  busy(isBusy) {
    this.isBusy = isBusy;
    this.showBusy();
    if (this.toggle) for (const { id } of this.all) rows.get(id)?.busy(isBusy);
  }

  // Blocks the buttons while a request is in progress. `aria-disabled` keeps the focus, unlike `disabled`.
  showBusy() {
    this.node.ariaBusy = String(Boolean(this.isBusy));
    this.turn.ariaDisabled = String(Boolean(this.isBusy || inFlight(this.all[0])));
    this.keep.ariaDisabled = this.resume.ariaDisabled = String(Boolean(this.isBusy));
  }

  complain(error) {
    showError(this.wrong, error, this.turn);
  }
}

// The rows of single instances, by id: an instance moves from one card to another.
const rows = new Map();

// Only managed instances can be changed.
function isManaged(one) {
  return Boolean(one.schedule);
}

function flash(node) {
  node.classList.remove("fresh");
  requestAnimationFrame(() => node.classList.add("fresh"));
}

class Card {
  constructor(name, act, { alarm } = {}) {
    this.groups = []; // the rows of several instances
    this.isBusy = false;
    this.act = act;
    this.name = name;
    this.alarm = alarm;
    this.facts = make("span", { className: "facts" });
    this.because = make("p", { className: "because small soft" });
    this.fold = make("button", { type: "button", className: "fold", onclick: () => this.toggle() }, name);
    this.week = make("div", { hidden: true });
    this.times = make("div");
    this.details = make("details", { hidden: true, ontoggle: () => this.showTimes() }, make("summary", {}, "Exact times"), this.times);
    const all = (verb) => make("button", { type: "button", onclick: () => act(verb, this.targets(verb), this) });
    this.keep = make("button", { type: "button", className: "plain", ariaHasPopup: "menu", ariaExpanded: "false", onclick: () => openMenu(this.keep, (verb, lasting) => act(verb, this.managed, this, lasting)) });
    this.bulk = make("div", { className: "acts" }, all("resume"), all("start"), all("stop"), this.keep);
    this.bulk.firstChild.className = "main soft";
    this.wrong = make("div");
    this.above = make("p", { className: "above small soft", hidden: true });
    this.body = make("tbody", { role: "rowgroup" });
    const columns = ["Instance", "State", alarm ? "What to do" : "Next", "Change"].map((text) => make("th", { scope: "col", role: "columnheader" }, text));
    this.table = make("table", { className: "fleet", role: "table", ariaLabel: name }, make("thead", { className: "unseen", role: "rowgroup" }, make("tr", { role: "row" }, ...columns)), this.body);
    this.rest = make("button", { type: "button", className: "plain", onclick: () => this.showAll() });
    this.more = make("div", { className: "more", hidden: true }, this.rest);
    this.inside = make("div", {}, make("div", { className: "week" }, ...(alarm ? [] : [this.week, this.details])), this.above, this.table, this.more);
    this.node = make("section", { className: alarm ? "card alarm" : "card", ariaLabel: name },
      make("header", { className: "head" }, make("h2", {}, this.fold, this.facts), this.because, this.bulk), this.wrong, this.inside);
  }

  // `all` are the card's instances, `fitting` those that the filter shows. Those that need attention have a card of their own.
  show(schedule, all, fitting, context) {
    this.shown = [schedule, all, fitting, context];
    const { now, filtered } = context;
    this.filtered = filtered;
    if (!filtered) this.isOpenFiltered = undefined;
    this.byDefault = context.open && (all.length > 0 || !schedule);
    this.managed = fitting.filter(isManaged);
    const calm = this.alarm ? fitting : fitting.filter((one) => !one.problem);
    const zone = schedule?.timezone;
    const running = all.filter((one) => one.state === "running").length;
    const there = zone && wall(now, zone).number !== wall(now, MINE).number ? `${zone}, ${wall(now, zone).clock} there` : zone;
    const number = this.alarm ? count(all.length, "instance") : all.length ? `${running} of ${all.length} running` : "no instances";
    setText(this.facts, [number, fitting.length < all.length && `${fitting.length} shown`, there, schedule?.enforce && "enforced"].filter(Boolean).join(" · "));
    showSentence(this.because, schedule?.reason ?? "");
    this.week.hidden = this.details.hidden = !schedule?.timeline;
    if (schedule?.timeline) drawWeek(this.week, schedule, now);
    this.showBulk(fitting.length < all.length);
    const apart = fitting.length - calm.length;
    this.above.hidden = !apart;
    setText(this.above, `${count(apart, "instance")} ${apart === 1 ? "needs" : "need"} attention and ${apart === 1 ? "is" : "are"} shown at the top.`);
    this.fold.ariaExpanded = String(this.isOpen);
    this.inside.hidden = !this.isOpen;
    // What is folded is not drawn.
    if (!this.isOpen) return;
    this.showTimes();
    const nodes = this.gather(calm, context);
    const few = this.whole ? nodes : nodes.slice(0, FEW);
    place(this.body, few.map((make) => make()));
    this.more.hidden = few.length === nodes.length;
    setText(this.rest, `Show ${nodes.length - few.length} more`);
  }

  get isOpen() {
    return this.filtered ? this.isOpenFiltered ?? true : this.isOpenChosen ?? this.byDefault;
  }

  toggle(isOpen = !this.isOpen) {
    if (this.filtered) this.isOpenFiltered = isOpen;
    else this.isOpenChosen = isOpen;
    if (this.shown) this.show(...this.shown);
  }

  // The card's rows, as functions that show them: alike instances in one row, followed by their own rows if it is open.
  gather(instances, context) {
    const alike = new Map();
    // A short list of search results is not grouped.
    const isShort = context.words && instances.length <= 4 * MANY;
    for (const one of instances) {
      const key = isShort ? one.id : likeness(one);
      if (!alike.has(key)) alike.set(key, []);
      alike.get(key).push(one);
    }
    // What a person has to do is shown once.
    const isGroup = ([, members]) => members.length >= (members[0].problem?.hint ? 2 : MANY);
    const entries = [...alike].flatMap((entry) => (isGroup(entry) ? [entry] : entry[1].map((one) => [one.id, [one]])));
    // Incorrect tags come first, then what else a person can do something about.
    const urgency = ({ problem: { tag, hint } }) => (tag ? 0 : hint ? 1 : 2);
    if (this.alarm) entries.sort(([, [a]], [, [b]]) => urgency(a) - urgency(b));
    else entries.sort(([, [a]], [, [b]]) => byName(a, b));
    const groups = this.match(entries.filter(isGroup));
    // A filter hides groups without closing them.
    const shown = new Set(groups.values());
    this.groups = [...shown, ...(context.filtered ? this.groups.filter((group) => !shown.has(group)) : [])];
    return entries.flatMap(([key, members]) => {
      const group = groups.get(key);
      if (!group) return [() => this.row(members[0], context)];
      group.toggle.ariaExpanded = String(group.isOpen);
      const own = group.isOpen ? members.map((one) => () => this.row(one, context, true)) : [];
      return [() => { group.show(members, context); return group.node; }, ...own];
    });
  }

  // Finds the row of each group: the one that had the same key, or else most of its instances, whose state has changed. A new
  // group is open if most of its instances were in an open one: a group whose parts change one after the other stays as it was.
  match(entries) {
    const rest = new Set(this.groups);
    const visible = new Set(this.groups.filter(({ isOpen }) => isOpen).flatMap(({ members }) => members.map(({ id }) => id)));
    const take = (group) => { rest.delete(group); return group; };
    const found = new Map();
    for (const [key] of entries) found.set(key, take(this.groups.find((group) => group.key === key)));
    for (const [key, members] of entries) {
      const ids = new Set(members.map(({ id }) => id));
      const shared = (group) => group.members.filter(({ id }) => ids.has(id)).length;
      const [closest] = [...rest].filter(shared).sort((a, b) => shared(b) - shared(a));
      let group = found.get(key) ?? take(closest);
      if (!group) {
        group = new Row(this.act, () => { group.isOpen = !group.isOpen; this.show(...this.shown); });
        group.isOpen = members.filter(({ id }) => visible.has(id)).length > members.length / 2;
      }
      found.set(key, Object.assign(group, { key, members }));
    }
    return found;
  }

  row(one, context, isMember = false) {
    if (!rows.has(one.id)) rows.set(one.id, new Row(this.act));
    const row = rows.get(one.id);
    row.node.classList.toggle("member", isMember);
    row.show([one], context);
    return row.node;
  }

  // What a button of the card changes.
  targets(verb) {
    return verb === "resume" ? this.managed.filter(({ override }) => override) : this.managed;
  }

  showBulk(isFiltered) {
    const [resume, ...others] = this.bulk.children;
    const overridden = this.targets("resume").length;
    this.bulk.hidden = this.alarm || this.managed.length < 2;
    resume.hidden = overridden < 2;
    setText(resume, `Resume ${overridden}`);
    resume.ariaLabel = `Resume ${overridden} of ${this.name}`;
    const idle = [this.managed.every(isUp), !this.managed.some(isUp), false];
    ["Start", "Stop", "Override"].forEach((verb, index) => {
      setText(others[index], `${verb} ${isFiltered ? "shown" : "all"}`);
      others[index].ariaLabel = `${others[index].textContent} of ${this.name}`;
      others[index].ariaDisabled = String(this.isBusy || idle[index]);
    });
  }

  showAll() {
    this.whole = true;
    this.show(...this.shown);
    this.body.children[FEW]?.querySelector("button")?.focus();
  }

  showTimes() {
    const [schedule, , , context] = this.shown ?? [];
    if (this.details.open && schedule?.timeline) drawTimes(this.times, schedule, context.now);
  }

  busy(isBusy) {
    this.isBusy = isBusy;
    for (const button of this.bulk.children) button.ariaDisabled = String(isBusy);
    for (const group of this.groups) group.busy(isBusy);
    for (const one of this.managed) rows.get(one.id)?.busy(isBusy);
  }

  complain(error) {
    showError(this.wrong, error, this.fold);
  }
}

const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const byName = (a, b) => order.compare(label(a), label(b)) || order.compare(a.id, b.id);

// Puts `nodes` into `parent` in this order. Leaves nodes that are in place, because moving a node loses its focus.
function place(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const node of nodes) {
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
}

// Shows an error in `place` until it is dismissed; without an error, removes the last one. A focus on it moves to `next`.
function showError(place, error, next) {
  const hadFocus = place.contains(document.activeElement);
  place.hidden = !error;
  place.replaceChildren(...(error ? [notice(error, () => showError(place, null, next))] : []));
  if (hadFocus) next.focus();
}

function notice(error, close) {
  const node = make("div", { className: error.harmless ? "notice harmless" : "notice", role: "alert" }, showSentence(make("p", { className: "what" }), error.message));
  if (error.hint) node.append(showSentence(make("p", { className: "hint" }), error.hint));
  if (error.requestId) node.append(make("p", { className: "small soft" }, "Request ", make("span", { className: "id" }, error.requestId)));
  if (close) node.append(make("button", { type: "button", className: "plain", onclick: close }, "Dismiss"));
  return node;
}
