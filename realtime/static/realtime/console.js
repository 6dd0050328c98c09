// The live console: what its socket says goes to the parts of the page, what the operator wants goes to the socket.

import { Connection } from "./realtime.js";
import { Charts } from "./console/charts.js";
import { Deliveries } from "./console/deliveries.js";
import { addressOf, lookOfAddress } from "./console/look.js";
import { byId } from "./console/page.js";
import { People } from "./console/people.js";
import { Publish, frameOf } from "./console/publish.js";
import { State } from "./console/state.js";
import { User } from "./console/user.js";
import { say, sayCount } from "./console/words.js";

const { socket: path, login } = byId("console").dataset;
const look = lookOfAddress();
let may = { mayAct: false, ackTimeout: 5 };
let looks = 0; // how many frames that say what is looked at this connection has sent, without those that were refused
let refused = -1; // `looks` when the server has refused another; the page shows what it looked at before
let ids = 0;
let view; // the last one of this look

const connection = new Connection(path, { maxDelay: 5_000 });
const state = new State(path, login);
const charts = new Charts();
const people = new People(look, changed);
const user = new User(look, watch, disconnect);
const deliveries = new Deliveries((process) => user.nameOf(process));
const publishing = new Publish(look, publish);

function watch() {
    view = undefined;
    looks++;
    refused = -1;
    state.address();
    connection.send(JSON.stringify({ type: "watch", ...look }));
}

/** The operator has looked for something else. */
function changed() {
    history.replaceState(history.state, "", addressOf(look));
    watch();
}

/** The address has changed: a user is chosen, or it is a step back. */
function follow() {
    const next = lookOfAddress();
    const isOtherList = next.query !== look.query || next.order !== look.order;
    const isOtherUser = next.user !== look.user;
    const { after, socketsAfter } = look;
    // What stays the same stays on its page.
    Object.assign(look, next, isOtherList ? {} : { after }, isOtherUser ? {} : { socketsAfter });
    if (isOtherList) people.follow();
    if (isOtherUser) user.follow();
    watch();
    if (isOtherUser && look.user) byId("chosen-user").focus();
}

function publish(type, body) {
    const id = String(++ids);
    deliveries.begin(id, look.user, type, may.ackTimeout);
    if (!connection.send(frameOf(id, body))) deliveries.fail(id, say("unsent"));
}

function disconnect(wanted) {
    const frame = JSON.stringify({ type: "disconnect", id: String(++ids), ...wanted });
    if (!connection.send(frame)) user.tell(say("unsent"), "fault");
}

const heard = {
    hello(frame) {
        may = frame;
        publishing.show(may);
        if (view) user.show(view, may.mayAct);
    },
    view(frame) {
        state.view(frame);
        if (frame.away || frame.looks !== looks) return; // that is not what is looked at any more
        if (looks !== refused) state.problem("");
        view = frame;
        people.show(view);
        user.show(view, may.mayAct);
    },
    rates(frame) {
        charts.show(frame);
        state.total(frame.sockets);
    },
    delivery(frame, text) {
        deliveries.hear(frame, text);
    },
    disconnected({ count, silent = 0 }) {
        const said = sayCount("disconnected", count);
        if (silent) user.tell(`${said} ${sayCount("disconnected.silent", silent)}`, "warning");
        else user.tell(said, "done");
    },
    error({ id, message, looks: accepted = 0 }) {
        if (id === undefined) {
            if (looks > accepted && --looks === accepted) refused = looks; // else a later look is under way
            state.problem(message);
        } else if (!deliveries.fail(id, message)) user.tell(message, "fault");
    },
};

connection.addEventListener("message", ({ data }) => {
    const frame = JSON.parse(data);
    heard[frame.type]?.(frame, data);
});
connection.addEventListener("state", (event) => {
    state.connection(event.state);
    looks = 0;
    if (event.state === "open") watch();
    else deliveries.lose();
    publishing.live(event.state === "open");
});
addEventListener("hashchange", follow);
people.follow();
user.follow();
