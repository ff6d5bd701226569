
// The plots: rate above, delay below, over one time axis; what failed is a band across both.

const HEIGHT = 178;
const LEFT = 4;
const RATE = { top: 16, bottom: 92 };
const DELAY = { top: 110, bottom: 156 };

/** The least tops of the axes: less is noise. In bit/s and milliseconds. */
const LEAST_RATE = 1e5;
const LEAST_DELAY = 10;

/** Returns the next of 1, 2, 5, 10, 20, … */
function roundTop(value, least) {
  const wanted = Math.max(value, least);
  const power = 10 ** Math.floor(Math.log10(wanted));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= wanted * 0.999);
}

/** Distances between marks of time, in milliseconds. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360].map((minutes) => minutes * 60000);

/** Returns the times in which something had failed: those of several peers are one. */
function merged(outages, now) {
  const times = [];
  for (const outage of [...outages].sort((a, b) => a.from - b.from)) {
    const [from, to] = [outage.from, outage.to ?? now];
    const last = times.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else times.push({ from, to });
  }
  return times;
}

class Plot {
  constructor(name) {
    this.name = name;
    this.svg = shape('svg', { class: 'plot', role: 'slider', tabindex: '0', 'aria-label': `Rate and delay over ${name}, by time` });
    this.readout = element('figcaption', { class: 'readout' });
    this.figure = element('figure', {}, this.svg, this.readout);
    this.cursor = null;
    this.svg.addEventListener('pointermove', (event) => this.point(event.clientX - this.svg.getBoundingClientRect().left));
    this.svg.addEventListener('pointerleave', () => { if (document.activeElement !== this.svg) this.point(null); });
    this.svg.addEventListener('blur', () => this.point(null));
    this.svg.addEventListener('keydown', (event) => this.key(event));
  }

  /** Draws a column of steps from one time to another, with what failed. */
  draw(steps, column, from, to, outages) {
    const width = Math.max(this.svg.clientWidth, 200);
    this.view = { steps, column, from, to, width };
    if (this.cursor !== null) this.cursor = Math.max(this.cursor, from);
    this.svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    const x = (at) => LEFT + (at - from) / (to - from) * (width - LEFT - 1);
    const inside = steps.at.findIndex((at) => at >= from);
    const first = inside < 0 ? steps.at.length : Math.max(0, inside - 1);
    const highest = (values) => values.slice(first).reduce((most, value) => Math.max(most, value ?? 0), 0);
    const topRate = roundTop(Math.max(highest(column.received), highest(column.sent)), LEAST_RATE);
    const topDelay = roundTop(highest(column.rtt), LEAST_DELAY);
    const lines = [
      ['received', column.received, RATE, topRate], ['sent', column.sent, RATE, topRate], ['delay', column.rtt, DELAY, topDelay],
    ];
    const drawn = [...this.grid(width, from, to, x, topRate, topDelay), ...this.bands(outages, from, to, x)];
    for (const [name, values, panel, top] of lines) {
      const y = (value) => panel.bottom - value / top * (panel.bottom - panel.top);
      const runs = this.runs(steps, values, first);
      const d = runs.map((run) => run.map((i, n) => `${n ? 'L' : 'M'}${x(steps.at[i]).toFixed(1)} ${y(values[i]).toFixed(1)}`).join('')).join('');
      if (name === 'received') {
        const area = runs.map((run) => `M${x(steps.at[run[0]]).toFixed(1)} ${panel.bottom}` + run.map((i) => `L${x(steps.at[i]).toFixed(1)} ${y(values[i]).toFixed(1)}`).join('') + `L${x(steps.at[run.at(-1)]).toFixed(1)} ${panel.bottom}Z`).join('');
        drawn.push(shape('path', { class: 'area', d: area }));
      }
      drawn.push(shape('path', { class: name, d }));
    }
    this.svg.replaceChildren(...drawn);
    this.label();
  }

  /** Returns the runs of steps without a hole. */
  runs(steps, values, first) {
    const runs = [];
    let run = [];
    for (let i = first; i < values.length; i += 1) {
      const hole = values[i] === null || (run.length && steps.at[i] - steps.at[i - 1] > 3 * steps.step_ms);
      if (hole && run.length) { runs.push(run); run = []; }
      if (values[i] !== null) run.push(i);
    }
    if (run.length) runs.push(run);
    return runs;
  }

