// Shows the fleet: a card for each schedule, a line for each instance. Elements are created once and updated in place, so that the
// focus, open menus and the reading position are kept.

// The number of instances of a schedule that are shown at first.
const FEW = 20;

class Line {
  constructor(act) {
    const button = (name, properties, ...text) => (this[name] = make("button", { type: "button", className: "do", ...properties }, ...text));
    this.name = make("b");
    this.type = make("span");
    this.id = make("div", { className: "id" });
    this.state = make("div", { className: "state" });
    this.why = make("div", { className: "why small soft" });
    this.until = make("div", { className: "until" });
    this.note = make("div", { className: "small soft" });
    this.badge = make("span", { className: "overridden" }, "Override");
    button("resume", { onclick: () => act("resume", [this.one], this) }, "Resume");
    button("turn", { onclick: () => act(this.verb, [this.one], this) });
    button("keep", { ariaHasPopup: "menu", ariaExpanded: "false", onclick: () => openMenu(this.keep, (hours) => act("start", [this.one], this, hours)) }, "Keep up");
    this.acts = make("td", { className: "acts", role: "cell" }, this.resume, this.turn, this.keep);
    this.wrong = make("td", { className: "wrong", role: "cell", hidden: true });
    this.node = make("tr", { role: "row" },
      make("th", { scope: "row", role: "rowheader" }, make("div", { className: "name" }, this.name, "\u2002", this.type), this.id),
      make("td", { className: "look", role: "cell" }, this.state, this.why),
      make("td", { className: "when", role: "cell" }, this.until, this.note),
      this.acts, this.wrong);
  }

  show(one, zone, now, regions) {
    const before = this.one;
    this.one = one;
    const changed = before && before.state !== one.state;
    setText(this.name, label(one));
    this.name.classList.toggle("bare", !one.name);
    setText(this.type, kind(one));
    setText(this.id, whereabouts(one, regions));
    setText(this.state, STATES[one.state] ?? one.state);
    this.state.className = `state ${one.state in STATES ? one.state : ""}`;
    if (one.override) this.state.append(this.badge);
    showSentence(this.why, why(one, now));
    const next = until(one, now, zone);
    setText(this.until, next?.text ?? "No next edge");
    this.until.classList.toggle("none", !next?.moves && !one.override);
    setText(this.note, next?.note ?? "");
    this.node.classList.toggle("awry", needsAttention(one));
    if (changed) flash(this.node);
    const up = one.state === "running" || one.state === "pending";
    this.verb = up ? "stop" : "start";
    setText(this.turn, up ? "Stop" : "Start");
    this.acts.hidden = !isManaged(one);
    // Moves the focus before its button is hidden.
    if (!one.override && document.activeElement === this.resume) this.turn.focus();
    this.resume.hidden = !one.override;
    this.nameButtons();
    this.busy(this.isBusy);
  }

  // Blocks the buttons while a request is in progress. `aria-disabled` keeps the focus, unlike `disabled`.
  busy(isBusy) {
    this.isBusy = isBusy;
    this.node.ariaBusy = String(Boolean(isBusy));
    this.turn.ariaDisabled = String(Boolean(isBusy || inFlight(this.one)));
    this.keep.ariaDisabled = this.resume.ariaDisabled = String(Boolean(isBusy));
  }

  nameButtons() {
    const name = label(this.one);
    this.turn.ariaLabel = `${this.turn.textContent} ${name}`;
    this.resume.ariaLabel = `Resume the schedule of ${name}`;
    this.keep.ariaLabel = `Keep up ${name}`;
  }

  complain(error) {
    const hadFocus = this.wrong.contains(document.activeElement);
    this.wrong.hidden = !error;
    this.wrong.replaceChildren(...(error ? [notice(error, () => this.complain(null))] : []));
    if (hadFocus) this.turn.focus();
  }
}

// Only managed instances can be changed.
function isManaged(one) {
  return Boolean(one.schedule);
}

function flash(node) {
  node.classList.remove("fresh");
  requestAnimationFrame(() => node.classList.add("fresh"));
}

