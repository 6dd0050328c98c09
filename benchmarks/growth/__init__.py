"""How cost grows with users, sockets of a user, publishers, processes and Redis hosts, and what that predicts.

`plan` has the sizes of each factor, `hosts` the Redis hosts and what they tell of themselves, `points` the base point
and those that differ from it in one factor, `crowds` a process that is filled with users. `model` is the arithmetic,
`report` the tables. `python -m benchmarks.growth` runs them; docs/growth.md tells how to read them.
"""
