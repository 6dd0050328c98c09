// What is looked at. The address says the most of it, so that a page can be shared, reloaded and left with Back.

const ORDERS = ["user", "newest", "unacked"];

/** What the address says. The cursors of pages are not in it: they are of a moment. */
export function lookOfAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const order = asked.get("order");
    return {
        query: (asked.get("q") ?? "").slice(0, 2048),
        order: ORDERS.includes(order) ? order : "user",
        after: null,
        user: (asked.get("user") ?? "").trim().slice(0, 2048), // a publish trims it too
        socketsAfter: null,
    };
}

/** The address of a look, but for what is to change in it. */
export function addressOf(look, changes = {}) {
    const { query, order, user } = { ...look, ...changes };
    const asked = new URLSearchParams();
    if (user) asked.set("user", user);
    if (query) asked.set("q", query);
    if (order !== "user") asked.set("order", order);
    return `#${asked}`;
}
