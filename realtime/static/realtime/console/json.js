// JSON as a text: where it is wrong, and how it looks nicer. Its values stay as they are typed: big integers, floats,
// escapes, which JSON.parse and JSON.stringify would change.

const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/.source;
const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/.source;
const TOKEN = new RegExp(`[ \\t\\n\\r]*(?:(${STRING})|(${SCALAR})|([[\\]{},:]))`, "y");
const PIECE = new RegExp(`(${STRING})|\\s+|([[{])\\s*([\\]}])|([[{])|([\\]}])|,|:`, "g");

/** What is wrong with a text, { at, what }, or null when it is JSON. `what` is a word of the page: json.value, … */
export function fault(text) {
    try {
        JSON.parse(text);
        return null;
    } catch {
        return firstFault(text);
    }
}

/** The line and column of a place in a text, both counted from 1. */
export function placeOf(text, at) {
    const lines = text.slice(0, at).split("\n");
    return { line: lines.length, column: lines.at(-1).length + 1 };
}

// What may come next, and what it says of a text in which something else comes. `open` are the brackets around.
function firstFault(text) {
    const open = [];
    let wanted = "value"; // key, colon, comma, end; or "first", behind an opening bracket
    TOKEN.lastIndex = 0;
    for (;;) {
        const from = TOKEN.lastIndex;
        const found = TOKEN.exec(text);
        if (!found) return atBlank(text, from, wanted, open);
        const [, string, scalar, mark] = found;
        const at = TOKEN.lastIndex - (string ?? scalar ?? mark).length;
        const next = follow(wanted, open, string !== undefined, mark);
        if (!next) return { at, what: nameOf(wanted, open) };
        wanted = next;
    }
}

/** Which token is wanted behind this one, or undefined when it is wrong here. */
function follow(wanted, open, isString, mark) {
    const inside = () => (open.length ? "comma" : "end");
    const inObject = open.at(-1) === "{";
    if (wanted === "colon") return mark === ":" ? "value" : undefined;
    if (wanted === "end") return undefined;
    const closes = (mark === "}" && inObject) || (mark === "]" && !inObject && open.length);
    if (closes && (wanted === "comma" || wanted === "first")) {
        open.pop();
        return inside();
    }
    if (wanted === "comma") return mark === "," ? (inObject ? "key" : "value") : undefined;
    if (wanted === "key" || (wanted === "first" && inObject)) return isString ? "colon" : undefined;
    if (mark === "{" || mark === "[") {
        open.push(mark);
        return "first";
    }
    return mark ? undefined : inside();
}

function nameOf(wanted, open) {
    return `json.${wanted !== "first" ? wanted : open.at(-1) === "{" ? "key" : "value"}`;
}

/** The fault where no token begins: behind the blanks, or in a string that is broken. */
function atBlank(text, from, wanted, open) {
    const at = from + text.slice(from).search(/[^ \t\n\r]|$/);
    return { at, what: text[at] === '"' && wanted !== "end" ? "json.string" : nameOf(wanted, open) };
}

/** JSON with a line for each member, and each value as it is. */
export function indented(text) {
    let depth = 0;
    const line = () => "\n" + "  ".repeat(depth);
    return text.replace(PIECE, (found, string, ...brackets) => {
        const [one, other, opening, closing] = brackets;
        if (string) return string;
        if (one) return one + other;
        if (opening) return depth++, opening + line();
        if (closing) return depth--, line() + closing;
        return { ",": "," + line(), ":": ": " }[found] ?? "";
    });
}
