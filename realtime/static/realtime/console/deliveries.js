// The last publishes of this page, the newest first.

import { Delivery } from "./delivery.js";
import { arrange, byId } from "./page.js";

const KEPT = 10;
const TICK = 100; // ms between two looks at who is waited for

export class Deliveries {
    #all = new Map(); // by id, the newest last

    /** `nameOf` makes a process's name for people of the one that the channel layer knows. */
    constructor(nameOf) {
        this.nameOf = nameOf;
        setInterval(() => this.#all.forEach((delivery) => delivery.tick()), TICK);
    }

    begin(id, user, type, limit) {
        for (const delivery of this.#all.values()) delivery.fold();
        this.#all.set(id, new Delivery(user, type, limit, this.nameOf));
        for (const old of [...this.#all.keys()].slice(0, -KEPT)) this.#all.delete(old);
        byId("deliveries").hidden = false;
        arrange(byId("delivery-list"), [...this.#all.values()].map(({ node }) => node).reverse());
        byId("deliveries").scrollIntoView({ block: "nearest" });
    }

    /** Something has happened to one. `text` is the frame as it came, for what has to stay as it is. */
    hear(frame, text) {
        this.#all.get(frame.id)?.[frame.step]?.(frame, text);
    }

    /** Whether it is one of these that has failed. */
    fail(id, said) {
        this.#all.get(id)?.fail(said);
        return this.#all.has(id);
    }

    /** The connection is gone, and with it the rest of what would have been told. */
    lose() {
        for (const delivery of this.#all.values()) delivery.lose();
    }
}
