
// Numbers and times as a person reads them, and elements without any HTML of texts.

const $ = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';

/** Makes an element; texts are put in as texts. */
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  set(made, properties);
  made.append(...children);
  return made;
}

/** Makes an element of a drawing. */
function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function set(target, properties) {
  for (const [key, value] of Object.entries(properties)) {
    if (key === 'class') target.className = value;
    else if (key === 'data') Object.assign(target.dataset, value);
    else if (key in target) target[key] = value;
    else target.setAttribute(key, value);
  }
}

/** Changes a text only where it is another one: nothing is selected or announced in vain. */
function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Two or three digits. */
function digits(value) {
  if (value === 0 || value >= 99.5) return String(Math.round(value));
  return value >= 9.95 ? value.toFixed(0) : value.toFixed(1);
}

function scaled(value, units) {
  let at = 0;
  while (value >= 999.5 && at < units.length - 1) { value /= 1000; at += 1; }
  return `${digits(value)} ${units[at]}`;
}

const NONE = '–';
const rate = (bits) => bits === undefined || bits === null ? NONE : scaled(bits < 100 ? 0 : bits / 1e3, ['kbit/s', 'Mbit/s', 'Gbit/s']);
const size = (bytes) => bytes < 1000 ? `${bytes} B` : scaled(bytes / 1e3, ['kB', 'MB', 'GB', 'TB']);
const delay = (millis) => millis === undefined || millis === null ? NONE : `${digits(millis)} ms`;
const count = (number) => number.toLocaleString('en');
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? '' : 's'}`;

/** A duration, of milliseconds. */
function span(millis) {
  if (millis < 1000) return `${Math.round(millis)} ms`;
  const seconds = millis / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const MINUTES = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const SECONDS = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { weekday: 'short' });
const toMinute = (at) => MINUTES.format(new Date(at));
const toSecond = (at) => SECONDS.format(new Date(at));

/** A time of today as such, another one with its day. */
function moment(at, now) {
  const same = new Date(at).toDateString() === new Date(now).toDateString();
  return same ? toSecond(at) : `${DAY.format(new Date(at))} ${toMinute(at)}`;
}

/** When the day began that a person calls today. */
function midnight(now) {
  const day = new Date(now);
  day.setHours(0, 0, 0, 0);
  return day.getTime();
}
