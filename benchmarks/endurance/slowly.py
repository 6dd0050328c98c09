"""`python -m benchmarks.endurance.slowly PORT`: a proxy in front of Redis that makes it late when told to.

SIGUSR1 makes what Redis says arrive 200 ms late, the next one makes it prompt again.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress

LATE = 0.2  # seconds
PIECE = 65_536  # bytes


class Proxy:
    def __init__(self, port: int) -> None:
        self._port = port
        self._delay = 0.0

    def toggle(self) -> None:
        self._delay = 0.0 if self._delay else LATE

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._commands(reader, back), self._answers(there, writer))

    async def _commands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(PIECE):
                writer.write(data)
        writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Each piece after the delay that held when it came, and after the piece before."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def pass_on() -> None:
            while data := (piece := await pieces.get())[1]:
                await asyncio.sleep(piece[0] - loop.time())
                writer.write(data)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pass_on())
            with suppress(OSError):
                while data := await reader.read(PIECE):
                    pieces.put_nowait((loop.time() + self._delay, data))
            pieces.put_nowait((loop.time(), b""))
        writer.close()


async def main() -> None:
    proxy = Proxy(int(sys.argv[1]))
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, proxy.toggle)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        print(f"Listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
