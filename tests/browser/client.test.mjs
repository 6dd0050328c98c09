// The client in Node, imported from the packed package, against servers of the package "ws" that a test steers. Run by
// tests/test_npm_package.py, in a folder where both are installed.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { Connection, RealtimeClient } from "hopeflow-realtime";
import WebSocket, { WebSocketServer } from "ws";

/** A server that answers pings and keeps what else it is sent. Returns it with a client, whose states `listener` hears. */
async function pair(t, options, listener = () => {}) {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await once(server, "listening");
    server.frames = [];
    server.on("connection", (socket) => {
        socket.on("message", (data) => (String(data) === "ping" ? socket.send("pong") : server.frames.push(String(data))));
    });
    const url = `http://127.0.0.1:${server.address().port}/`;
    const client = new RealtimeClient(url, { token: "secret", WebSocket, baseDelay: 1, ...options });
    client.addEventListener("state", listener);
    t.after(() => {
        client.close();
        for (const socket of server.clients) socket.terminate();
        server.close();
    });
    return { server, client, url };
}

const envelope = (details) => JSON.stringify({ envelopeId: "1", type: "t", userId: "ann", timestamp: "", ...details });

test("without a WebSocket the error says what to pass", { skip: "WebSocket" in globalThis }, () => {
    assert.throws(() => new RealtimeClient("ws://127.0.0.1/"), /no WebSocket here: .*"ws".* option WebSocket/);
});

test("an invalid URL is a TypeError that says why", () => {
    const make = (url) => () => new Connection(url, { WebSocket });
    assert.throws(make("/rt/"), { name: "TypeError", message: /outside of a page it has to be a whole one/ });
    assert.throws(make("ftp://example.org/"), { name: "TypeError", message: /not ws, wss, http or https/ });
});

test("an invalid filter or handler is a TypeError that says why", async (t) => {
    const { client, server } = await pair(t);
    const wrong = [
        [[], /no filter/],
        [null, /not an object/],
        ["t", /"t": it is not an object/],
        [[{ type: "t" }, "u"], /"u": it is not an object/],
        [{}, /type is missing or blank/],
        [Object.create({ type: "t" }), /type is missing/],
        [{ type: "\u3000\ufeff" }, /type is missing or blank/],
        [{ type: "t", room: 7 }, /its room is not a string/],
    ];
    for (const [filters, message] of wrong) {
        assert.throws(() => client.subscribe(filters, () => {}), { name: "TypeError", message }, JSON.stringify(filters));
    }
    assert.throws(() => client.subscribe({ type: "t" }), /handler is not a function/);
    await client.ready();
    assert.deepEqual(server.frames, []);
});

test("filters match as the server matches them", async (t) => {
    const { client, server } = await pair(t);
    // What a page's other scripts put there is in no payload.
    Object.defineProperty(Object.prototype, "inherited", { value: "x", configurable: true });
    t.after(() => delete Object.prototype.inherited);
    const filters = [
        { type: "t" },
        { type: "\u00a0t ", room: "7" },
        { type: "t", room: "" },
        { type: "t", toString: "x" },
        { type: "t", __proto__: null, ["__proto__"]: "x" },
        { type: "t", 0: "x" },
        { type: "t", inherited: "x" },
    ];
    let called;
    filters.forEach((filter, index) => client.subscribe(filter, () => void called.push(index)));
    await client.ready();
    const cases = [
        [{}, [0]],
        [{ type: "T" }, []],
        [{ type: " t" }, []],
        [{ payload: null }, [0]],
        [{ payload: "room" }, [0]],
        [{ payload: ["x"] }, [0]],
        [{ payload: { room: "7" } }, [0, 1]],
        [{ payload: { room: 7 } }, [0]],
        [{ payload: { room: "" } }, [0, 2]],
        [{ payload: { inner: { room: "7" } } }, [0]],
        [{ payload: { toString: "x" } }, [0, 3]],
        [{ payload: JSON.parse('{"__proto__":"x"}') }, [0, 4]],
        [{ payload: { 0: "x" } }, [0, 5]],
    ];
    const [socket] = server.clients;
    for (const [details, expected] of cases) {
        called = [];
        socket.send(envelope(details));
        await client.ready();
        assert.deepEqual(called, expected, JSON.stringify(details));
    }
});

test("equal filters are sent once whatever the order of their keys", async (t) => {
    const { client, server } = await pair(t);
    client.subscribe([{ type: "t", "a,b": "c", a: "b,c" }, { a: "b,c", "a,b": "c", type: " t" }], () => {});
    client.subscribe({ type: "t", a: "b,c", "a,b": "c" }, () => {});
    client.subscribe({ type: "u" }, () => {})();
    await client.ready();
    const [message, ...others] = server.frames.map((frame) => JSON.parse(frame));
    assert.deepEqual(others, []);
    assert.deepEqual(message, { type: "subscribe", filters: [{ type: "t", a: "b,c", "a,b": "c" }] });
});

test("an envelope for which no handler is left is acked with null, and frames that are none are ignored", async (t) => {
    const { client, server } = await pair(t);
    await client.ready();
    const [socket] = server.clients;
    for (const frame of ["", "no JSON", "null", "7", "[]", "{}", Buffer.from(envelope()), envelope({ type: "gone" })]) {
        socket.send(frame);
    }
    await client.ready();
    assert.deepEqual(server.frames, ['{"type":"ack","envelopeId":"1","result":null}']);
});

