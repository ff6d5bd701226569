
// Tables, whose rows and cells stay where they are while their texts change.

/** A table of columns: title, class, and the text of a row. `keys` of columns that can be sorted by. */
class Table {
  constructor(table, caption, columns, sorting) {
    this.columns = columns;
    this.sorting = sorting;
    this.table = table;
    // The roles are lost where a narrow page shows rows as cards.
    table.setAttribute('role', 'table');
    this.body = element('tbody', { role: 'rowgroup' });
    this.heads = columns.map((column) => this.head(column));
    const head = element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, ...this.heads));
    table.append(element('caption', { class: 'hidden' }, caption), head, this.body);
    this.rows = [];
  }

  head(column) {
    const head = element('th', { scope: 'col', role: 'columnheader', class: column.class === 'number-cell' ? 'number-cell' : '' });
    if (!column.key) { head.append(column.title); return head; }
    const button = element('button', { type: 'button' }, column.title);
    button.addEventListener('click', () => this.sortBy(column));
    head.append(button);
    return head;
  }

  sortBy(column) {
    const again = this.sorting.column === column.title;
    const down = again ? !this.sorting.down : column.class === 'number-cell';
    this.sorting = { column: column.title, down };
    this.show(this.rows);
  }

  sorted(rows) {
    const column = this.sorting && this.columns.find((candidate) => candidate.title === this.sorting.column);
    this.heads.forEach((head, at) => {
      if (this.columns[at] === column) head.setAttribute('aria-sort', this.sorting.down ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
    if (!column) return rows;
    const sign = this.sorting.down ? -1 : 1;
    const compare = (a, b) => (typeof a === 'string' ? a.localeCompare(b) : a - b);
    return [...rows].sort((a, b) => sign * compare(column.key(a), column.key(b)));
  }

  show(rows) {
    this.rows = rows;
    const lines = this.body.rows;
    while (lines.length > rows.length) lines[lines.length - 1].remove();
    while (lines.length < rows.length) this.body.append(this.line());
    this.sorted(rows).forEach((row, at) => {
      this.columns.forEach((column, place) => {
        const cell = lines[at].cells[place];
        say(cell, column.text(row));
        if (column.mood) cell.dataset.mood = column.mood(row);
      });
    });
  }

  line() {
    const cells = this.columns.map((column) => {
      const cell = element('td', { role: 'cell', class: column.class ?? '' });
      if (column.label !== '') cell.dataset.label = column.label ?? column.title;
      return cell;
    });
    return element('tr', { role: 'row' }, ...cells);
  }
}

const MOODS = {
  'in use': 'good', up: 'good', draining: 'warn', lossy: 'warn', suspect: 'bad',
  'budget spent': 'warn', 'no answer': 'bad', 'no address': 'bad', 'no lane': 'bad',
};
const SEVERITIES = { silent: 'silent', 'one-way': 'one direction lost', down: 'failed', 'no-lane': 'no lane at all' };
const MOVES = {
  gone: 'its lane ended', suspect: 'its lane was silent', unready: 'its lane was not ready', draining: 'its lane drains',
  metered: 'its lane is metered', lossy: 'its lane lost much', 'more-elsewhere': 'more room there', restored: 'its lane is back', spurious: 'a false alarm',
};

const busy = (row) => (row.rate ? row.rate.received + row.rate.sent : -1);
const received = { title: 'Received', label: '↓', class: 'number-cell', key: (row) => row.rate?.received ?? -1, text: (row) => rate(row.rate?.received) };
const sent = { title: 'Sent', label: '↑', class: 'number-cell', key: (row) => row.rate?.sent ?? -1, text: (row) => rate(row.rate?.sent) };

const tables = {
  lanes: () => new Table($('lane-table'), 'Lanes', [
    { title: 'Peer', text: (lane) => `${lane.peer}`, label: '', key: (lane) => `${lane.peer} ${lane.uplink} ${lane.id}` },
    { title: 'Uplink', label: 'over', text: (lane) => lane.uplink || 'unknown', key: (lane) => lane.uplink },
    { title: 'State', label: '', class: 'state', mood: (lane) => MOODS[lane.state] ?? '', text: (lane) => lane.state + (lane.cost === 'preferred' || !lane.cost ? '' : `, ${lane.cost.replaceAll('-', ' ')}`), key: (lane) => lane.state },
    { title: 'Delay', label: 'delay', class: 'number-cell', text: (lane) => delay(lane.rtt), key: (lane) => lane.rtt },
    received, sent,
    { title: 'Lost', label: 'lost', class: 'number-cell', text: (lane) => (lane.lost >= 0.05 ? `${digits(lane.lost)} %` : '0 %'), key: (lane) => lane.lost },
    { title: 'From', label: 'from', class: 'code', text: (lane) => lane.local, key: (lane) => lane.local },
    { title: 'To', label: 'to', class: 'code', text: (lane) => lane.remote, key: (lane) => lane.remote },
  ], { column: 'Peer', down: false }),

  flows: () => new Table($('flow-table'), 'Flows', [
    { title: 'Target', label: '', text: (flow) => flow.target, key: (flow) => flow.target },
    { title: 'Flow', label: '', class: 'code', text: (flow) => `f${flow.id}`, key: (flow) => flow.id },
    { title: 'Peer', label: 'to', text: (flow) => flow.peer, key: (flow) => flow.peer },
    { title: 'Over', label: 'over', text: (flow) => (flow.uplink || 'no lane') + (flow.secondary ? ` and ${flow.secondary}` : ''), key: (flow) => flow.uplink },
    received, sent,
    { title: 'So far', label: 'so far', class: 'number-cell', text: (flow) => size(flow.received + flow.sent), key: (flow) => flow.received + flow.sent },
    { title: 'Last moved', label: 'moved', class: 'quiet', text: (flow) => (flow.moved ? `${span(flow.moved.ago_s * 1000)} ago: ${MOVES[flow.moved.reason] ?? flow.moved.reason}` : ''), key: (flow) => -(flow.moved?.ago_s ?? 1e12) },
  ], null),

  failures: () => new Table($('failure-table'), 'Failures', [
    { title: 'When', label: '', text: (outage) => moment(outage.from, outage.now) },
    { title: 'Uplink', label: '', text: (outage) => outage.uplink || (outage.severity === 'no-lane' ? 'all' : 'unknown') },
    { title: 'Peer', label: 'to', text: (outage) => outage.peer },
    { title: 'What', label: '', class: 'state', mood: (outage) => (outage.to ? '' : 'bad'), text: (outage) => SEVERITIES[outage.severity] ?? outage.severity },
    { title: 'Lasted', label: 'for', class: 'number-cell', text: (outage) => (outage.to ? span(outage.to - outage.from) : `${span(outage.now - outage.from)} so far`) },
    { title: 'Flows that went on', label: 'flows that went on', class: 'number-cell', text: (outage) => (outage.survivors ? count(outage.survivors) : '') },
    { title: 'Why', label: '', class: 'quiet', text: (outage) => outage.reason },
  ], null),
};

/** Shows events, the newest first; those that are there already stay. */
function showEvents(list, events, now) {
  const newest = Number(list.firstElementChild?.dataset.seq ?? -1);
  const fresh = events.filter((event) => event.seq > newest || (events[0] && events[0].seq < newest));
  if (events[0] && events[0].seq < newest) list.replaceChildren();
  const about = (event) => [event.peer, event.uplink].filter(Boolean).join(' · ');
  list.prepend(...fresh.map((event) => element('li', { data: { seq: event.seq } },
    element('time', { dateTime: event.time, title: event.time }, moment(Date.parse(event.time), now)),
    element('span', { class: 'about' }, about(event)),
    element('span', { class: 'text' }, event.text))));
  while (list.children.length > 100) list.lastElementChild.remove();
}
