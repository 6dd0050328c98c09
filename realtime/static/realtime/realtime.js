// The client of HopeFlow Realtime, for browsers and Node. docs/clients.md shows how to use it, npm/realtime.d.ts has
// its types. `Connection` is a WebSocket that comes back, `RealtimeClient` the protocol on top of it.

const FILTERS_A_MESSAGE = 50; // the server looks at no more
const LASTED = 5_000; // ms. A server that lets clients in and drops them at once is not to be asked ever faster.
const CLOSING = 2_000; // ms that a closing handshake is given

/**
 * A WebSocket that connects again whenever it is lost, until `close()` or a close code that says not to.
 *
 * Events: `state` ({ state, … }, as `#enter` says), `message` ({ data }) for each text frame that is no pong, and
 * `error` ({ error, envelope? }), which also goes to the console unless a listener calls its `preventDefault()`.
 */
export class Connection extends EventTarget {
    #url;
    #options;
    #state = "connecting";
    #link; // { socket, openedAt } of the present attempt, connection included; what another one does is ignored
    #timer; // of whatever is due next: the end of a handshake, a ping, its pong or another attempt
    #asked = false; // whether a pong is due
    #attempts = 0; // in a row that came to nothing, or to a connection that did not last
    #waiting = []; // { resolve, reject } of those who want the next ping's pong
    #pings = []; // the same of each ping that was sent, in order
    #ended; // the error for those who want something of it, once it is closed for good
    #page = new AbortController(); // takes the listeners away from the page