  grid(width, from, to, x, topRate, topDelay) {
    const drawn = [];
    const line = (y) => drawn.push(shape('line', { class: 'grid', x1: LEFT, x2: width - 1, y1: y + 0.5, y2: y + 0.5 }));
    [RATE.top, RATE.bottom, DELAY.top, DELAY.bottom].forEach(line);
    drawn.push(shape('text', { x: LEFT, y: RATE.top - 4 }, rate(topRate)));
    drawn.push(shape('text', { x: LEFT, y: DELAY.top - 4 }, delay(topDelay)));
    const most = Math.max(2, Math.floor(width / 90));
    const step = STEPS.find((candidate) => (to - from) / candidate <= most) ?? STEPS.at(-1);
    const shift = new Date(to).getTimezoneOffset() * 60000;
    for (let at = Math.ceil((from - shift) / step) * step + shift; at < to; at += step) {
      const place = x(at);
      if (place < 20 || place > width - 20) continue;
      drawn.push(shape('line', { class: 'grid', x1: place, x2: place, y1: DELAY.bottom + 3, y2: DELAY.bottom + 7 }));
      drawn.push(shape('text', { x: place, y: HEIGHT - 6, 'text-anchor': 'middle' }, toMinute(at)));
    }
    return drawn;
  }

  bands(outages, from, to, x) {
    const drawn = [];
    for (const outage of merged(outages, to)) {
      const end = outage.to;
      if (end < from) continue;
      const left = x(Math.max(outage.from, from));
      const width = Math.max(x(Math.min(end, to)) - left, 1.5);
      const band = shape('rect', { class: 'failure', x: left, width, y: RATE.top, height: DELAY.bottom - RATE.top });
      drawn.push(band, shape('rect', { class: 'mark', x: left, width: Math.max(width, 3), y: DELAY.bottom, height: 3 }));
    }
    return drawn;
  }

  /** Shows the values at a place, or none. */
  point(place) {
    const view = this.view;
    if (!view) return;
    const at = place === null ? null : view.from + (place - LEFT) / (view.width - LEFT) * (view.to - view.from);
    this.cursor = at;
    this.label();
  }

  key(event) {
    const view = this.view;
    const direction = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!view || !direction) return;
    event.preventDefault();
    const step = Math.max(view.steps.step_ms, (view.to - view.from) / 60);
    this.cursor = Math.min(view.to, Math.max(view.from, (this.cursor ?? view.to) + direction * step));
    this.label();
  }

  label() {
    const { steps, column, from, to, width } = this.view;
    this.svg.querySelector('.cursor')?.remove();
    const wanted = this.cursor ?? to;
    let at = steps.at.length - 1;
    while (at > 0 && steps.at[at - 1] >= wanted) at -= 1;
    const known = at >= 0 && Math.abs(steps.at[at] - wanted) <= 3 * steps.step_ms;
    const values = known ? `received ${rate(column.received[at])}, sent ${rate(column.sent[at])}, delay ${delay(column.rtt[at])}` : 'nothing known';
    // Whoever is there with a screen reader is not told every second.
    const listened = this.cursor === null && document.activeElement === this.svg && this.svg.hasAttribute('aria-valuetext');
    if (!listened) set(this.svg, { 'aria-valuemin': from, 'aria-valuemax': to, 'aria-valuenow': Math.round(wanted), 'aria-valuetext': `${toSecond(wanted)}: ${values}` });
    if (this.cursor === null) return say(this.readout, '');
    const x = LEFT + (wanted - from) / (to - from) * (width - LEFT - 1);
    this.svg.append(shape('line', { class: 'cursor', x1: x, x2: x, y1: RATE.top, y2: DELAY.bottom }));
    say(this.readout, `${toSecond(wanted)} · ${values}`);
  }
}

/** Steps of all uplinks, to which newer ones are added. */
class Steps {
  constructor(columns) {
    Object.assign(this, columns);
    this.bound = this.step_ms === 60000 ? 1440 : 720;
  }

  add(row) {
    const [at, points] = row;
    if (this.at.length && at <= this.at.at(-1)) return;
    for (const name of Object.keys(points)) this.uplinks[name] ??= this.empty();
    this.at.push(at);
    for (const [name, column] of Object.entries(this.uplinks)) {
      const [received, sent, rtt] = points[name] ?? [null, null, null];
      column.received.push(received);
      column.sent.push(sent);
      column.rtt.push(rtt);
    }
    if (this.at.length <= this.bound) return;
    this.at.shift();
    for (const column of Object.values(this.uplinks)) { column.received.shift(); column.sent.shift(); column.rtt.shift(); }
  }

  empty() {
    const nothing = () => this.at.map(() => null);
    return { received: nothing(), sent: nothing(), rtt: nothing() };
  }
}
