// The same service on Socket.IO: the main path of the protocol, as the docs of Socket.IO would have one build it.
//
// A socket joins a room for each filter, so that finding the sockets of an envelope is what Socket.IO does best; filters
// that look at fields of the payload, which rooms can't do, are left out.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { createAdapter } from "@socket.io/redis-adapter";
import { Redis } from "ioredis";
import { Server } from "socket.io";

import { userOf } from "./tokens.mjs";

const { PORT = "0", REDIS_URL, REDIS_PREFIX } = process.env;
const ACK_TIMEOUT = 5_000; // ms
const PING_INTERVAL = 20_000; // ms, as the service's own
const KEEP_ALIVE = 65_000; // ms that a publisher's connection may be quiet: more than what proxies keep theirs
const MAX_BODY = 4 * 1024 * 1024;

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

const http = createServer({ keepAliveTimeout: KEEP_ALIVE }, handle);
// bufferutil is installed, which ws then masks and unmasks with: https://socket.io/docs/v4/performance-tuning/
// Frames are not compressed, as is the default.
const io = new Server(http, { transports: ["websocket"], pingInterval: PING_INTERVAL, serveClient: false });

io.use((socket, next) => {
  try {
    const { headers, auth } = socket.handshake;
    socket.data.user = userOf(headers.authorization ?? auth.token);
    next();
  } catch {
    next(new Error("Unauthorized"));
  }
});

io.on("connection", (socket) => {
  socket.conn.request = null; // the first HTTP request is not needed: https://socket.io/docs/v4/memory-usage/
  socket.on("subscribe", (filters, done) => {
    socket.join(rooms(socket, filters));
    done?.();
  });
  socket.on("unsubscribe", (filters, done) => {
    for (const left of rooms(socket, filters)) socket.leave(left);
    done?.();
  });
});

function rooms(socket, filters) {
  const types = Array.isArray(filters) ? filters.map((filter) => filter?.type) : [];
  return types.filter((type) => typeof type === "string").map((type) => room(socket.data.user, type));
}

function room(user, type) {
  return JSON.stringify([user, type]);
}

async function handle(request, response) {
  try {
    if (request.url !== "/publish") throw new Refused(404, "Not Found");
    if (request.method !== "POST") throw new Refused(405, "Method Not Allowed");
    answer(response, 200, await publish(request));
  } catch (error) {
    if (!(error instanceof Refused)) console.error(error);
    answer(response, error.status ?? 500, { error: error instanceof Refused ? error.message : "Internal Server Error" });
  }
}

async function publish(request) {
  authenticate(request);
  if (!/application\/json/i.test(request.headers["content-type"])) throw new Refused(415, "Unsupported Media Type");
  const { userId, type, payload } = parse(await read(request));
  if (typeof userId !== "string" || !userId.trim()) throw new Refused(400, "userId is required");
  return deliver({
    envelopeId: randomUUID(),
    type: (typeof type === "string" && type.trim()) || "message",
    userId: userId.trim(),
    timestamp: new Date().toISOString(),
    payload,
  });
}

/** Send to all sockets that want it, on whichever process. What has not acked when the time is up counts all the same. */
async function deliver(envelope) {
  const to = room(envelope.userId, envelope.type);
  try {
    const results = await io.timeout(ACK_TIMEOUT).to(to).emitWithAck("envelope", envelope);
    return { clientCount: results.length, results };
  } catch (error) {
    if (!error.responses) throw error;
    const sockets = await io.in(to).fetchSockets();
    return { clientCount: Math.max(sockets.length, error.responses.length), results: error.responses };
  }
}

function authenticate(request) {
  try {
    userOf(request.headers.authorization);
  } catch {
    throw new Refused(401, "Unauthorized");
  }
}

/** By its events, which cost less than an iterator. */
function read(request) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    request.on("data", (chunk) => {
      size += chunk.length;
      if (size <= MAX_BODY) chunks.push(chunk);
      else reject(new Refused(413, "Content Too Large"));
    });
    request.on("end", () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    request.on("error", reject);
  });
}

function parse(body) {
  let content = null;
  try {
    content = JSON.parse(body);
  } catch {} // as null is, it is refused below
  if (content === null) throw new Refused(400, "Invalid JSON body");
  return content;
}

function answer(response, status, content) {
  const text = JSON.stringify(content);
  response
    .writeHead(status, {
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(text),
      "Access-Control-Allow-Origin": "*",
    })
    .end(text);
}

if (REDIS_URL) {
  const publisher = new Redis(REDIS_URL);
  const subscriber = publisher.duplicate();
  io.adapter(createAdapter(publisher, subscriber, { key: REDIS_PREFIX, publishOnSpecificResponseChannel: true }));
  await subscriber.ping(); // answered after the adapter's subscriptions, before which others would not be heard
}
http.listen(Number(PORT), "127.0.0.1", () => console.log(`Listening on port ${http.address().port}`));
