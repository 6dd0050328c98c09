"""uvicorn's log for the benchmarks: where it listens, and faults. It has no option to be silent about each socket."""

import logging


class NoSockets(logging.Filter):
    """For uvicorn-log.json."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or record.msg.startswith("Uvicorn running")
