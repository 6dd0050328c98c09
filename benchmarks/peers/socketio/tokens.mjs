// Who a request comes from. A verified token is remembered, as the service that this is compared with does.
import jwt from "jsonwebtoken";

const SECRET = process.env.JWT_SECRET;
const REMEMBERED = 10_000;

const verified = new Map(); // token: its claims

/** The user of the token in an Authorization header. Throws when there is none, or it is not valid (any more). */
export function userOf(authorization = "") {
  const token = authorization.replace(/^Bearer +/i, "");
  const claims = recall(token) ?? remember(token, jwt.verify(token, SECRET, { algorithms: ["HS256"] }));
  return claims.userId;
}

function recall(token) {
  const claims = verified.get(token);
  if (claims?.exp === undefined || claims.exp > Date.now() / 1000) return claims;
  verified.delete(token);
}

function remember(token, claims) {
  if (typeof claims.userId !== "string" || !claims.userId.trim()) throw new jwt.JsonWebTokenError("no userId");
  if (verified.size >= REMEMBERED) verified.delete(verified.keys().next().value); // the oldest
  verified.set(token, claims);
  return claims;
}
