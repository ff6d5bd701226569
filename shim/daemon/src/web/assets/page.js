
// What the page shows, from the event stream.

const shown = { state: null, log: null, hour: null, day: null, plots: new Map(), cards: new Map(), range: 600000 };
const lanes = tables.lanes();
const flows = tables.flows();
const failures = tables.failures();

/** Shows a list, or says that it is empty. */
function showSome(list, empty, any) {
  list.hidden = !any;
  empty.hidden = any;
}

const names = new Intl.ListFormat('en');
const BROKEN = ['no answer', 'no address', 'no lane'];

/** What the page says first. */
function verdict(state) {
  const broken = state.uplinks.filter((uplink) => BROKEN.includes(uplink.state));
  const used = state.uplinks.filter((uplink) => uplink.lanes_up > 0);
  const reached = state.peers.filter((peer) => peer.reached);
  const names_of = (uplinks) => names.format(uplinks.map((uplink) => uplink.name));
  if (state.peers_total === 0) return ['warn', 'No peer is configured'];
  if (reached.length === 0) return ['bad', state.flows_total ? 'No peer is reached; flows wait' : 'No peer is reached'];
  if (broken.length && used.length) return ['bad', `${names_of(broken)} ${broken.length > 1 ? 'do' : 'does'} not answer; flows go on over ${names_of(used)}`];
  if (state.problems.length) return ['warn', 'Flows go on, and something is wrong'];
  const drained = state.uplinks.filter((uplink) => uplink.draining);
  if (drained.length) return ['warn', `${names_of(drained)} ${drained.length > 1 ? 'are' : 'is'} drained`];
  return ['good', `All is well over ${used.length > 1 ? names_of(used) : `${names_of(used)} alone`}`];
}

function showVerdict(state) {
  const [mood, text] = verdict(state);
  const heading = $('verdict');
  if (heading.textContent !== text) {
    say(heading, text);
    // Said aloud, and only when it is another one.
    say($('announcement'), text);
    document.title = `${mood === 'good' ? '' : '✕ '}${state.host || 'Throughline'}: ${text}`;
  }
  heading.dataset.mood = mood;
  const problems = $('problems');
  problems.hidden = state.problems.length === 0;
  if (problems.children.length !== state.problems.length) problems.replaceChildren(...state.problems.map(() => element('li')));
  state.problems.forEach((problem, at) => say(problems.children[at], problem));
}

function showFigures() {
  const { state, log } = shown;
  if (!state || !log) return;
  const { quarters, outages, since } = log.failures;
  const today = Math.max(midnight(state.now), 0);
  const of = quarters.filter((quarter) => quarter.from + 900000 > today);
  const total = (field) => of.reduce((sum, quarter) => sum + quarter[field], 0);
  const worst = of.map((quarter) => quarter.worst).filter(Boolean).reduce((most, gap) => (most && most.gap >= gap.gap ? most : gap), null);
  const partly = since > today ? `since ${toMinute(since)}` : '';
  say($('gap'), worst ? span(worst.gap) : 'none');
  say($('gap-note'), worst ? `${[worst.uplink, toSecond(worst.at)].filter(Boolean).join(', ')}` : partly);
  say($('survivors'), count(total('survivors')));
  say($('survivors-note'), partly);
  const open = outages.filter((outage) => !outage.to).length;
  say($('failures'), count(total('failures')));
  say($('failures-note'), open ? `${open} not over` : partly);
  say($('flows-now'), count(state.flows_total));
  say($('flows-note'), `to ${plural(state.peers.filter((peer) => peer.flows > 0).length, 'peer')}`);
  const rows = [...outages].reverse().map((outage) => ({ ...outage, now: state.now }));
  failures.show(rows);
  showSome($('failure-table').parentElement, $('no-failures'), rows.length > 0);
}