    /**
     * `url` is ws://, wss://, http://, https:// or a path relative to the page; `token` a string, or a function that is
     * asked for one before each attempt. Without it the browser's cookies say who it is. The others are milliseconds.
     */
    constructor(url, options = {}) {
        super();
        const { token, WebSocket = globalThis.WebSocket } = options;
        const { baseDelay = 500, maxDelay = 30_000, pingInterval = 25_000, pingTimeout = 10_000 } = options;
        if (!WebSocket) {
            throw new TypeError('there is no WebSocket here: pass that of the package "ws" as the option WebSocket');
        }
        this.#url = addressOf(url);
        this.#options = { token, WebSocket, baseDelay, maxDelay, pingInterval, pingTimeout };
        this.#watchPage();
        queueMicrotask(() => this.#ended || this.#connect()); // who listens from the start hears of each state
    }

    /** "connecting", "open", "waiting" (for the next attempt), "offline" (until the browser is back) or "closed". */
    get state() {
        return this.#state;
    }

    /** Send a text frame. Returns whether there was a connection to send it on; nothing is kept for later. */
    send(text) {
        const open = this.#state === "open";
        if (open) this.#link.socket.send(text);
        return open;
    }

    /** Resolves when a ping has been answered: what was sent before is in effect. Rejects when closed for good. */
    ping() {
        const pong = new Promise((resolve, reject) => {
            if (this.#ended) return reject(this.#ended);
            this.#waiting.push({ resolve, reject });
            // One ping for all who ask in one go: each is a frame, and the server bounds those.
            if (this.#waiting.length === 1) queueMicrotask(() => this.#pingForThem());
        });
        pong.catch(() => {}); // who does not wait for it need not hear that it never comes
        return pong;
    }

    /** Close it for good. */
    close() {
        if (!this.#ended) this.#end(1000, "");
    }

    /** Report an error: to listeners of `error`, and to the console unless one of them prevents the default. */
    report(error, envelope) {
        if (this.dispatchEvent(eventOf("error", { error, envelope }, { cancelable: true }))) {
            (globalThis.reportError ?? console.error)(error);
        }
    }

    /** What belongs to a state: to "waiting" { delay, code, reason }, to "closed" and "offline" the latter two. */
    #enter(state, details) {
        this.#state = state;
        this.dispatchEvent(eventOf("state", { state, ...details }));
    }

    async #connect() {
        this.#release();
        const link = (this.#link = {});
        this.#enter("connecting");
        if (link !== this.#link) return; // closed by who heard of it
        let url;
        try {
            url = await this.#urlWithToken();
            if (link !== this.#link) return; // closed or paused while the token was fetched
            link.socket = new this.#options.WebSocket(url);
        } catch (error) {
            if (link !== this.#link) return;
            // The message of a browser that refuses would show the URL, with the token.
            this.report(url ? new Error(`the WebSocket was refused here: ${error.name}`) : error);
            return link === this.#link && this.#lost(1006, "");
        }
        this.#after(this.#options.pingTimeout, () => this.#drop("no answer to the handshake"));
        const { socket } = link;
        const current = (handle) => (event) => link === this.#link && handle(event);
        socket.onopen = current(() => this.#opened());
        socket.onmessage = current(({ data }) => this.#heard(data));
        socket.onclose = current(({ code, reason }) => this.#lost(code, reason));
        socket.onerror = () => {}; // says nothing, and is followed by a close; without a listener "ws" throws
    }

    async #urlWithToken() {
        let { token } = this.#options;
        if (token === undefined) return this.#url;
        if (typeof token === "function") token = await token();
        if (typeof token !== "string" || !token) throw new TypeError("the token is not a string, or empty");
        const url = new URL(this.#url);
        url.searchParams.set("token", token);
        return url.href;
    }

    #opened() {
        this.#link.openedAt = performance.now();
        this.#expectFrames();
        this.#enter("open"); // here the client sends its filters, so that a pong proves these too
        this.#pingForThem();
    }

    #heard(data) {
        this.#expectFrames();
        if (data === "pong") for (const { resolve } of this.#pings.shift() ?? []) resolve();
        else if (typeof data === "string") this.dispatchEvent(eventOf("message", { data }));
    }

    /** After a silence the server is asked whether it is there: a connection can be dead without a word. */
    #expectFrames() {
        this.#asked = false;
        this.#after(this.#options.pingInterval, () => this.#ping());
    }

    #pingForThem() {
        if (this.#waiting.length) this.#ping();
    }

    #ping() {
        if (!this.send("ping")) return;
        this.#pings.push(this.#waiting.splice(0));
        if (this.#asked) return; // another ping does not put off the end
        this.#asked = true;
        this.#after(this.#options.pingTimeout, () => this.#drop("no answer to a ping"));
    }

    /** Give up on a connection. Its closing handshake would not be answered either. */
    #drop(reason) {
        this.#link.socket.terminate?.(); // of "ws", which else keeps Node running for that handshake
        this.#lost(1006, reason);
    }

    #lost(code, reason) {
        if (code >= 4500 && code <= 4999) return this.#end(code, reason); // it would end the same way again
        if (performance.now() - this.#link.openedAt > LASTED) this.#attempts = 0;
        this.#release();
        if (globalThis.navigator?.onLine === false) return this.#enter("offline", { code, reason });
        const { baseDelay, maxDelay } = this.#options;
        const delay = Math.random() * Math.min(maxDelay, baseDelay * 2 ** this.#attempts++);
        this.#after(delay, () => this.#connect());
        this.#enter("waiting", { delay, code, reason });
    }

    #end(code, reason) {
        this.#ended = Object.assign(new Error(`the connection is closed: ${code} ${reason}`.trim()), { code, reason });
        this.#page.abort();
        this.#release();
        this.#enter("closed", { code, reason });
        for (const { reject } of this.#waiting.splice(0)) reject(this.#ended);
    }

    #after(delay, act) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(act, delay);
    }

    #release() {
        clearTimeout(this.#timer);
        const socket = this.#link?.socket;
        socket?.close();
        // That of "ws" would keep Node running for half a minute if nobody answers.
        if (socket?.terminate) setTimeout(() => socket.terminate(), CLOSING).unref();
        this.#link = undefined;
        this.#waiting.unshift(...this.#pings.splice(0).flat());
    }

    #watchPage() {
        const on = (types, listener) => {
            for (const type of types) globalThis.addEventListener?.(type, listener, { signal: this.#page.signal });
        };
        on(["online", "pageshow"], () => this.#wake());
        on(["visibilitychange"], () => document.visibilityState === "visible" && this.#wake());
        // A page with an open connection can't be kept for the back button.
        on(["offline", "pagehide"], () => this.#pause());
    }

    /** A phone or a laptop may have slept: be quick to see that the connection is gone, and to come back. */
    #wake() {
        if (this.#state === "open") this.#ping();
        else if (this.#state === "waiting" || this.#state === "offline") this.#connect();
    }

    #pause() {
        if (this.#state === "offline") return;
        this.#release();
        this.#enter("offline");
    }
}

/** A connection that subscribes, hands envelopes to handlers, and acks them with what these return. */
export class RealtimeClient extends Connection {
    #subscriptions = new Set(); // { filters, handler }, in the order in which they were made
    #sent = new Map(); // the filters that this connection has been sent, by key
    #syncIsDue = false;
    #connections = 0;

    constructor(url, options) {
        super(url, options);
        this.addEventListener("message", ({ data }) => this.#receive(data));
        this.addEventListener("state", ({ state }) => {
            if (state !== "open") return;
            this.#connections++;
            this.#sent = new Map();
            this.#sync();
        });
    }

    /**
     * Call `handler` with each envelope that one of `filters` matches. What it returns, or what its promise resolves
     * to, is the result of the ack.
     *
     * Returns a function that ends it: from then on the handler is not called. Throws TypeError for an invalid filter.
     */
    subscribe(filters, handler) {
        if (typeof handler !== "function") throw new TypeError("the handler is not a function");
        const subscription = { filters: normalized(filters), handler };
        this.#subscriptions.add(subscription);
        this.#syncSoon();
        return () => {
            if (this.#subscriptions.delete(subscription)) this.#syncSoon();
        };
    }

    /** Resolves when all that has been subscribed so far is in effect. Rejects when it is closed for good. */
    ready() {
        this.#sync();
        return this.ping();
    }

    /** What is subscribed in one go travels together, and what is taken back at once does not travel at all. */
    #syncSoon() {
        if (this.#syncIsDue) return;
        this.#syncIsDue = true;
        queueMicrotask(() => this.#sync());
    }

    /** Tell the server the difference between the filters that it knows and those that somebody here wants. */
    #sync() {
        this.#syncIsDue = false;
        if (this.state !== "open") return;
        const wanted = new Map([...this.#subscriptions].flatMap(({ filters }) => [...filters]));
        this.#say("unsubscribe", without(this.#sent, wanted));
        this.#say("subscribe", without(wanted, this.#sent));
        this.#sent = wanted;
    }

    #say(type, filters) {
        for (let start = 0; start < filters.length; start += FILTERS_A_MESSAGE) {
            this.send(JSON.stringify({ type, filters: filters.slice(start, start + FILTERS_A_MESSAGE) }));
        }
    }

    async #receive(text) {
        const connection = this.#connections;
        const envelope = parsed(text);
        if (!envelope?.envelopeId) return; // of a later protocol, perhaps
        const called = [...this.#subscriptions]
            .filter(({ filters }) => [...filters.values()].some((filter) => matches(filter, envelope)))
            .map((subscription) => this.#call(subscription, envelope));
        const ack = this.#ackOf(envelope, await resultOf(called));
        // The server awaits it on the connection on which it sent the envelope, and on no other.
        if (connection === this.#connections) this.send(ack);
    }

    /** What a handler makes of an envelope: { value } or, reported, { failure }. */
    async #call(subscription, envelope) {
        if (!this.#subscriptions.has(subscription)) return {}; // a handler before it has ended it
        try {
            return { value: await subscription.handler(envelope) };
        } catch (error) {
            this.report(error, envelope);
            return { failure: failureOf(error) };
        }
    }

    #ackOf(envelope, result) {
        const ack = (result) => JSON.stringify({ type: "ack", envelopeId: envelope.envelopeId, result });
        try {
            if (JSON.stringify(result) !== undefined) return ack(result);
            throw new TypeError(`a ${typeof result} is no JSON`);
        } catch (error) {
            // JSON knows no cycles and no BigInt either.
            this.report(error, envelope);
            return ack(failureOf(error));
        }
    }
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

const eventOf = (type, details, options) => Object.assign(new Event(type, options), details);

function parsed(text) {
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}

const failureOf = (error) => ({ error: String(error?.message ?? error) });

/** The first value, in the order of the subscriptions, or else the first failure, or else null. */
async function resultOf(called) {
    let failed;
    for (const outcome of called) {
        const { value, failure } = await outcome;
        if (value !== undefined) return value;
        failed ??= failure;
    }
    return failed ?? null;
}

const without = (some, others) => [...some].filter(([key]) => !others.has(key)).map(([, filter]) => filter);

/** Whether an envelope is of a filter's type, and its payload has each other key of the filter with the same string. */
function matches({ type, ...fields }, { type: its, payload }) {
    if (type !== its) return false;
    return Object.entries(fields).every(
        ([key, value]) => isObject(payload) && Object.hasOwn(payload, key) && payload[key] === value
    );
}

/** A filter or a list of them, by a key that equal ones share. Throws TypeError for what the server would skip. */
function normalized(filters) {
    const list = [filters].flat();
    if (!list.length) throw new TypeError("there is no filter: nothing would ever match");
    return new Map(
        list.map((filter) => {
            const wrong = (what) => new TypeError(`invalid filter ${JSON.stringify(filter)}: ${what}`);
            if (!isObject(filter)) throw wrong('it is not an object, as { type: "chat_message" } is');
            const fields = Object.entries(filter).sort(([a], [b]) => (a < b ? -1 : 1));
            for (const [key, value] of fields) if (typeof value !== "string") throw wrong(`its ${key} is not a string`);
            if (!Object.hasOwn(filter, "type") || !filter.type.trim()) throw wrong("its type is missing or blank");
            const trimmed = fields.map(([key, value]) => [key, key === "type" ? value.trim() : value]);
            return [JSON.stringify(trimmed), Object.fromEntries(trimmed)];
        })
    );
}

/** The URL for WebSockets. Throws TypeError for what is none. */
function addressOf(given) {
    const page = globalThis.document?.baseURI ?? globalThis.location?.href;
    let url;
    try {
        url = new URL(given, page);
    } catch {
        throw new TypeError(`invalid URL ${given}` + (page ? "" : ": outside of a page it has to be a whole one"));
    }
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    if (!/^wss?:$/.test(url.protocol)) throw new TypeError(`invalid URL ${given}: not ws, wss, http or https`);
    return url.href;
}
