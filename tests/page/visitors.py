"""Visitors that speak HTTP, each from an address of its own: all of 127.0.0.0/8 is this machine."""

import json
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import httpx

PATIENCE_SECONDS = 180


class Visitor:
    """Somebody with a tab or a program.

    Args:
        address: of the page.
        source: the visitor's own address.
    """

    def __init__(self, address: str, source: str = "127.0.0.1") -> None:
        self.session = secrets.token_hex(6)
        self._http = httpx.Client(
            base_url=f"{address}/gradio_api",
            transport=httpx.HTTPTransport(local_address=source),
            timeout=PATIENCE_SECONDS,
        )

    def join(self, function: int, *values: Any, session: str | None = None) -> httpx.Response:
        """Ask for an event to be queued."""
        body = {"data": values, "fn_index": function, "session_hash": session or self.session}
        # What is infinite in Python is a number too large in JSON.
        text = json.dumps(body).replace("Infinity", "1e400")
        headers = {"Content-Type": "application/json"}
        return self._http.post("/queue/join", content=text, headers=headers)

    def call_at_once(self, function: int, *values: Any) -> httpx.Response:
        """Ask for an event that is not queued."""
        body = {"data": values, "fn_index": function, "session_hash": self.session}
        return self._http.post("/run/predict", json=body)

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the session is told, until nothing of it is left."""
        query = {"session_hash": self.session}
        with self._http.stream("GET", "/queue/data", params=query) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    def result(self) -> dict[str, Any]:
        """The last message of the one event that the session has asked for."""
        for message in self.messages():
            if message["msg"] == "process_completed":
                return message
        raise AssertionError("the connection ended without a result")

    def listen(self) -> threading.Thread:
        """Hear everything, in the background."""
        thread = threading.Thread(target=lambda: list(self.messages()), daemon=True)
        thread.start()
        return thread

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._http.get(path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self._http.post(path, **options)