test("states tell what happens, and attempts that come to nothing are made ever more seldom", async (t) => {
    t.mock.method(Math, "random", () => 0.999999);
    const states = [];
    const listener = ({ state, delay, code }) => states.push([state, delay && Math.round(delay), code]);
    const { client, server } = await pair(t, { baseDelay: 4, maxDelay: 10 }, listener);
    let accepted = 0;
    server.on("connection", (socket) => ++accepted < 5 && socket.close(accepted === 1 ? 1008 : 4003, "try again"));
    while (accepted < 5 || client.state !== "open") await once(client, "state");
    const none = [undefined, undefined];
    const attempt = (...waiting) => [["connecting", ...none], ["open", ...none], ["waiting", ...waiting]];
    const expected = [attempt(4, 1008), attempt(8, 4003), attempt(10, 4003), attempt(10, 4003)].flat();
    assert.deepEqual(states.slice(0, -2), expected); // a connection that is dropped at once resets nothing
});

test("who asks in a listener of open, or before there is a connection, waits for a pong of its own", async (t) => {
    const { client, server } = await pair(t);
    const types = () => server.frames.flatMap((frame) => JSON.parse(frame).filters.map(({ type }) => type));
    const early = client.ready();
    client.subscribe({ type: "early" }, () => {});
    client.addEventListener("state", async ({ state }) => {
        if (state !== "open") return;
        client.subscribe({ type: "opened" }, () => {});
        await client.ready();
        assert.deepEqual(types(), ["early", "opened"]);
        client.subscribe({ type: "later" }, () => {});
        await client.ready();
        server.emit("then", types());
    });
    const [[seen]] = await Promise.all([once(server, "then"), early]);
    assert.deepEqual(seen, ["early", "opened", "later"]);
});

test("any number of calls that wait for a pong cost a ping, and are answered also after another connection", async (t) => {
    const { client, server } = await pair(t);
    let pings = 0;
    server.on("connection", (socket) => socket.on("message", (data) => (pings += String(data) === "ping")));
    const before = Array.from({ length: 2_500 }, () => client.ready());
    await Promise.all(before);
    assert.equal(pings, 1);
    const [socket] = server.clients;
    socket.pause();
    const during = Array.from({ length: 100 }, () => client.ready());
    socket.terminate();
    await Promise.all(during);
    assert.equal(pings, 2);
    client.ready(); // nobody waits for it, and nobody is told that it never comes
    client.close();
});

test("a value that JSON can't express is an error, and the first value wins over failures", async (t) => {
    const { client, server } = await pair(t);
    client.addEventListener("error", (event) => event.preventDefault());
    const returned = { function: () => {}, symbol: Symbol("s"), bigint: 1n };
    for (const [type, value] of Object.entries(returned)) client.subscribe({ type }, () => value);
    client.subscribe({ type: "both" }, () => Promise.reject(new Error("no")));
    client.subscribe({ type: "both" }, () => null);
    client.subscribe({ type: "both" }, () => new Promise(() => {})); // nobody waits for it: the result is known
    await client.ready();
    const [socket] = server.clients;
    for (const type of [...Object.keys(returned), "both"]) {
        server.frames.length = 0;
        socket.send(envelope({ type }));
        await client.ready();
        const [{ result }] = server.frames.map(JSON.parse);
        if (type === "both") assert.equal(result, null);
        else assert.match(result.error, /JSON|BigInt/);
    }
});

test("a client that is closed as soon as it connects asks for no token", async () => {
    const states = [];
    let asked = 0;
    const client = new RealtimeClient("ws://127.0.0.1:1/", { WebSocket, token: () => `${asked++}` });
    client.addEventListener("state", ({ state }) => {
        states.push(state);
        client.close();
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(states, ["connecting", "closed"]);
    assert.equal(asked, 0);
});

test("a dead connection is dropped without its closing handshake, for which Node would keep running", async (t) => {
    const sockets = [];
    class Kept extends WebSocket {
        constructor(url) {
            super(url);
            sockets.push(this);
        }
    }
    const { client, server } = await pair(t, { WebSocket: Kept, pingTimeout: 50 });
    server.on("connection", (socket) => socket.pause()); // it reads nothing, so it answers nothing
    client.ready().catch(() => {});
    while (client.state !== "waiting") await once(client, "state");
    client.close();
    if (sockets[0].readyState !== WebSocket.CLOSED) await once(sockets[0], "close"); // else after 30 seconds
});

test("a listener that closes the client in any state ends it", async (t) => {
    for (const when of ["connecting", "open", "waiting"]) {
        const { client, server } = await pair(t, {}, ({ state, target }) => state === when && target.close());
        server.on("connection", (socket) => when === "waiting" && socket.close(1000));
        while (client.state !== "closed") await once(client, "state");
        await assert.rejects(client.ready(), { code: 1000 });
        assert.equal(client.send("late"), false);
    }
});

test("no error shows the token", async () => {
    class Refuses {
        constructor(url) {
            throw new SyntaxError(`no good: ${url}`);
        }
    }
    const client = new RealtimeClient("ws://127.0.0.1:1/", { token: "secret", WebSocket: Refuses, baseDelay: 1 });
    const event = await new Promise((resolve) => {
        client.addEventListener("error", (event) => {
            event.preventDefault();
            client.close();
            resolve(event);
        });
    });
    assert.match(event.error.message, /refused here: SyntaxError/);
    assert.doesNotMatch(event.error.message + event.error.stack, /secret/);
});
