// Compiled by tests/test_npm_package.py, never run.
import {
    Connection,
    RealtimeClient,
    type ConnectionOptions,
    type Envelope,
    type Filter,
    type Handler,
    type State,
} from "hopeflow-realtime";
import WebSocket from "ws";

interface Message {
    text: string;
}

const options: ConnectionOptions = {
    token: async () => "token",
    WebSocket,
    baseDelay: 1,
    maxDelay: 2,
    pingInterval: 3,
    pingTimeout: 4,
};
const client = new RealtimeClient("wss://example.org/", options);
new RealtimeClient("/rt/", { token: "token" });
new Connection("/rt/");
const filters: readonly Filter[] = [{ type: "t" }, { type: "t", room: "7" }];
const handler: Handler<Message> = async ({ payload }) => payload.text;
const unsubscribe: () => void = client.subscribe<Message>(filters, handler);
client.subscribe({ type: "t" }, (envelope) => {
    const { envelopeId, type, userId, timestamp, payload }: Envelope<unknown> = envelope;
    return [envelopeId, type, userId, timestamp, payload];
});
client.subscribe({ type: "t" }, () => {});
unsubscribe();
const ready: Promise<void> = client.ready();
const ping: Promise<void> = client.ping();
const sent: boolean = client.send("text");
const state: State = client.state;
client.addEventListener("state", (event) => {
    if (event.state === "waiting") console.log(event.delay + event.code, event.reason);
    if (event.state === "closed") console.log(event.code + 1, event.reason);
    // @ts-expect-error: only a state that waits has a delay
    if (event.state === "open") console.log(event.delay);
});
client.addEventListener("error", (event) => console.log(event.error, event.envelope?.payload, event.preventDefault()));
client.addEventListener("message", ({ data }) => data.length, { once: true });
client.report(new Error("mine"));
client.close();
console.log(ready, ping, sent, state);

// @ts-expect-error: a URL is needed
new RealtimeClient();
// @ts-expect-error: no number is a token
new RealtimeClient("/rt/", { token: 7 });
// @ts-expect-error: no function of a number is a token
new RealtimeClient("/rt/", { token: () => 7 });
// @ts-expect-error: there is no such option
new RealtimeClient("/rt/", { retries: 3 });
// @ts-expect-error: a filter has a type
client.subscribe({ room: "7" }, () => {});
// @ts-expect-error: values of filters are strings
client.subscribe({ type: "t", room: 7 }, () => {});
// @ts-expect-error: a handler is needed
client.subscribe({ type: "t" });
// @ts-expect-error: a payload is unknown until one says what it is
client.subscribe({ type: "t" }, ({ payload }) => payload.text);
// @ts-expect-error: there is no such event
client.addEventListener("opened", () => {});
// @ts-expect-error: the state is not to be set
client.state = "open";
