// The form that publishes to the chosen user.

import { byId, setDisabled, write } from "./page.js";
import { fault, placeOf } from "./json.js";
import { number, say } from "./words.js";

const TYPING = 400; // ms without a key until it is said what is wrong

export class Publish {
    #typing;
    #look;
    #most = Infinity; // bytes of a body

    /** `publish` is called with a type, which may be empty, and the body's text. */
    constructor(look, publish) {
        this.#look = look;
        const form = byId("publish");
        const payload = byId("payload");
        form.addEventListener("submit", (event) => {
            event.preventDefault();
            const wrong = this.#check();
            if (!wrong) return publish(byId("type").value, this.#body());
            payload.focus();
            if (wrong.at !== undefined) payload.setSelectionRange(wrong.at, wrong.at + 1);
        });
        form.addEventListener("keydown", (event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
        });
        payload.addEventListener("input", () => {
            clearTimeout(this.#typing);
            this.#typing = setTimeout(() => this.#check(), TYPING);
        });
    }

    /** Whether the operator may publish, and how many bytes a body may have. */
    show({ mayAct, maxBody = Infinity }) {
        this.#most = maxBody;
        byId("publish").hidden = !mayAct;
        byId("look-only").hidden = mayAct;
    }

    /** Whether there is a connection to publish on. */
    live(isLive) {
        setDisabled(byId("publish").querySelector("button"), !isLive);
    }

    #body() {
        const { value } = byId("payload");
        return bodyOf(this.#look.user, byId("type").value, value.trim() ? value : null);
    }

    #wrong() {
        const { value } = byId("payload");
        const wrong = value.trim() ? fault(value) : null;
        if (wrong) return { at: wrong.at, said: say("json.fault", { ...placeOf(value, wrong.at), what: say(wrong.what) }) };
        const size = new TextEncoder().encode(this.#body()).length;
        if (size <= this.#most) return null;
        return { said: say("publish.long", { size: number(size), most: number(this.#most) }) };
    }

    #check() {
        clearTimeout(this.#typing);
        const wrong = this.#wrong();
        byId("payload").setAttribute("aria-invalid", String(wrong !== null));
        byId("payload-fault").hidden = !wrong;
        if (wrong) write(byId("payload-fault"), wrong.said);
        return wrong;
    }
}

/** The body of a publish. The payload goes as it is typed: its big integers, say, would not survive JSON.parse. */
function bodyOf(user, type, payload) {
    const members = [`"userId":${JSON.stringify(user)}`, `"type":${JSON.stringify(type)}`];
    if (payload !== null) members.push(`"payload":${payload}`);
    return `{${members.join(",")}}`;
}

export function frameOf(id, body) {
    return `{"type":"publish","id":${JSON.stringify(id)},"body":${body}}`;
}
