// The list of users: searched, ordered, a page at a time, each row a link that chooses the user.

import { Pages, Rows, announce, byId, write } from "./page.js";
import { number, say, sayCount, showSince } from "./words.js";
import { addressOf } from "./look.js";

const TYPING = 150; // ms without a key until a search is made
const POINTING = 3000; // ms that the rows under a moving pointer stay where they are

export class People {
    #rows = new Rows(byId("users"), "user-row");
    #look;
    #pages;
    #held; // a timer, while the rows stay where they are
    #view; // the last one
    #announced = "";

    /** `changed` is called when something else is to be looked at. */
    constructor(look, changed) {
        this.#look = look;
        this.#pages = new Pages(byId("users-pages"), (cursor) => {
            look.after = cursor;
            this.#letGo();
            changed();
        });
        let typing;
        byId("query").addEventListener("input", () => {
            clearTimeout(typing);
            typing = setTimeout(() => this.#find({ query: byId("query").value }, changed), TYPING);
        });
        byId("order").addEventListener("change", () => this.#find({ order: byId("order").value }, changed));
        byId("find").addEventListener("submit", (event) => {
            event.preventDefault();
            clearTimeout(typing);
            this.#find({ query: byId("query").value }, changed);
        });
        this.#watchPointer();
    }

    /** A browser says that the pointer moves also when rows move below it, so its place is looked at. */
    #watchPointer() {
        let place;
        byId("users").addEventListener("pointermove", ({ pointerType, screenX, screenY }) => {
            const moved = place !== `${screenX} ${screenY}`;
            place = `${screenX} ${screenY}`;
            if (moved && pointerType === "mouse") this.#hold(POINTING);
        });
        byId("users").addEventListener("pointerleave", () => this.#hold(0));
    }

    #hold(ms) {
        clearTimeout(this.#held);
        this.#held = setTimeout(() => {
            this.#held = undefined;
            if (this.#view) this.show(this.#view);
        }, ms);
    }

    #find(wanted, changed) {
        if (Object.entries(wanted).every(([name, value]) => this.#look[name] === value)) return;
        Object.assign(this.#look, wanted, { after: null });
        this.#letGo();
        this.#pages.reset();
        changed();
    }

    #letGo() {
        clearTimeout(this.#held);
        this.#held = undefined;
    }

    /** Show what the address says of the list, after it has changed. */
    follow() {
        if (byId("query").value !== this.#look.query) byId("query").value = this.#look.query;
        byId("order").value = this.#look.order;
        this.#letGo();
        this.#pages.reset();
    }

    /** `view` is of the look that is now. */
    show(view) {
        const { order, user } = this.#look;
        this.#view = view;
        write(byId("users-time"), say(order === "newest" ? "newest" : "age"));
        this.#rows.show(this.#held ? this.#inPlace(view.rows) : view.rows, (row) => row.user, (part, row, element) => {
            write(part.user, row.user);
            part.user.href = addressOf(this.#look, { user: row.user });
            if (row.user === user) part.user.setAttribute("aria-current", "true");
            else part.user.removeAttribute("aria-current");
            element.classList.toggle("console-gone", row.sockets === 0);
            write(part.sockets, number(row.sockets));
            write(part.unacked, number(row.unacked));
            part.unacked.classList.toggle("console-some", row.unacked > 0);
            if (row.sockets) showSince(part.since, order === "newest" ? row.newest : row.since);
        });
        this.#pages.show(view.after, say("page", { page: number(this.#pages.number) }));
        this.#showSums(view);
    }

    /** The rows as they lie, with what is new of them: none moves away from under the pointer. */
    #inPlace(rows) {
        const now = new Map(rows.map((row) => [row.user, row]));
        const known = this.#rows.keys().map((user) => now.get(user) ?? { user, sockets: 0, unacked: 0 });
        const room = this.#pages.number === 1 ? rows.filter(({ user }) => !this.#rows.keys().includes(user)) : [];
        return [...known, ...room];
    }

    #showSums(view) {
        const { query, order } = this.#look;
        const asked = query.trim();
        const matched = sayCount("sockets", view.matched);
        write(byId("users-total"), query ? matched : view.users === null ? "" : number(view.users));
        byId("nobody").hidden = view.rows.length > 0;
        write(byId("nobody"), say(this.#pages.number > 1 ? "nobody.page" : query ? "nobody.found" : "nobody"));
        byId("users").closest("table").hidden = view.rows.length === 0;
        byId("anyway").hidden = !asked || view.rows.some((row) => row.user === asked);
        const link = byId("anyway").firstElementChild;
        write(link, say("anyway", { user: asked }));
        link.href = addressOf(this.#look, { user: asked });
        const found = JSON.stringify([query, order, view.rows.length === 0]);
        if (query && found !== this.#announced) announce(view.rows.length ? matched : say("nobody.found"));
        this.#announced = found;
    }
}
