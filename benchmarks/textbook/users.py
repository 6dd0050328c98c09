"""Who a request comes from, and the group of a user's sockets."""

import hashlib
import os

import jwt

JWT_SECRET = os.environ["JWT_SECRET"]


def user_of(authorization: str) -> str:
    """The user of the token in an Authorization header. Raises jwt.InvalidTokenError."""
    token = authorization.removeprefix("Bearer ")
    user = jwt.decode(token, JWT_SECRET, algorithms=["HS256"]).get("userId")
    if not isinstance(user, str):
        raise jwt.InvalidTokenError("no userId")
    return user


def group_name(user: str) -> str:
    """Group names are short ASCII, users are not."""
    return "user." + hashlib.sha256(user.encode()).hexdigest()[:32]
