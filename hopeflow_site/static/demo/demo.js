// Two panes: a backend that publishes, and a tab that subscribes with the client that every page would use.

import { RealtimeClient } from "../realtime/realtime.js";

const FLIGHT = 650; // ms
const WIDTH = 46; // characters

const $ = (id) => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");

async function tokenFor(side) {
    const response = await fetch(`token/${side}`);
    if (!response.ok) throw new Error(`no token: ${response.status}`);
    return (await response.json()).token;
}

/** What a field holds as JSON text, or null: then it says what is wrong with it. An empty field is "" where it may be. */
function jsonOf(field, mayBeEmpty = false) {
    const text = field.value.trim();
    let wrong = "";
    try {
        if (text || !mayBeEmpty) JSON.parse(text);
    } catch (error) {
        wrong = text ? `This is not JSON: ${error.message}` : 'Write JSON, as in "displayed" or null.';
    }
    say(field, wrong);
    return wrong ? null : text;
}

function say(field, wrong) {
    $(`${field.id}-error`).textContent = wrong;
    field.setAttribute("aria-invalid", String(Boolean(wrong)));
}

/** JSON that is sent and shown as it was typed: JavaScript would change its large numbers. */
class Typed {
    constructor(text) {
        this.text = text;
    }
}

/** JSON for people: what fits into a line stands in one. */
function pretty(value, room = WIDTH, indent = "\n") {
    if (value instanceof Typed) return value.text;
    if (typeof value !== "object" || value === null) return JSON.stringify(value);
    const [open, close] = Array.isArray(value) ? "[]" : "{}";
    const name = (key) => (Array.isArray(value) ? "" : `${JSON.stringify(key)}: `);
    const parts = (...how) => Object.entries(value).map(([key, inner]) => name(key) + pretty(inner, ...how));
    const line = open + parts(Infinity).join(", ") + close;
    if (line.length <= room) return line;
    const deeper = `${indent}  `;
    return open + deeper + parts(room - 2, deeper).join(`,${deeper}`) + indent + close;
}

/** Show JSON in a step, with its keys set back. */
function show(id, json) {
    const step = $(id);
    const parts = pretty(json).split(/("(?:[^"\\]|\\.)*"(?:: )?)/);
    step.querySelector("pre").replaceChildren(
        ...parts.map((part) => {
            const span = document.createElement("span");
            span.className = part.endsWith(": ") ? "key" : "";
            span.textContent = part;
            return span;
        })
    );
    step.hidden = false;
    step.classList.remove("fresh");
    void step.offsetWidth; // so that it begins anew
    step.classList.add("fresh");
}

function clear(...ids) {
    for (const id of ids) if ($(id)) $(id).hidden = true;
}

/** Let an envelope, or its ack, fly from one element to another. It takes no time where nobody would see it. */
async function fly(from, to, kind) {
    if (still.matches || document.hidden || !from || !to) return;
    const flyer = $("flyer").cloneNode(true);
    flyer.removeAttribute("id");
    flyer.classList.add(kind);
    flyer.removeAttribute("hidden");
    document.body.append(flyer);
    const middle = (element) => {
        const { left, top, width, height } = element.getBoundingClientRect();
        return [left + scrollX + width / 2 - 16, top + scrollY + height / 2 - 11];
    };
    const [[x0, y0], [x1, y1]] = [middle(from), middle(to)];
    const at = (x, y, scale) => `translate(${x}px, ${y}px) scale(${scale})`;
    const flight = flyer.animate(
        [
            { transform: at(x0, y0, 0.6), opacity: 0 },
            { transform: at(x0, y0, 1), opacity: 1, offset: 0.15 },
            { transform: at((x0 + x1) / 2, (y0 + y1) / 2 - 24, 1.15), offset: 0.55 },
            { transform: at(x1, y1, 1), opacity: 1, offset: 0.9 },
            { transform: at(x1, y1, 0.6), opacity: 0 },
        ],
        { duration: FLIGHT, easing: "cubic-bezier(.45, .05, .3, 1)", fill: "both" }
    );
    // A tab that is hidden meanwhile animates nothing, but has to ack.
    await Promise.race([flight.finished, new Promise((resolve) => setTimeout(resolve, 2 * FLIGHT))]);
    flyer.remove();
}

// Ann's tab

const client = new RealtimeClient("../", { token: () => tokenFor("tab") });
let unsubscribe = () => {};

client.addEventListener("state", ({ state, delay, code }) => {
    $("state").dataset.state = state;
    $("state").textContent = {
        waiting: `lost, next attempt in ${Math.ceil(delay / 1000)} s`,
        closed: `closed, ${code}`,
    }[state] ?? state;
});

async function handle(envelope) {
    clear("ack");
    await fly($("publish")?.querySelector("button") ?? document.querySelector("header"), $("tab"), "envelope");
    show("envelope", envelope);
    const json = jsonOf($("result"));
    const result = json === null ? null : JSON.parse(json);
    show("ack", { type: "ack", envelopeId: envelope.envelopeId, result });
    return result;
}

function subscribe() {
    unsubscribe();
    unsubscribe = () => {};
    const type = $("filter").value;
    say($("filter"), type.trim() ? "" : "A filter has a type: without one the tab gets nothing.");
    if (type.trim()) unsubscribe = client.subscribe({ type }, handle);
}

$("filter").addEventListener("input", subscribe);
$("result").addEventListener("input", () => jsonOf($("result")));
$("subscribe").addEventListener("submit", (event) => event.preventDefault());
subscribe();

// The backend

function outcome({ clientCount, results }) {
    if (!clientCount) return "Nobody was there, so the answer came at once: send an e-mail.";
    const tabs = clientCount === 1 ? "One tab" : `${clientCount} tabs`;
    const silent = clientCount - results.length;
    return silent ? `${tabs} got it, and ${silent} did not ack in time.` : `${tabs} got it and acked.`;
}

async function publish() {
    const payload = jsonOf($("payload"), true);
    if (payload === null) return $("payload").focus();
    const { user: userId } = document.body.dataset;
    const request = { userId, type: $("type").value, ...(payload && { payload: new Typed(payload) }) };
    const said = $("answer").querySelector(".said");
    clear("answer", "envelope", "ack");
    try {
        show("request", request);
        const response = await fetch("../publish", {
            method: "POST",
            headers: { Authorization: `Bearer ${await tokenFor("backend")}`, "Content-Type": "application/json" },
            body: pretty(request, Infinity),
        });
        const answer = await response.json();
        if (answer.clientCount) await fly($("ack").hidden ? $("tab") : $("ack"), $("request"), "ack");
        show("answer", answer);
        said.textContent = response.ok ? outcome(answer) : `Status ${response.status}.`;
    } catch (error) {
        show("answer", { error: error.message });
        said.textContent = "That did not work. Does make run still run?";
    }
}

$("publish")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter ?? $("publish").querySelector("button");
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    await publish();
    button.removeAttribute("aria-disabled");
});
$("payload")?.addEventListener("input", () => jsonOf($("payload"), true));
