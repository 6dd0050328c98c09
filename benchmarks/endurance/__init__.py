"""What an operator asks before trusting the service: does it hold, what does it survive, what do sockets cost it?

`cluster` is the set-up, `crowd` the users and publishers, who go on whatever happens, `verdicts` what is thought of an
answer, `held` and `faults` what is done, `slowly` a Redis that answers late, `report` the tables. `python -m
benchmarks.endurance` runs them.
"""
