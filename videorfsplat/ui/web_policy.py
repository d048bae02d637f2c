"""Who may ask the page for what: checked for every request before the page itself sees it.

Hosts and origins, sizes and times of what is sent, how many requests and sockets an address may
have open, and the headers that tell a browser what the page may do.
"""

import asyncio
import ipaddress
import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from videorfsplat.ui.given_cameras import MAX_UPLOAD_BYTES
from videorfsplat.ui.page_files import FILE_PATH, SERVED_FOLDERS, ServedFolders

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

UPLOAD_PATH = "/gradio_api/upload"
STREAM_PATHS = ("/gradio_api/heartbeat/", "/gradio_api/queue/data", "/gradio_api/upload_progress")
MCP_PATH = "/gradio_api/mcp"
CALL_PATH = "/gradio_api/call/"

# Pages of single scenes, and the viewer in them.
_EMBEDDED = ("/s/", "/gradio_api/file=@viewer/")

_DISPOSITION = b"content-disposition"

# A page may hold an upload for so long beyond what a slow line needs for it.
_UPLOAD_BYTES_PER_SECOND = 100_000

_RETRY_SECONDS = 5

# Where the system sets no limit: far more than there are visitors.
_UNLIMITED_FILES = 2**20

# What the page sends is three deep.
_MAX_DEPTH = 50
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(rb"[\[\]{}]")


@dataclass(frozen=True)
class WebLimits:
    """What visitors may have at once; for a machine of a few cores that anybody can reach."""

    body_bytes: int = 64 * 2**10
    """Of a request that is no upload: forms and sentences are far smaller."""
    upload_bytes: int = MAX_UPLOAD_BYTES
    """Of an uploaded file."""
    uploads_bytes_per_address: int = 64 * 2**20
    """Of all that an address uploads in `uploads_seconds`: nobody drives out what others sent."""
    uploads_seconds: float = 600.0
    body_seconds: float = 30.0
    """Until what is sent has arrived; the same until the head of a request has."""
    requests_per_address: int = 48
    """That are being answered, files included."""
    requests: int = 256
    streams_per_address: int = 64
    """Answers that go on: a tab has two, and a school may share an address."""
    streams: int = 384
    tool_calls: int = 16
    """Through MCP: each of them holds a thread of the server until its result is there."""
    sockets_per_address: int = 128
    sockets: int = 640


@dataclass(frozen=True)
class WebPolicy:
    """What the page answers to.

    Args:
        hosts: names under which the page is reached, besides those of this machine and addresses
            in digits. A name is what a foreign page needs to be taken for this one by a browser
            (DNS rebinding), so no other is answered.
        frame_ancestors: origins whose pages may hold this one in a frame.
        proxies: how many proxies stand in front and name the visitor in `X-Forwarded-For`.
        limits: on sizes and numbers.
    """

    hosts: frozenset[str] = frozenset()
    frame_ancestors: tuple[str, ...] = ("http://localhost:*", "http://127.0.0.1:*")
    proxies: int = 0
    limits: WebLimits = field(default_factory=WebLimits)

    @classmethod
    def of_environment(cls, hosts: Iterable[str] = ()) -> "WebPolicy":
        """The policy of a page at home or, where Hugging Face runs it, of that Space.

        Args:
            hosts: further names of this page, such as those behind a proxy.
        """
        names = frozenset(name.lower() for name in hosts)
        space = os.environ.get("SPACE_HOST", "")
        if not space:
            return cls(names)
        named = frozenset(name.strip().lower() for name in space.split(","))
        ancestors = ("https://huggingface.co", "https://*.hf.space")
        return cls(names | named, frame_ancestors=ancestors, proxies=1)

    def headers(self, path: str = "/") -> dict[str, str]:
        """What goes with every answer to a path."""
        # A shared scene may be shown by any page: there is nothing in it to be clicked by mistake.
        is_embedded = path.startswith(_EMBEDDED)
        ancestors = ("*",) if is_embedded else self.frame_ancestors
        return {
            "Content-Security-Policy": content_security_policy(ancestors),
            "X-Content-Type-Options": "nosniff",
            # The address holds the sentence of a shared scene.
            "Referrer-Policy": "same-origin",
        }

    def refusal(self, headers: dict[str, str]) -> str | None:
        """Why a request with these headers is not answered; `None` if it is.

        Args:
            headers: by their names in small letters.
        """
        host = host_name(headers.get("host", ""))
        if not self._is_ours(host):
            return "This page does not answer to that host. Started with --host NAME it does."
        origin = headers.get("origin")
        if origin is not None and not self._is_own_origin(origin, host):
            return "This page answers no requests of other sites."
        # Pictures and scripts of other sites bring no origin. Links and frames are no such thing.
        is_cross_site = headers.get("sec-fetch-site") == "cross-site"
        if is_cross_site and headers.get("sec-fetch-mode") != "navigate":
            return "This page answers no requests of other sites."
        return None

    def address(self, scope: Scope) -> str:
        """Who asks: an address, or the network of a subscriber where addresses are cheap (IPv6)."""
        peer = (scope.get("client") or ("unknown", 0))[0]
        if self.proxies:
            forwarded = _headers(scope).get("x-forwarded-for", "").split(",")
            # The last proxy writes at the end; what stands before is the visitor's word.
            entries = [entry.strip() for entry in forwarded if entry.strip()]
            peer = entries[-self.proxies] if len(entries) >= self.proxies else peer
        return _network(peer)

    def _is_ours(self, host: str) -> bool:
        return host in LOOPBACK_NAMES or host in self.hosts or _is_ip_address(host)

    def _is_own_origin(self, origin: str, host: str) -> bool:
        name = host_name(urlsplit(origin).netloc)
        is_local = name in LOOPBACK_NAMES and host in LOOPBACK_NAMES
        return bool(name) and (name == host or name in self.hosts or is_local)


