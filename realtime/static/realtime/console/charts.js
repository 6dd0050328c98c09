// What the four charts show, of the rates that come once a second.

import { Chart } from "./chart.js";
import { byId, element } from "./page.js";
import { rate, say, serverSays, span } from "./words.js";

const milliseconds = (seconds) => (seconds === null ? null : seconds * 1000);

export class Charts {
    #publishes = new Chart(byId("chart-publishes"), 1, rate);
    #acks = new Chart(byId("chart-acks"), 1, rate);
    #delivery = new Chart(byId("chart-delivery"), 2, span);
    #ack = new Chart(byId("chart-ack"), 2, span);

    show({ at, publishes, nobody, timed_out: silent, acks, connects, delivery, ack }) {
        serverSays(at);
        this.#rate(this.#publishes, at, publishes);
        this.#publishes.remark(say("publishes.aside", { nobody: rate(nobody), silent: rate(silent) }), silent > 0);
        this.#rate(this.#acks, at, acks);
        this.#acks.remark(say("acks.aside", { connects: rate(connects) }));
        this.#times(this.#delivery, at, delivery.map(milliseconds));
        this.#times(this.#ack, at, ack.map(milliseconds));
    }

    #rate(chart, at, value) {
        chart.figure([element("strong", rate(value)), element("span", "/s")]);
        chart.add(at, [value], say("second", { count: rate(value) }));
    }

    #times(chart, at, [median, most]) {
        const said = median === null ? "–" : say("percentiles", { median: span(median), most: span(most) });
        chart.add(at, [median, most], said);
        if (median === null) return; // the last ones stay, while nothing is timed
        chart.figure([percentile("p50", median)]);
        chart.remark(percentile("p99", most));
    }
}

function percentile(name, ms) {
    const part = element("span", `${name} `, `console-${name}`);
    part.append(element("strong", span(ms)));
    return part;
}
