// Words of the page's language, numbers and times of the browser's.

const words = new Map();
for (const word of document.getElementById("words").content.querySelectorAll("[data-word]")) {
    words.set(word.dataset.word, word.textContent);
}

const plural = new Intl.PluralRules(document.documentElement.lang || undefined);
const integer = new Intl.NumberFormat();
const tenths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** What stands in the template under this name; `values` fill its {gaps}. */
export function say(name, values = {}) {
    const text = words.get(name) ?? name;
    return text.replace(/\{(\w+)\}/g, (gap, key) => (key in values ? values[key] : gap));
}

/** The same with a number, of which the form of the word depends. */
export function sayCount(name, count, values = {}) {
    const form = `${name}.${plural.select(count)}`;
    return say(words.has(form) ? form : `${name}.other`, { ...values, count: integer.format(count) });
}

export const number = (value) => integer.format(value);

/** A number with no more digits than somebody reads. */
export const rate = (value) => (value < 10 ? tenths.format(value) : integer.format(Math.round(value)));

/** A span of time in milliseconds. */
export function span(ms) {
    return ms < 999.5 ? `${rate(ms)} ms` : `${tenths.format(ms / 1000)} s`;
}

export const timeOfDay = (date) => clock.format(date);

const UNITS = [
    [86400, "day"],
    [3600, "hour"],
    [60, "minute"],
    [1, "second"],
].map(([size, unit]) => [size, new Intl.NumberFormat(undefined, { style: "unit", unit, unitDisplay: "narrow" })]);
let skew = 0; // ms that the server's clock is ahead of ours

/** Say what the server's clock shows, in seconds since the epoch. */
export function serverSays(at) {
    skew = at * 1000 - Date.now();
}

/** Show in a <time> how long something has been there, since `at` seconds after the epoch. It is kept up to date. */
export function showSince(node, at) {
    if (node.dataset.at === String(at)) return;
    node.dataset.at = at;
    node.dateTime = new Date(at * 1000).toISOString();
    node.title = moment.format(at * 1000);
    refresh(node);
}

function refresh(node) {
    const seconds = Math.max(0, (Date.now() + skew) / 1000 - node.dataset.at);
    const [size, format] = UNITS.find(([size]) => seconds >= size) ?? UNITS.at(-1);
    const text = format.format(Math.floor(seconds / size));
    if (node.textContent !== text) node.textContent = text;
}

setInterval(() => document.querySelectorAll("time[data-at]").forEach(refresh), 1000);
