// Reading and changing the page. What strangers have sent gets into it here, as text and never as HTML.

export const byId = (id) => document.getElementById(id);

/** The elements with `data-part` in `node`, by that name. */
export function parts(node) {
    return Object.fromEntries([...node.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
}

/** A copy of what a <template> holds. */
export const copyOf = (id) => byId(id).content.firstElementChild.cloneNode(true);

/** Change a text only where it differs, so that a selection in it stays. */
export function write(node, text) {
    if (node.textContent !== String(text)) node.textContent = text;
}

export function element(name, text, className = "") {
    const node = document.createElement(name);
    node.textContent = text;
    node.className = className;
    return node;
}

/** Make `nodes` the children of `parent`. One that has the focus stays where it is, and keeps it. */
export function arrange(parent, nodes) {
    const wanted = new Set(nodes);
    for (const node of [...parent.children]) if (!wanted.has(node)) node.remove();
    let next = parent.firstElementChild;
    for (const node of nodes) {
        if (node.contains(document.activeElement)) {
            while (next !== node && next) {
                const moved = next;
                next = next.nextElementSibling;
                moved.remove(); // comes back at its place behind
            }
        }
        if (node === next) next = next.nextElementSibling;
        else parent.insertBefore(node, next);
    }
}

/** Rows made of a template, each known by a key: the same thing is the same element from one view to the next. */
export class Rows {
    #body;
    #template;
    #rows = new Map();

    constructor(body, template) {
        this.#body = body;
        this.#template = template;
    }

    /** @param {(parts: Object<string, Element>, item: any, row: Element) => void} fill */
    show(items, keyOf, fill) {
        const before = this.#rows;
        this.#rows = new Map(items.map((item) => [keyOf(item), before.get(keyOf(item)) ?? copyOf(this.#template)]));
        for (const item of items) {
            const row = this.#rows.get(keyOf(item));
            fill(parts(row), item, row);
        }
        arrange(this.#body, [...this.#rows.values()]);
    }

    keys() {
        return [...this.#rows.keys()];
    }
}

/** Previous and Next of pages that go by cursors. `turned` is called with the cursor of the page to show. */
export class Pages {
    #cursors = [null]; // of the pages up to the one that is shown
    #next = null;
    #nav;

    constructor(nav, turned) {
        this.#nav = nav;
        const { previous, next } = parts(nav);
        previous.addEventListener("click", () => {
            this.#cursors.pop();
            turned(this.cursor);
        });
        next.addEventListener("click", () => {
            if (JSON.stringify(this.#next) === JSON.stringify(this.cursor)) return; // that page is under way
            this.#cursors.push(this.#next);
            turned(this.cursor);
        });
    }

    get cursor() {
        return this.#cursors.at(-1);
    }

    get number() {
        return this.#cursors.length;
    }

    reset() {
        this.#cursors = [null];
    }

    /** `after` is the cursor of the page behind, or null. */
    show(after, said) {
        this.#next = after;
        const { previous, next, page } = parts(this.#nav);
        this.#nav.hidden = !after && this.number === 1;
        setDisabled(previous, this.number === 1);
        setDisabled(next, !after);
        write(page, said);
    }
}

/** Not with `disabled`, which takes the focus away from who has just pressed the button. */
export function setDisabled(button, disabled) {
    button.setAttribute("aria-disabled", String(disabled));
}

function ignoreDisabled(event) {
    if (!event.target.closest('[aria-disabled="true"]')) return;
    event.preventDefault();
    event.stopPropagation();
}

document.addEventListener("click", ignoreDisabled, { capture: true });

/** Tell those who hear the page rather than see it. */
export function announce(text) {
    byId("announcer").textContent = text;
}
