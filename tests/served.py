"""A local web server with adjustable faults, in place of Kaggle, figshare and other hosts."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Answer:
    """One answer; a path with several gives them one after the other, and repeats the last."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    """Bytes after which the connection is closed."""
    ranges: bool = False
    """True if the server answers requests for a part of the content."""


@dataclass
class Web:
    """The server's address, its answers and the requests so far."""

    address: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and Range header of every request."""

    def serve(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return f"{self.address}{path}"

    def serve_json(self, path: str, content: Any) -> str:
        return self.serve(path, Answer(json.dumps(content).encode(), headers={"Content-Type": "application/json"}))

    def count(self, path: str) -> int:
        return sum(asked == path for _, asked, _ in self.asked)


def md5_header(content: bytes) -> dict[str, str]:
    """Return the checksum header of Google's storage, which holds Kaggle's archives."""
    return {"x-goog-hash": f"md5={base64.b64encode(hashlib.md5(content).digest()).decode()}"}  # noqa: S324


@contextlib.contextmanager
def web() -> Iterator[Web]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    served = Web(f"http://127.0.0.1:{server.server_port}")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path  # a proxy is asked for the whole address
            byte_range = self.headers.get("Range", "")
            served.asked.append((self.command, path, byte_range))
            waiting = served.answers.get(path, [Answer(b"not here", 404)])
            self._answer(waiting.pop(0) if len(waiting) > 1 else waiting[0], byte_range)

        do_POST = do_HEAD = do_GET  # noqa: N815

        def _answer(self, answer: Answer, byte_range: str) -> None:
            content, status = answer.content, answer.status
            if answer.ranges and byte_range:
                content, status = content[int(byte_range.removeprefix("bytes=").rstrip("-")) :], 206
            self.send_response(status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.ranges:
                self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content if answer.cut_at is None else content[: answer.cut_at])
            self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
