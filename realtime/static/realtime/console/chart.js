// Small charts of the last two minutes, one point for each second.

import { say } from "./words.js";
import { write } from "./page.js";

const SVG = "http://www.w3.org/2000/svg";
const SECONDS = 120;
const GAP = 2.5; // seconds without a point that break a line
const WIDTH = 240;
const HEIGHT = 48;

export class Chart {
    #points = []; // { at, values }
    #figure;
    #aside;
    #svg;
    #name;
    #most;
    #lines;
    #format;

    /** `lines` is how many values a point has, `format` makes words of one. */
    constructor(figure, lines, format) {
        this.#figure = figure.querySelector(".console-figure");
        this.#aside = figure.querySelector(".console-aside");
        this.#most = figure.querySelector(".console-most");
        this.#svg = figure.querySelector("svg");
        this.#name = figure.querySelector("figcaption").textContent;
        this.#format = format;
        this.#svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
        this.#svg.setAttribute("preserveAspectRatio", "none");
        const paths = ["area", ...Array.from({ length: lines }, (_, index) => `line${index}`)].map((name) => {
            const path = document.createElementNS(SVG, "path");
            path.setAttribute("class", `console-${name}`);
            path.setAttribute("vector-effect", "non-scaling-stroke");
            return path;
        });
        this.#svg.replaceChildren(...paths);
        this.#lines = paths;
        this.#draw(0);
        this.#label("");
    }

    #label(now) {
        const all = this.#points.flatMap((point) => point.values).filter((value) => value !== null);
        const [name, most] = [this.#name, all.length ? this.#format(Math.max(...all)) : ""];
        write(this.#most, all.length ? say("chart.most", { most }) : "");
        this.#svg.setAttribute("aria-label", say(all.length ? "chart" : "chart.none", { name, now, most }));
    }

    /** Show the present figure, which is made of elements. */
    figure(nodes) {
        this.#figure.replaceChildren(...nodes);
    }

    /** Say something below it, perhaps something that somebody should look at. */
    remark(said, isBad = false) {
        this.#aside.replaceChildren(said);
        this.#aside.classList.toggle("console-some", isBad);
    }

    /** `values` are numbers, or null where there is none. `said` is what they come to, in words. */
    add(at, values, said) {
        this.#points.push({ at, values });
        this.#points = this.#points.filter((point) => point.at > at - SECONDS);
        this.#draw(at);
        this.#label(said);
    }

    #draw(now) {
        const [area, ...lines] = this.#lines;
        const top = Math.max(0, ...this.#points.flatMap((point) => point.values).map((value) => value ?? 0)) || 1;
        const x = (at) => (WIDTH * (1 - (now - at) / SECONDS)).toFixed(1);
        const y = (value) => (HEIGHT - 2 - (HEIGHT - 6) * (value / top)).toFixed(1);
        lines.forEach((line, index) => line.setAttribute("d", this.#path(index, x, y)));
        if (lines.length === 1) area.setAttribute("d", this.#area(x, y));
    }

    #runs(index) {
        const runs = [];
        let before;
        for (const { at, values } of this.#points) {
            if (values[index] !== null) {
                if (before === undefined || at - before > GAP) runs.push([]);
                runs.at(-1).push([at, values[index]]);
                before = at;
            }
        }
        return runs;
    }

    /** A point by itself is a line of no length, which the round ends of lines make a dot. */
    #path(index, x, y) {
        return this.#runs(index)
            .map((run) => `M${run.map(([at, value]) => `${x(at)} ${y(value)}`).join("L")}${run.length > 1 ? "" : "h0"}`)
            .join("");
    }

    #area(x, y) {
        return this.#runs(0)
            .map((run) => {
                const line = run.map(([at, value]) => `L${x(at)} ${y(value)}`).join("");
                return `M${x(run[0][0])} ${HEIGHT}${line}L${x(run.at(-1)[0])} ${HEIGHT}Z`;
            })
            .join("");
    }
}
