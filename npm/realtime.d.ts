/** Who connects: a token, or a function that fetches one, asked before each attempt. */
export type Token = string | (() => string | Promise<string>);

/** What is used of a WebSocket class: the browser's has it, and that of the package "ws". */
export type WebSocketClass = new (url: string) => { send(text: string): void; close(): void };

export interface ConnectionOptions {
    /** Left out, the browser's cookies say who it is: the service must have SESSION_AUTH on. */
    token?: Token;
    /** Default: `globalThis.WebSocket`. Node has none before version 22: pass that of the package "ws". */
    WebSocket?: WebSocketClass;
    /**
     * Milliseconds. The first attempt to come back is made at random within this time, each later one within twice the
     * time of the one before. Default: 500.
     */
    baseDelay?: number;
    /** Milliseconds: that time at the most. Default: 30,000. */
    maxDelay?: number;
    /** Milliseconds without a frame after which the server is asked whether it is there. Default: 25,000. */
    pingInterval?: number;
    /** Milliseconds in which it has to answer that, or a handshake. Default: 10,000. */
    pingTimeout?: number;
}

export type State = "connecting" | "open" | "waiting" | "offline" | "closed";

/** What a state comes with. `code` and `reason` are those with which a connection ended, 1006 for one that was lost. */
export type StateDetails =
    | { readonly state: "connecting" | "open" }
    /** The next attempt is made after `delay` milliseconds. */
    | { readonly state: "waiting"; readonly delay: number; readonly code: number; readonly reason: string }
    /** The next attempt is made when the browser is online again, or the page is shown. */
    | { readonly state: "offline"; readonly code?: number; readonly reason?: string }
    /** For good: by `close()` (1000), or by the server with a code from 4500 to 4999. */
    | { readonly state: "closed"; readonly code: number; readonly reason: string };

export interface ConnectionEvents {
    state: Event & StateDetails;
    /** A text frame that is no pong. */
    message: Event & { readonly data: string };
    /** Goes to the console too, unless a listener calls `preventDefault()`. */
    error: Event & { readonly error: unknown; readonly envelope?: Envelope };
}

type Listener<E, This> = ((this: This, event: E) => void) | { handleEvent(event: E): void };

/** A WebSocket that connects again whenever it is lost, until `close()` or a close code that says not to. */
export class Connection extends EventTarget {
    /**
     * Connects at once.
     *
     * @param url ws://, wss://, http://, https://, or a path relative to the page. An existing query is kept.
     * @throws TypeError for an invalid URL, or when there is no WebSocket class
     */
    constructor(url: string, options?: ConnectionOptions);

    readonly state: State;

    /**
     * Send a text frame. Returns whether there was a connection to send it on; nothing is kept for later. For a ping
     * there is `ping()`, which knows whose pong it is.
     */
    send(text: string): boolean;

    /**
     * Resolves when the server has answered a ping: what was sent before on this connection is in effect. Without a
     * connection the ping is sent as soon as there is one. Rejects when the connection is closed for good.
     */
    ping(): Promise<void>;

    /** Close it for good. */
    close(): void;

    /** Dispatch an `error` event, and show the error in the console unless a listener prevents that. */
    report(error: unknown, envelope?: Envelope): void;

    addEventListener<K extends keyof ConnectionEvents>(
        type: K,
        listener: Listener<ConnectionEvents[K], this> | null,
        options?: boolean | { capture?: boolean; once?: boolean; passive?: boolean; signal?: AbortSignal },
    ): void;
    removeEventListener<K extends keyof ConnectionEvents>(
        type: K,
        listener: Listener<ConnectionEvents[K], this> | null,
        options?: boolean | { capture?: boolean },
    ): void;
}

/** Matches envelopes of this type whose payload has each of the other keys, at its top level, with the same string. */
export interface Filter {
    readonly type: string;
    readonly [key: string]: string;
}

export interface Envelope<Payload = unknown> {
    readonly envelopeId: string;
    readonly type: string;
    readonly userId: string;
    /** UTC, as in "2026-01-31T12:34:56.789Z". */
    readonly timestamp: string;
    /** Absent when the publisher sent none. */
    readonly payload: Payload;
}

/** What it returns, or its promise resolves to, is the result of the ack: anything that JSON can express. */
export type Handler<Payload = unknown> = (envelope: Envelope<Payload>) => unknown;

/** A connection that subscribes, hands envelopes to handlers, and acks them with what these return. */
export class RealtimeClient extends Connection {
    /**
     * Call `handler` with each envelope that one of the filters matches.
     *
     * If several subscriptions match an envelope, the result of its one ack is the first value other than undefined, in
     * the order of the subscriptions; else `{"error": message}` if one threw; else null.
     *
     * @returns a function that ends the subscription: from then on the handler is not called
     * @throws TypeError for an invalid filter
     */
    subscribe<Payload = unknown>(filters: Filter | readonly Filter[], handler: Handler<Payload>): () => void;

    /** Resolves when all that has been subscribed so far is in effect. Rejects when it is closed for good. */
    ready(): Promise<void>;
}