/** One uplink: how it is now, and its plot. */
function card(uplink) {
  const list = element('dl', { class: 'now' });
  const value = (name, label) => {
    const made = element('dd', { class: name });
    list.append(element('div', {}, element('dt', {}, label), made));
    return made;
  };
  const [received, sent, rtt] = [value('received', 'Received'), value('sent', 'Sent'), value('delay', 'Delay')];
  const [laneCount, failed, survivors] = [value('', 'Lanes'), value('', 'Failed lanes'), value('', 'Survived by')];
  const state = element('span', { class: 'state' });
  const addresses = element('p', { class: 'addresses' });
  const budget = element('p', { class: 'budget', hidden: true });
  const meter = element('meter', { min: 0, ariaLabel: `Budget of ${uplink.name} that is used` });
  const budgetText = element('span', {});
  budget.append(meter, budgetText);
  const button = element('button', { type: 'button', class: 'drain' });
  const title = element('h3', {}, uplink.name);
  const plot = new Plot(uplink.name);
  const made = { received, sent, rtt, laneCount, failed, survivors, state, addresses, budget, meter, budgetText, button, plot };
  button.addEventListener('click', () => request(made.uplink));
  made.root = element('article', { class: 'uplink', data: { uplink: uplink.name } },
    element('div', {}, element('div', { class: 'name' }, title, state), addresses, budget, list, button),
    plot.figure);
  return made;
}

/** What an uplink may carry in a month, where that is limited. */
function showBudget(made, budget) {
  made.budget.hidden = !budget;
  if (!budget) return;
  const meter = made.meter;
  Object.assign(meter, { max: budget.all, low: budget.all * 0.8, high: budget.all * 0.999, optimum: 0, value: Math.min(budget.used, budget.all) });
  const mood = { low: 'warn', spent: 'bad' }[budget.state] ?? '';
  if (made.budget.dataset.mood !== mood) made.budget.dataset.mood = mood;
  const state = mood ? `, ${budget.state}` : '';
  const anew = budget.resets_on ? `; it begins anew on ${budget.resets_on}` : '';
  say(made.budgetText, `Budget: ${size(budget.used)} of ${size(budget.all)} used${state}${anew}`);
  meter.ariaValueText = made.budgetText.textContent;
}

function showUplinks(state) {
  const wanted = state.uplinks.map((uplink) => uplink.name);
  for (const [name, gone] of shown.cards) if (!wanted.includes(name)) { gone.root.remove(); shown.cards.delete(name); }
  state.uplinks.forEach((uplink, at) => {
    if (!shown.cards.has(uplink.name)) shown.cards.set(uplink.name, card(uplink));
    const made = shown.cards.get(uplink.name);
    const root = $('uplinks');
    if (root.children[at] !== made.root) root.insertBefore(made.root, root.children[at] ?? null);
    made.uplink = uplink;
    const mood = uplink.state === 'standby' ? '' : MOODS[uplink.state];
    made.root.dataset.mood = mood;
    made.state.dataset.mood = mood;
    say(made.state, uplink.state);
    say(made.addresses, uplink.addresses.join(', ') + (uplink.metered ? ' (metered)' : ''));
    showBudget(made, uplink.budget);
    say(made.received, rate(uplink.rate?.received));
    say(made.sent, rate(uplink.rate?.sent));
    say(made.rtt, delay(uplink.rtt));
    say(made.laneCount, uplink.lanes_up === uplink.lanes ? `${uplink.lanes}` : `${uplink.lanes_up} of ${uplink.lanes}`);
    say(made.failed, count(uplink.failed));
    say(made.survivors, plural(uplink.survivors, 'flow'));
    made.button.hidden = !state.can_change || !token();
    say(made.button, uplink.draining ? 'Resume' : 'Drain');
    made.button.ariaLabel = `${uplink.draining ? 'Resume' : 'Drain'} ${uplink.name}`;
  });
  drawPlots();
}

function drawPlots() {
  const { state, log, range } = shown;
  const steps = range > 3600000 ? shown.day : shown.hour;
  if (!state || !steps) return;
  for (const [name, made] of shown.cards) {
    const column = steps.uplinks[name] ?? steps.empty();
    const outages = log ? log.failures.outages.filter((outage) => outage.uplink === name || outage.severity === 'no-lane') : [];
    // Of a standby there is nothing to see, as a rule.
    made.plot.figure.hidden = made.uplink.lanes === 0 && outages.length === 0 && !column.received.some((bits) => bits > 0);
    made.plot.draw(steps, column, state.now - range, state.now, outages);
  }
}

