"""A web server on this machine that misbehaves as asked, standing in for Kaggle, figshare and any other."""

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
    """One answer; a path that has several gives them in turn, and the last for ever."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    """Bytes after which the connection is closed."""
    ranges: bool = False
    """Whether a part can be asked for."""


@dataclass
class Web:
    """The server's address, what it answers and what it was asked."""

    address: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and Range."""

    def serve(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return f"{self.address}{path}"

    def serve_json(self, path: str, content: Any) -> str:
        return self.serve(path, Answer(json.dumps(content).encode(), headers={"Content-Type": "application/json"}))

    def count(self, path: str) -> int:
        return sum(asked == path for _, asked, _ in self.asked)


def md5_header(content: bytes) -> dict[str, str]:
    """As Google's storage, where Kaggle keeps its archives, tells a checksum."""
    return {"x-goog-hash": f"md5={base64.b64encode(hashlib.md5(content).digest()).decode()}"}  # noqa: S324


@contextlib.contextmanager
def web() -> Iterator[Web]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    served = Web(f"http://127.0.0.1:{server.server_port}")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path  # of a proxy the whole address is asked
            wanted = self.headers.get("Range", "")
            served.asked.append((self.command, path, wanted))
            waiting = served.answers.get(path, [Answer(b"not here", 404)])
            self._answer(waiting.pop(0) if len(waiting) > 1 else waiting[0], wanted)

        do_POST = do_HEAD = do_GET  # noqa: N815

        def _answer(self, answer: Answer, wanted: str) -> None:
            content, status = answer.content, answer.status
            if answer.ranges and wanted:
                content, status = content[int(wanted.removeprefix("bytes=").rstrip("-")) :], 206
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
