// The chosen user: the sockets, and the questions before they are closed.

import { Pages, Rows, announce, byId, element, parts, write } from "./page.js";
import { number, say, sayCount, showSince } from "./words.js";

export class User {
    #rows = new Rows(byId("sockets").querySelector("tbody"), "socket-row");
    #look;
    #pages;
    #disconnect;
    #names = new Map(); // of processes, by what the channel layer calls them

    /** `changed` is called when something else is to be looked at, `disconnect` with what is to be closed. */
    constructor(look, changed, disconnect) {
        this.#look = look;
        this.#disconnect = new Disconnect(disconnect);
        this.#pages = new Pages(byId("sockets-pages"), (cursor) => {
            look.socketsAfter = cursor;
            changed();
        });
        byId("disconnect-all").addEventListener("click", () => this.#disconnect.ask({ user: look.user }));
    }

    /** Another user is chosen, perhaps none. */
    follow() {
        const { user } = this.#look;
        this.#pages.reset();
        byId("unchosen").hidden = user !== "";
        byId("chosen").hidden = user === "";
        write(byId("chosen-user"), user);
        byId("chosen-user").title = user; // the heading has room for three lines
        write(byId("chosen-count"), "");
        byId("disconnected").hidden = true;
        byId("sockets").hidden = byId("sockets-pages").hidden = true;
        byId("disconnect-all").disabled = true;
    }

    nameOf(process) {
        return this.#names.get(process) ?? process;
    }

    /** `view` is of the look that is now. */
    show(view, mayAct) {
        this.#names = new Map(view.processes.map(({ process, name }) => [process, name]));
        const { chosen } = view;
        if (chosen?.user !== this.#look.user) return; // also when the server has refused the look
        const { count, sockets, after } = chosen;
        write(byId("chosen-count"), count ? sayCount("sockets", count) : say("absent"));
        byId("disconnect-all").hidden = !mayAct || count < 2;
        byId("disconnect-all").disabled = false;
        byId("sockets").hidden = count === 0;
        byId("sockets").classList.toggle("console-looked-at", !mayAct);
        byId("sockets").parentElement.tabIndex = mayAct ? -1 : 0; // without a button in it a keyboard could not scroll it
        this.#rows.show(sockets, ({ process, number }) => `${process} ${number}`, (part, socket) => {
            const name = `${this.nameOf(socket.process)} #${socket.number}`;
            write(part.socket, name);
            showSince(part.since, socket.since);
            showFilters(part.filters, socket);
            write(part.unacked, number(socket.unacked));
            part.unacked.classList.toggle("console-some", socket.unacked > 0);
            part.disconnect.hidden = !mayAct;
            part.disconnect.setAttribute("aria-label", say("disconnect.socket", { socket: name }));
            part.disconnect.onclick = () => this.#disconnect.ask({ user: chosen.user, name, ...socket });
        });
        this.#pages.show(after, say("page", { page: number(this.#pages.number) }));
        showTypes(sockets);
    }

    /** What became of a wish to disconnect: "done", "warning" or "fault". */
    tell(said, kind) {
        byId("disconnected").hidden = false;
        byId("disconnected").className = kind === "warning" ? "realtime-note realtime-warning" : `console-${kind}`;
        write(byId("disconnected"), said);
        announce(said);
    }
}

function showFilters(list, { filters, count }) {
    const key = JSON.stringify([filters, count]);
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    const chips = filters.map(({ type, ...others }) => {
        const chip = element("li", "");
        const members = Object.entries({ type, ...others });
        for (const [name, value] of members) chip.append(element("span", `${name}=`), element("b", value), " ");
        return chip;
    });
    if (!count) chips.push(element("li", say("filters.none"), "console-quiet"));
    const more = say("filters.more", { count: number(count - filters.length) });
    if (count > filters.length) chips.push(element("li", more, "console-quiet"));
    list.replaceChildren(...chips);
}

/** Offer the types that somebody waits for. */
function showTypes(sockets) {
    const types = [...new Set(sockets.flatMap(({ filters }) => filters.map(({ type }) => type)))].slice(0, 50);
    if (byId("types").dataset.key === JSON.stringify(types)) return;
    byId("types").dataset.key = JSON.stringify(types);
    byId("types").replaceChildren(...types.map((value) => Object.assign(element("option", ""), { value })));
}

class Disconnect {
    #asked; // { user, name?, process?, number? }
    #dialog = byId("disconnect");

    constructor(disconnect) {
        const [form] = this.#dialog.getElementsByTagName("form");
        parts(this.#dialog).cancel.addEventListener("click", () => this.#dialog.close());
        form.addEventListener("submit", (event) => {
            event.preventDefault();
            const { user, process, number } = this.#asked;
            const reconnect = new FormData(form).get("reconnect") === "yes";
            disconnect(process === undefined ? { user, reconnect } : { user, process, number, reconnect });
            this.#dialog.close();
            byId("chosen-user").focus(); // the button that has asked is about to go
        });
    }

    ask(asked) {
        this.#asked = asked;
        this.#dialog.querySelector("form").reset();
        write(byId("disconnect-title"), say(asked.process === undefined ? "disconnect.all" : "disconnect.one"));
        write(byId("disconnect-what"), asked.name ? `${asked.user} · ${asked.name}` : asked.user);
        this.#dialog.showModal();
    }
}