function refresh() {
  const { state } = shown;
  if (!state) return;
  say($('host'), state.host);
  showVerdict(state);
  showFigures();
  showUplinks(state);
  lanes.show(state.lanes);
  showSome($('lane-table'), $('no-lanes'), state.lanes.length > 0);
  say($('lanes-count'), state.lanes.length < state.lanes_total ? `${state.lanes.length} of ${count(state.lanes_total)}` : '');
  flows.show(state.flows);
  showSome($('flow-table').parentElement, $('no-flows'), state.flows.length > 0);
  say($('flows-count'), state.flows.length < state.flows_total ? `the ${state.flows.length} busiest of ${count(state.flows_total)}` : '');
  $('unlock').hidden = !state.can_change;
  say($('unlock'), token() ? 'Lock changes' : 'Unlock changes');
  say($('about'), `Throughline ${state.version}, running for ${span(state.uptime_s * 1000)}. Plots and failures are of the last day at most, and begin anew with the daemon.`);
}

const handlers = {
  plots(data) { shown.hour = new Steps(data.hour); shown.day = new Steps(data.day); },
  log(data) {
    shown.log = data;
    showEvents($('events'), data.events, shown.state?.now ?? Date.now());
    showSome($('events').parentElement, $('no-events'), data.events.length > 0);
  },
  state(data) {
    shown.state = data;
    if (data.slot) shown.hour?.add(data.slot);
    if (data.minute) shown.day?.add(data.minute);
    refresh();
  },
};

function connection(state, text) {
  const place = $('connection');
  if (place.dataset.state === state && state === 'live') return;
  place.dataset.state = state;
  say(place, text);
  document.querySelector('main').classList.toggle('stale', state === 'lost');
}

/** A frame comes every second. */
const SILENT = 10000;
let leaving = null;

/** Reads the messages of one answer until it ends. */
async function read(response, control) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const silent = setTimeout(() => control.abort(), SILENT);
    const { done, value } = await reader.read();
    clearTimeout(silent);
    if (done) return;
    text += value;
    const messages = text.split('\n\n');
    text = messages.pop();
    for (const message of messages) {
      const [name, data] = message.split('\n');
      connection('live', 'live');
      handlers[name.slice('event: '.length)]?.(JSON.parse(data.slice('data: '.length)));
    }
  }
}

async function follow() {
  const control = new AbortController();
  leaving = control;
  const response = await fetch('events', { headers: authorization(), cache: 'no-store', signal: control.signal });
  if (response.status === 401) {
    const problem = token() ? 'That was not the token.' : '';
    sessionStorage.removeItem(TOKEN);
    connection('waiting', 'locked');
    await askForToken(problem);
    return 0;
  }
  if (!response.ok) throw new Error(await reasonOf(response));
  await read(response, control);
  return 500;
}

const pause = (millis) => new Promise((resolve) => { setTimeout(resolve, millis); });
const seen = () => new Promise((resolve) => {
  if (!document.hidden) { resolve(); return; }
  document.addEventListener('visibilitychange', resolve, { once: true });
});

async function run() {
  for (let failed = 0; ; ) {
    await seen();
    let wait = 500;
    try { wait = await follow(); failed = 0; } catch (error) {
      failed += 1;
      wait = Math.min(5000, 500 * failed);
      const why = error.name === 'AbortError' || error instanceof TypeError ? 'no connection' : error.message;
      if (!document.hidden) connection('lost', `${why.replace(/\.$/, '')}; trying again`);
    }
    await pause(wait);
  }
}

/** A page that nobody sees costs nothing after a while. */
let away = 0;
document.addEventListener('visibilitychange', () => {
  clearTimeout(away);
  if (document.hidden) away = setTimeout(() => leaving?.abort(), 30000);
});
document.querySelectorAll('input[name=range]').forEach((input) => input.addEventListener('change', () => {
  shown.range = Number(input.value);
  drawPlots();
}));
new ResizeObserver(drawPlots).observe($('uplinks'));
run();
