// What becomes of one publish: whom it reached, who acks it when, who does not.

import { Axis } from "./axis.js";
import { announce, arrange, copyOf, element, parts, write } from "./page.js";
import { indented } from "./json.js";
import { number, say, sayCount, span, timeOfDay } from "./words.js";

const SHOWN = 12; // rows, until all are asked for
const LONG = 200; // characters of a result

export class Delivery {
    #parts;
    #rows = new Map(); // by process and number: { state, ms, … }
    #matched = new Map(); // how many sockets, by process
    #givenUp = new Set(); // processes that are gone, with all that their sockets had not told
    #unheard = 0; // processes that never said whom they matched
    #over = false;
    #sent = 0; // when we heard that it was sent
    #allAreShown = false;
    #axis;
    #due; // the next time that it is drawn

    constructor(user, type, limit, nameOf) {
        this.user = user;
        this.type = type.trim() || "message";
        this.nameOf = nameOf;
        this.limit = limit * 1000;
        this.node = copyOf("delivery");
        this.#parts = parts(this.node);
        this.#axis = new Axis(this.limit);
        write(this.#parts.type, this.type);
        write(this.#parts.user, say("delivery.to", { user }));
        write(this.#parts.at, timeOfDay(Date.now()));
        write(this.#parts.outcome, say("delivery.sending"));
        this.#parts.scale.hidden = true;
        this.#parts.all.addEventListener("click", () => {
            this.#allAreShown = true;
            this.#draw();
        });
    }

    fold() {
        this.node.open = false;
    }

    sent({ envelope, length }, text) {
        this.#sent = performance.now();
        const raw = rawOf(text, "envelope");
        write(this.#parts.envelope, envelope === null ? say("long", { count: number(length) }) : indented(raw));
    }

    report({ process, matched, sockets }) {
        this.#matched.set(process, matched);
        for (const socket of sockets) this.#row(process, socket);
        this.#draw();
    }

    ack({ process, socket, ms, result, length }, text) {
        const row = this.#row(process, socket);
        const isLong = result === null && length > "null".length;
        const shown = isLong ? say("long", { count: number(length) }) : rawOf(text, "result");
        Object.assign(row, { state: "acked", ms, result: shown });
        this.#draw();
    }

    gone({ process, socket, ms }) {
        if (socket === 0) this.#givenUp.add(process);
        const rows = this.#rowsOf(process).filter(({ state }) => state === "waiting");
        const gone = socket === 0 ? rows : [this.#row(process, socket)]; // 0: the process is gone with all of them
        for (const row of gone) Object.assign(row, { state: "gone", ms });
        this.#draw();
    }

    silent({ processes }) {
        this.#unheard += processes;
        this.#draw();
    }

    done({ ms, clientCount, acks }) {
        this.#over = true;
        for (const row of this.#rows.values()) if (row.state === "waiting") Object.assign(row, { state: "silent", ms });
        const gone = this.#count("gone") + this.#goneUnnamed();
        const silent = clientCount - acks - gone;
        const said = [say("delivery.acked", { acks: number(acks), count: number(clientCount), time: span(ms) })];
        if (silent > 0) said.push(say("delivery.silent", { count: number(silent) }));
        if (gone) said.push(say("delivery.gone", { count: number(gone) }));
        if (!clientCount) said.splice(0, said.length, say(this.#unheard ? "delivery.nobody.heard" : "delivery.nobody"));
        said.push(...this.#unheardSaid());
        this.#tell(said.join(", "), clientCount && acks === clientCount && !this.#unheard ? "good" : "bad");
        this.#draw();
    }

    fail(said) {
        this.#over = true;
        for (const row of this.#rows.values()) if (row.state === "waiting") row.state = "unknown";
        this.#tell(said, "bad");
        this.#draw();
    }

    lose() {
        if (!this.#over) this.fail(say("lost"));
    }

    tick() {
        if (!this.#over && this.node.open) this.#drawBars();
    }

    #tell(outcome, kind) {
        write(this.#parts.outcome, outcome);
        this.#parts.outcome.dataset.kind = kind;
        announce(say("delivery.said", { type: this.type, user: this.user, outcome }));
    }

    #row(process, socket) {
        const key = `${process} ${socket}`;
        if (!this.#rows.has(key)) {
            const node = copyOf("delivery-row");
            const row = { process, state: "waiting", ms: 0, node, parts: parts(node) };
            write(row.parts.socket, `${this.nameOf(process)} #${socket}`);
            this.#rows.set(key, row);
        }
        return this.#rows.get(key);
    }

    #count(wanted) {
        return [...this.#rows.values()].filter(({ state }) => state === wanted).length;
    }

    #rowsOf(process) {
        return [...this.#rows.values()].filter((row) => row.process === process);
    }

    /** Those that went with their process before they had a row. */
    #goneUnnamed() {
        const counts = [...this.#givenUp].map((process) => (this.#matched.get(process) ?? 0) - this.#rowsOf(process).length);
        return counts.reduce((sum, count) => sum + Math.max(0, count), 0);
    }

    #unheardSaid() {
        return this.#unheard ? [sayCount("delivery.unheard", this.#unheard)] : [];
    }

    get #total() {
        return [...this.#matched.values()].reduce((sum, matched) => sum + matched, 0);
    }

    /** Once a frame, however many acks come meanwhile. */
    #draw() {
        this.#due ??= requestAnimationFrame(() => {
            this.#due = undefined;
            this.#drawNow();
        });
    }

    #drawNow() {
        const rows = [...this.#rows.values()];
        const areFew = this.#allAreShown || rows.length <= SHOWN + 1;
        const shown = areFew ? rows : this.#first(rows);
        for (const row of shown) drawRow(row);
        arrange(this.#parts.sockets, [...shown.map(({ node }) => node), ...(areFew ? this.#unnamed() : [])]);
        this.#parts.scale.hidden = rows.length === 0;
        if (rows.length && !this.#parts.axis.childElementCount) this.#axis.drawInto(this.#parts.axis);
        this.#parts.all.hidden = areFew;
        write(this.#parts.all, say("delivery.all", { count: number(rows.length) }));
        const values = { acks: number(this.#count("acked")), count: number(this.#total) };
        const said = [say("delivery.waiting", values), ...this.#unheardSaid()].join(", ");
        if (!this.#over) write(this.#parts.outcome, said);
        this.#drawBars();
    }

    /** Some of many rows. When it is over, those that are a problem come first. */
    #first(rows) {
        const isFine = ({ state }) => Number(this.#over && state === "acked");
        return [...rows].sort((a, b) => isFine(a) - isFine(b)).slice(0, SHOWN);
    }

    /** A line for those that matched and that a report had no room for. */
    #unnamed() {
        const count = this.#total - this.#rows.size;
        return count > 0 ? [element("li", say("delivery.unnamed", { count: number(count) }), "console-quiet")] : [];
    }

    #drawBars() {
        const now = performance.now() - this.#sent;
        for (const row of this.#rows.values()) {
            const ms = row.state === "waiting" ? Math.min(now, this.limit) : row.ms;
            if (row.node.isConnected) row.parts.bar.style.inlineSize = `${100 * this.#axis.place(ms)}%`;
        }
    }
}

function drawRow({ state, ms, result, node, parts: { state: word, result: code } }) {
    node.dataset.state = state;
    write(word, state === "acked" || state === "gone" ? `${say(`state.${state}`)} ${span(ms)}` : say(`state.${state}`));
    code.hidden = result === undefined;
    if (result === undefined) return;
    write(code, result);
    if (result.length > LONG || result.includes("\n")) code.tabIndex = 0; // it may scroll, by keyboard too
}

/** A member of a frame as it stands there. It is the last but one, and nothing before it holds such a text. */
function rawOf(text, name) {
    const start = `,"${name}":`;
    return text.slice(text.indexOf(start) + start.length, text.lastIndexOf(',"length":'));
}
