"""What a publish and a socket cost, measured on real servers and compared with a textbook build and with peers.

`textbook` is that build, `peers` are what others would take. `wire` speaks just enough HTTP and WebSocket to be cheap,
`dialects` knows how each server is spoken to, `load` publishes and checks every answer, `servers` starts what is
measured, on the `cores` that there are, and reads its meters. `works` are the measurements and `plan` how much of each;
`bench` takes them in closed loops, `storm`, `idle` and `mixed` (an `openloop`) are those of another kind. `figures` are
what they find, `results`, `targets`, `tables` and `charts` what becomes of it. `python -m benchmarks` runs them.
`endurance` is a second command: what the service stands, `growth` a third: how cost grows. `run` is what all begin
with. docs/benchmarks.md and docs/growth.md tell how to read them.
"""
