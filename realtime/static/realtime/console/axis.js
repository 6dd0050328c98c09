import { element } from "./page.js";
import { span } from "./words.js";

const FINE = 0.1; // ms, where the axis begins

/** Time from the send to the end of the wait. Logarithmic: most acks come in milliseconds, the wait takes seconds. */
export class Axis {
    constructor(limit) {
        this.limit = Math.max(limit, 10 * FINE);
    }

    place(ms) {
        return Math.log(Math.min(Math.max(ms, FINE), this.limit) / FINE) / Math.log(this.limit / FINE);
    }

    drawInto(node) {
        const ticks = [1, 10, 100, 1000, 10_000, 100_000].filter((ms) => ms < this.limit / 2);
        for (const ms of [...ticks, this.limit]) {
            const tick = element("span", span(ms));
            tick.style.insetInlineStart = `${100 * this.place(ms)}%`;
            node.append(tick);
        }
    }
}
