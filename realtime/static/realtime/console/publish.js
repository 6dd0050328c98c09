// The form that publishes to the chosen user.

import { byId, setDisabled, write } from "./page.js";
import { fault, placeOf } from "./json.js";
import { say } from "./words.js";

const TYPING = 400; // ms without a key until it is said what is wrong

export class Publish {
    #typing;

    /** `publish` is called with a type, which may be empty, and the payload's text, null for none. */
    constructor(publish) {
        const form = byId("publish");
        const payload = byId("payload");
        form.addEventListener("submit", (event) => {
            event.preventDefault();
            const wrong = this.#check();
            if (!wrong) publish(byId("type").value, payload.value.trim() ? payload.value : null);
            else {
                payload.focus();
                payload.setSelectionRange(wrong.at, wrong.at + 1);
            }
        });
        form.addEventListener("keydown", (event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
        });
        payload.addEventListener("input", () => {
            clearTimeout(this.#typing);
            this.#typing = setTimeout(() => this.#check(), TYPING);
        });
    }

    /** Whether the operator may publish. */
    show(mayAct) {
        byId("publish").hidden = !mayAct;
        byId("look-only").hidden = mayAct;
    }

    /** Whether there is a connection to publish on. */
    live(isLive) {
        setDisabled(byId("publish").querySelector("button"), !isLive);
    }

    #check() {
        clearTimeout(this.#typing);
        const { value } = byId("payload");
        const wrong = value.trim() ? fault(value) : null;
        byId("payload").setAttribute("aria-invalid", String(wrong !== null));
        byId("payload-fault").hidden = !wrong;
        const said = wrong && say("json.fault", { ...placeOf(value, wrong.at), what: say(wrong.what) });
        if (said) write(byId("payload-fault"), said);
        return wrong;
    }
}

/** The frame of a publish. The payload goes as it is typed: its big integers, say, would not survive JSON.parse. */
export function frameOf(id, user, type, payload) {
    const members = [`"userId":${JSON.stringify(user)}`, `"type":${JSON.stringify(type)}`];
    if (payload !== null) members.push(`"payload":${payload}`);
    return `{"type":"publish","id":${JSON.stringify(id)},"body":{${members.join(",")}}}`;
}