def content_security_policy(frame_ancestors: Iterable[str] = ()) -> str:
    """The policy of the page and of the viewer in it.

    Gradio compiles scripts of components from their text and writes its settings into the page,
    hence `unsafe-inline` and `unsafe-eval`. No element may bring a script of its own, and nothing
    is fetched from, or sent to, any other host.
    """
    rules = {
        "default-src": "'self'",
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "script-src-attr": "'none'",
        "worker-src": "'self' blob:",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self' data: blob:",
        "frame-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": " ".join(["'self'", *frame_ancestors]),
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def host_name(host: str) -> str:
    """The name in a `Host` header, in small letters, without port and brackets; empty if none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


class GuardedApp:
    """The page's application behind a policy, as ASGI.

    Args:
        app: what answers.
        policy: what is answered.
        listening: entered for as long as a visitor listens, with the session or the event whose
            messages these are, and whether results are among them.
        room_for_upload: given a size in bytes, makes room for an upload; may take its time.
        folders: whose names stand for them in addresses, and for that of uploads in what is sent
            and answered.

    `room_for_upload` raises `OSError`, in words, if there is no room.
    """

    def __init__(
        self,
        app: App,
        policy: WebPolicy,
        listening: Callable[[str, bool], AbstractContextManager[Any]] = lambda *_: nullcontext(),
        room_for_upload: Callable[[int], None] = lambda _: None,
        folders: ServedFolders = SERVED_FOLDERS,
    ) -> None:
        self._app, self._policy, self._folders = app, policy, folders
        self._listening, self._room_for_upload = listening, room_for_upload
        limits = policy.limits
        self._requests = OpenCounter(limits.requests_per_address, limits.requests)
        self._streams = OpenCounter(limits.streams_per_address, limits.streams)
        self._tool_calls = OpenCounter(limits.tool_calls, limits.tool_calls)
        self._uploads = UploadAllowance(limits.uploads_bytes_per_address, limits.uploads_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or say why not."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            # The page has no web sockets.
            return await send({"type": "websocket.close", "code": 1008})
        address = self._policy.address(scope)
        scope["client"] = (address, (scope.get("client") or ("", 0))[1])
        send = self._with_headers(send, scope["path"])
        try:
            await self._answer(scope, receive, send, address)
        except Refused as refused:
            await _refuse(send, refused)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, address: str) -> None:
        headers = _headers(scope)
        if (reason := self._policy.refusal(headers)) is not None:
            raise Refused(403, reason)
        before, is_file, told = scope["path"].partition(f"/{FILE_PATH}")
        if is_file:
            scope["path"] = f"{before}/{FILE_PATH}{self._folders.meant(told)}"
        path, method = scope["path"].rstrip("/"), scope["method"]
        is_stream = method == "GET" and _is_stream(path)
        counter = self._streams if is_stream else self._requests
        with counter.one_of(address), self._tool_call(path, method, address):
            if is_stream:
                key, hears_results = _listener(scope)
                with self._listening(key, hears_results) if key else nullcontext():
                    return await self._app(scope, receive, send)
            if path == UPLOAD_PATH:
                receive = await self._upload(headers, receive, address)
                send = _whole_answer(send, self._folders)
                # So that it can be read.
                scope["headers"] = [h for h in scope["headers"] if h[0] != b"accept-encoding"]
            elif method not in ("GET", "HEAD", "OPTIONS"):
                receive = await self._whole_body(headers, receive)
                # Its length is another one if folders were named in it.
                scope["headers"] = [h for h in scope["headers"] if h[0] != b"content-length"]
            return await self._app(scope, receive, send)

    def _tool_call(self, path: str, method: str, address: str) -> AbstractContextManager[Any]:
        is_one = method == "POST" and path.startswith(MCP_PATH)
        return self._tool_calls.one_of(address) if is_one else nullcontext()

    async def _whole_body(self, headers: dict[str, str], receive: Receive) -> Receive:
        """What was sent, read before anything is done about it."""
        limit = self._policy.limits.body_bytes
        if (_content_length(headers) or 0) > limit:
            raise Refused(413, f"A request may have {limit} bytes.")
        body = bytearray()
        try:
            async with asyncio.timeout(self._policy.limits.body_seconds):
                async for part in _parts(receive):
                    body += part
                    if len(body) > limit:
                        raise Refused(413, f"A request may have {limit} bytes.")
        except TimeoutError:
            raise Refused(408, "The request took too long to arrive.") from None
        whole = bytes(body)
        _check_nesting(whole)
        return _replay(self._folders.meant_in(whole), receive)

    async def _upload(self, headers: dict[str, str], receive: Receive, address: str) -> Receive:
        """What is being sent as a file, stopped if it takes too long."""
        limits = self._policy.limits
        length = _content_length(headers)
        if length is None:
            raise Refused(411, "An upload must say how long it is.")
        # Besides the file there are the lines around it.
        if length > limits.upload_bytes + limits.body_bytes:
            raise Refused(413, f"A file may have {limits.upload_bytes} bytes.")
        if not self._uploads.take(address, length):
            raise Refused(429, "That is more than one visitor may upload. Try again later.")
        try:
            await asyncio.to_thread(self._room_for_upload, length)
        except OSError as error:
            raise Refused(507, str(error)) from error
        return _within(receive, limits.body_seconds + length / _UPLOAD_BYTES_PER_SECOND)

    def _with_headers(self, send: Send, path: str) -> Send:
        headers = self._policy.headers(path)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
                names = {name for name, _ in added}
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in names]
                # Links of the page name the files that they save; this would be the name instead.
                unnamed = [(k, _without_name(v) if k == _DISPOSITION else v) for k, v in kept]
                message["headers"] = [*unnamed, *added]
            await send(message)

        return send_with_headers


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        reason: in words.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class OpenCounter:
    """How many requests are being answered, to each address and together.

    Args:
        per_address: most of one address.
        in_all: most of all addresses.
    """

    def __init__(self, per_address: int, in_all: int) -> None:
        self._per_address, self._in_all = per_address, in_all
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_of(self, address: str) -> Iterator[None]:
        """One more is open.

        Raises:
            Refused: if there are too many.
        """
        if self._open[address] >= self._per_address:
            raise Refused(429, "Too many requests of yours at once. Wait for some to end.")
        if self._open.total() >= self._in_all:
            raise Refused(503, "Too many requests at once. Try again in a minute.")
        self._open[address] += 1
        try:
            yield
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]


class UploadAllowance:
    """How many bytes each address may still upload: full at first, and filled up again in time.

    Args:
        bytes_per_address: when full.
        seconds: until what was used up is there again.
    """

    def __init__(self, bytes_per_address: int, seconds: float) -> None:
        self._full, self._seconds = bytes_per_address, seconds
        self._used: dict[str, tuple[float, float]] = {}

    def take(self, address: str, size: int) -> bool:
        """Whether the address may upload so many bytes; if so, they count."""
        now = asyncio.get_running_loop().time()
        used = self._still_used(address, now) + size
        if used > self._full:
            return False
        self._used[address] = used, now
        for other in [a for a in self._used if not self._still_used(a, now)]:
            del self._used[other]
        return True

    def _still_used(self, address: str, now: float) -> float:
        used, then = self._used.get(address, (0.0, now))
        return max(used - (now - then) * self._full / self._seconds, 0.0)


def bound_sockets(server: Any, policy: WebPolicy) -> None:
    """Close connections beyond the policy's number, and those whose request does not arrive.

    Args:
        server: uvicorn's, which serves already; what it accepts from now on is bound.
        policy: whose limits hold. Behind a proxy all have its address, so only their sum counts.
    """
    config, limits = server.config, policy.limits
    in_all = min(limits.sockets, _most_files() * 5 // 8)
    per_address = in_all if policy.proxies else min(limits.sockets_per_address, in_all)
    open_sockets = OpenCounter(per_address, in_all)
    protocol = config.http_protocol_class

    class BoundProtocol(protocol):
        """A connection that counts, and that ends if the head of a request takes too long."""

        _place: Any = None
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            peer = transport.get_extra_info("peername")
            place = open_sockets.one_of(_network(peer[0]) if peer else "unknown")
            try:
                place.__enter__()
            except Refused:
                # Its own state is needed to lose it again.
                super().connection_made(transport)
                transport.abort()
                return
            self._place = place
            super().connection_made(transport)
            self._expect_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if not self._is_idle():
                self._stop_expecting()
            elif self._deadline is None:
                self._expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_expecting()
            if self._place is not None:
                self._place.__exit__(None, None, None)
                self._place = None
            super().connection_lost(exc)

        def _is_idle(self) -> bool:
            """Whether no request has come whole and waits for its answer."""
            return self.cycle is None or self.cycle.response_complete

        def _expect_head(self) -> None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(limits.body_seconds, self._give_up)

        def _stop_expecting(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _give_up(self) -> None:
            self._deadline = None
            if self._is_idle():
                self.transport.abort()

    config.http_protocol_class = BoundProtocol


def _most_files() -> int:
    if resource is None:
        return _UNLIMITED_FILES
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED_FILES if soft == resource.RLIM_INFINITY else soft


def _is_stream(path: str) -> bool:
    is_result = path.startswith(CALL_PATH) and len(path.removeprefix(CALL_PATH).split("/")) > 1
    return is_result or path.startswith((*STREAM_PATHS, MCP_PATH))


def _listener(scope: Scope) -> tuple[str, bool]:
    """The session, or the event, that a stream tells of, and whether it tells of results; an empty
    name if it is of neither."""
    path = scope["path"].rstrip("/")
    if path.endswith("/queue/data"):
        query = parse_qs(scope["query_string"].decode("latin-1"))
        return query.get("session_hash", [""])[0], True
    name = path.rpartition("/")[2]
    if path.startswith("/gradio_api/heartbeat/"):
        return name, False
    return (name, True) if path.startswith(CALL_PATH) else ("", False)


def _without_name(disposition: bytes) -> bytes:
    """A Content-Disposition without the name that it gives to the file."""
    return disposition.split(b";")[0]


def _headers(scope: Scope) -> dict[str, str]:
    """By names in small letters; of several with one name, all, with commas."""
    headers: dict[str, str] = {}
    for key, value in scope["headers"]:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1")
        headers[name] = f"{headers[name]},{text}" if name in headers else text
    return headers


def _content_length(headers: dict[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    """The parts of a body as they come."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "The connection broke.")
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def _whole_answer(send: Send, folders: ServedFolders) -> Send:
    """Sends an answer of JSON once it is whole, with paths as they are told."""
    start: Message = {}
    body = bytearray()

    async def send_whole(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        body.extend(message.get("body", b""))
        if message.get("more_body", False):
            return
        told = bytes(body)
        if start["status"] == 200:
            told = json.dumps(folders.told_in(json.loads(told))).encode()
        length = (b"content-length", str(len(told)).encode())
        start["headers"] = [h for h in start["headers"] if h[0].lower() != length[0]] + [length]
        await send(start)
        await send({"type": "http.response.body", "body": told})

    return send_whole


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def replayed() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _within(receive: Receive, seconds: float) -> Receive:
    """The same until `seconds` are over and the body has not come."""
    deadline = asyncio.get_running_loop().time() + seconds
    is_whole = False

    async def received() -> Message:
        nonlocal is_whole
        if is_whole:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        is_whole = not message.get("more_body", False)
        return message

    return received


def _check_nesting(body: bytes) -> None:
    """Refuse JSON so deep that reading it, or making models of it, would use up the stack."""
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > _MAX_DEPTH:
            raise Refused(400, "The request is nested too deeply.")


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _network(address: str) -> str:
    """The address; of IPv6 its /64, of which every subscriber has at least one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False).network_address)


async def _refuse(send: Send, refused: Refused) -> None:
    body = json.dumps({"detail": refused.reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        # What was not read of the request must not be taken for the next one.
        (b"connection", b"close"),
    ]
    if refused.status in (429, 503):
        headers.append((b"retry-after", str(_RETRY_SECONDS).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
