// Whether what is seen is alive, and what is wrong if it is not.

import { announce, byId, element, write } from "./page.js";
import { say, sayCount, timeOfDay } from "./words.js";

const TRIES = 3; // handshakes that fail in a row, until it is said what may be wrong

export class State {
    #failed = 0;
    #heard; // when the last view came
    #away = null; // a sentence
    #silent = 0; // processes that do not answer
    #problem = ""; // what the server says of a frame that it has refused
    #state = "connecting";
    #path;
    #login;

    constructor(path, login) {
        this.#path = path;
        this.#login = login;
        this.address();
    }

    /** The address has changed: a login leads back to it, with the part that no server sees. */
    address() {
        byId("trouble").querySelector("a").href = this.#login + encodeURIComponent(location.hash);
    }

    /** The connection has got into another state. */
    connection(state) {
        if (state === "open") this.#failed = 0;
        else this.#problem = "";
        if (state === "waiting") this.#failed++;
        const connecting = this.#heard ? "reconnecting" : "connecting";
        this.#show({ open: "live", connecting, waiting: "reconnecting", offline: "offline", closed: "ended" }[state]);
    }

    view({ away, silent, sockets, processes }) {
        this.#away = away;
        this.#silent = silent ?? 0;
        if (!away) {
            this.#heard = Date.now();
            write(byId("sockets-total"), sayCount("sockets", sockets));
            showProcesses(processes);
        }
        this.#show(away ? "away" : "live");
    }

    /** The server does not understand what the page has sent; an empty text when that is over. */
    problem(said) {
        this.#problem = said;
        this.#show(this.#state);
    }

    total(sockets) {
        write(byId("sockets-total"), sayCount("sockets", sockets));
    }

    #show(state) {
        this.#state = state;
        const badge = byId("state");
        if (badge.dataset.state !== state && state !== "connecting") announce(say(state));
        badge.dataset.state = state;
        write(badge.firstElementChild, say(state));
        byId("console").classList.toggle("console-old", state !== "live");
        const said = [this.#wrong(state)];
        if (said[0] && this.#heard && state !== "live") said.push(say("trouble.old", { time: timeOfDay(this.#heard) }));
        byId("trouble").hidden = !said[0];
        write(byId("trouble").firstElementChild, said.join(" "));
        byId("trouble").querySelector("a").hidden = state !== "ended" && this.#failed < TRIES;
    }

    #wrong(state) {
        if (state === "ended") return say("trouble.ended");
        if (state === "away") return this.#away;
        if (state === "offline") return say("trouble.offline");
        if (this.#failed >= TRIES) return say("trouble.refused", { path: this.#path });
        return [this.#problem, this.#silent ? sayCount("silent", this.#silent) : ""].filter(Boolean).join(" ");
    }
}

function showProcesses(processes) {
    const details = byId("processes");
    details.hidden = false;
    write(details.querySelector("summary"), sayCount("processes", processes.length));
    const list = details.querySelector("ul");
    const lines = processes.map(({ name, sockets }) => `${name}: ${sayCount("sockets", sockets)}`);
    if (list.dataset.key === lines.join("\n")) return;
    list.dataset.key = lines.join("\n");
    list.replaceChildren(...lines.map((line) => element("li", line)));
}
