"""What others would build the same service with, at pinned versions: servers of the main path of the protocol, how they
are installed and started.
"""
