"""Daphne, extended where it falls short for sockets: `python -m realtime.server … product.asgi:application`.

`cli` has Daphne's own flags and a few more, `server` starts, drains and stops, `http` and `websocket` are what it
speaks, `files` keeps the last open files from clients, `accesslog` writes down what was asked for, without the tokens.
Plain Daphne and uvicorn run the same application, with what they can do.
"""
