"""The same service as its docs would have one build it: stock Channels, stock Django, stock Redis layer.

Only the main path of the protocol. It is what the benchmarks compare with, so it is written to be cheap: no step here
that the job does not need.
"""
