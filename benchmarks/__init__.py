"""What a publish and a socket cost, measured on real servers and compared with a textbook build.

`textbook` is that build. `wire` speaks just enough HTTP and WebSocket to be cheap, `load` publishes with it and checks
every answer, `servers` starts what is measured and reads its meters, `works` are the measurements, `figures` what they
find, `results` and `tables` what becomes of it. `python -m benchmarks` runs them. `endurance` is a second command: what
the service stands; `run` is what both begin with. docs/benchmarks.md tells how to read them.
"""