class Card {
  constructor(name, act) {
    this.lines = new Map();
    this.title = make("span");
    this.facts = make("span", { className: "facts" });
    this.because = make("p", { className: "because small soft" });
    this.week = make("div", { hidden: true });
    this.times = make("div");
    this.details = make("details", { hidden: true, ontoggle: () => this.showTimes() }, make("summary", {}, "Exact times"), this.times);
    const all = (verb) => make("button", { type: "button", onclick: () => act(verb, this.targets, this) });
    this.keep = make("button", { type: "button", ariaHasPopup: "menu", ariaExpanded: "false", onclick: () => openMenu(this.keep, (hours) => act("start", this.targets, this, hours)) });
    this.all = make("div", { className: "all" }, all("start"), all("stop"), this.keep);
    this.wrong = make("div");
    this.body = make("tbody", { role: "rowgroup" });
    const columns = ["Instance", "State", "Next", "Change"].map((text) => make("th", { scope: "col", role: "columnheader" }, text));
    this.table = make("table", { className: "fleet", role: "table", ariaLabel: name }, make("thead", { className: "unseen", role: "rowgroup" }, make("tr", { role: "row" }, ...columns)), this.body);
    this.rest = make("button", { type: "button", className: "plain", onclick: () => this.showAll() });
    this.more = make("div", { className: "more", hidden: true }, this.rest);
    this.node = make("section", { className: "card", ariaLabel: name },
      make("header", { className: "head" }, make("h2", {}, this.title, this.facts), this.because, this.all),
      make("div", { className: "week" }, this.week, this.details), this.wrong, this.table, this.more);
    this.act = act;
    this.name = name;
  }

  show(schedule, all, fitting, now, regions) {
    this.shown = [schedule, all, fitting, now, regions];
    this.targets = fitting.filter(isManaged);
    const zone = schedule?.timezone;
    const running = all.filter((one) => one.state === "running").length;
    setText(this.title, this.name);
    const there = zone && wall(now, zone).number !== wall(now, MINE).number ? `${zone}, ${wall(now, zone).clock} there` : zone;
    setText(this.facts, [all.length ? `${running} of ${all.length} running` : "no instances", there, schedule?.enforce && "enforced"].filter(Boolean).join(" · "));
    showSentence(this.because, schedule?.reason ?? "");
    this.week.hidden = this.details.hidden = !schedule?.timeline;
    if (schedule?.timeline) drawWeek(this.week, schedule, now);
    this.showTimes();
    this.all.hidden = this.targets.length < 2;
    ["Start", "Stop", "Keep up"].forEach((verb, index) => {
      const button = this.all.children[index];
      setText(button, `${verb} ${fitting.length < all.length ? "shown" : "all"}`);
      button.ariaLabel = `${button.textContent} of ${this.name}`;
    });
    const few = this.open ? fitting : fitting.slice(0, FEW);
    for (const one of few) {
      if (!this.lines.has(one.id)) this.lines.set(one.id, new Line(this.act));
      this.lines.get(one.id).show(one, zone, now, regions);
    }
    this.more.hidden = few.length === fitting.length;
    setText(this.rest, `Show all ${fitting.length}`);
    place(this.body, few.map((one) => this.lines.get(one.id).node));
    this.node.hidden = !fitting.length;
  }

  showAll() {
    this.open = true;
    this.show(...this.shown);
    this.body.children[FEW]?.querySelector("button")?.focus();
  }

  showTimes() {
    const [schedule, , , now] = this.shown ?? [];
    if (this.details.open && schedule?.timeline) drawTimes(this.times, schedule, now);
  }

  busy(isBusy) {
    for (const button of this.all.children) button.ariaDisabled = String(isBusy);
    for (const one of this.targets) this.lines.get(one.id)?.busy(isBusy);
  }

  complain(error) {
    const hadFocus = this.wrong.contains(document.activeElement);
    this.wrong.replaceChildren(...(error ? [notice(error, () => this.complain(null))] : []));
    if (hadFocus) this.all.firstChild.focus();
  }
}

// Puts `nodes` into `parent` in this order. Leaves nodes that are in place, because moving a node loses its focus.
function place(parent, nodes) {
  for (const child of [...parent.children]) if (!nodes.includes(child)) child.remove();
  nodes.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
}

function notice(error, close) {
  const node = make("div", { className: error.harmless ? "notice harmless" : "notice", role: "alert" }, showSentence(make("p", { className: "what" }), error.message));
  if (error.hint) node.append(showSentence(make("p", { className: "hint" }), error.hint));
  if (error.requestId) node.append(make("p", { className: "small soft" }, "Request ", make("span", { className: "id" }, error.requestId)));
  if (close) node.append(make("button", { type: "button", className: "plain", onclick: close }, "Dismiss"));
  return node;
}
