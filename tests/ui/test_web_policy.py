"""What the page answers to, in front of a small application."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from coroutines import run_coroutine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from videorfsplat.ui.page_files import ServedFolders
from videorfsplat.ui.web_policy import (
    GuardedApp,
    WebLimits,
    WebPolicy,
    bound_sockets,
    content_security_policy,
)

LIMITS = WebLimits(
    body_bytes=1000,
    upload_bytes=5000,
    uploads_bytes_per_address=20_000,
    uploads_seconds=600,
    body_seconds=1.0,
    requests_per_address=3,
    requests=5,
    sockets_per_address=4,
    sockets=6,
)


async def echo(request: Request) -> JSONResponse:
    body = await request.body()
    return JSONResponse({"path": request.url.path, "body": body.decode("latin-1")})


async def wait(request: Request) -> PlainTextResponse:
    await request.app.state.go.wait()
    return PlainTextResponse(request.client.host if request.client else "")


async def upload(request: Request) -> JSONResponse:
    await request.body()
    return JSONResponse([f"{request.app.state.uploads}/abc/cameras.json"])


def application(tmp_path: Path) -> Starlette:
    app = Starlette(
        routes=[
            Route("/wait", wait),
            Route("/gradio_api/upload", upload, methods=["POST"]),
            Route("/{path:path}", echo, methods=["GET", "POST"]),
        ]
    )
    app.state.go, app.state.uploads = asyncio.Event(), tmp_path / "uploads"
    return app


def guarded(tmp_path: Path, policy: WebPolicy | None = None, **options: Any) -> GuardedApp:
    folders = ServedFolders()
    folders.add("uploads", tmp_path / "uploads")
    return GuardedApp(
        application(tmp_path), policy or WebPolicy(limits=LIMITS), folders=folders, **options
    )


def client(app: Any, address: str = "10.0.0.1", host: str = "localhost:7860") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


def ask(app: Any, path: str = "/", host: str = "localhost:7860", **options: Any) -> httpx.Response:
    async def answer() -> httpx.Response:
        async with client(app, host=host) as visitor:
            return await visitor.request(options.pop("method", "GET"), path, **options)

    return run_coroutine(answer())


@pytest.mark.parametrize(
    "host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "192.168.1.5:7860", "me-page.hf.space"]
)
def test_own_hosts_are_answered(tmp_path, host):
    app = guarded(tmp_path, WebPolicy(frozenset({"me-page.hf.space"}), limits=LIMITS))
    assert ask(app, host=host).status_code == 200


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/mcp/", "/gradio_api/queue/join"])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "other.hf.space"])
def test_other_hosts_are_not(tmp_path, host, path):
    assert ask(guarded(tmp_path), path, host=host).status_code == 403


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:7860", "http://127.0.0.1:7860", 200),
        ("localhost:7860", "http://localhost:3000", 200),
        ("me-page.hf.space", "https://me-page.hf.space", 200),
        ("localhost:7860", "https://evil.example", 403),
        ("localhost:7860", "null", 403),
        ("localhost:7860", "https://localhost.evil.example", 403),
        ("me-page.hf.space", "http://localhost:7860", 403),
        ("me-page.hf.space", "https://huggingface.co", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_only_own_origins_are_answered(tmp_path, host, origin, status, method):
    app = guarded(tmp_path, WebPolicy(frozenset({"me-page.hf.space"}), limits=LIMITS))
    response = ask(app, host=host, method=method, headers={"Origin": origin})
    assert (response.status_code == 403) == (status == 403)
    assert "access-control-allow-origin" not in response.headers


def test_pictures_and_scripts_of_other_sites_are_not_answered_but_links_and_frames_are(tmp_path):
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert ask(guarded(tmp_path), headers=foreign).status_code == 403
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ask(guarded(tmp_path), headers=link).status_code == 200


def test_a_space_answers_to_its_own_name_and_believes_its_proxy(monkeypatch):
    monkeypatch.setenv("SPACE_HOST", "me-page.hf.space")
    policy = WebPolicy.of_environment(["other.example"])
    assert policy.hosts == {"me-page.hf.space", "other.example"}
    forged = {"client": ("10.1.1.1", 5), "headers": [(b"x-forwarded-for", b"6.6.6.6, 7.7.7.7")]}
    assert policy.address(forged) == "7.7.7.7"
    assert WebPolicy().address(forged) == "10.1.1.1"
    monkeypatch.delenv("SPACE_HOST")
    assert WebPolicy.of_environment().hosts == frozenset()


def test_one_subscriber_has_one_address():
    def address(ip: str) -> str:
        return WebPolicy().address({"client": (ip, 5), "headers": []})

    assert address("2001:db8:1:2:3::4") == address("2001:db8:1:2:ffff::") != address("2001:db8::1")
    assert address("::ffff:10.0.0.1") == address("10.0.0.1")


@pytest.mark.parametrize("path", ["/", "/gradio_api/file=x"])
def test_every_answer_has_the_headers(tmp_path, path):
    for response in (ask(guarded(tmp_path), path), ask(guarded(tmp_path), host="evil.example")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"
        assert "object-src 'none'" in response.headers["content-security-policy"]


def test_the_policy_names_no_other_host():
    for rule in content_security_policy().split("; "):
        name, *sources = rule.split()
        assert not any(s.startswith(("http", "*")) for s in sources), rule
        assert name != "script-src-attr" or sources == ["'none'"]


@pytest.mark.parametrize("path", ["/gradio_api/run/predict", "/gradio_api/mcp/", "/anything"])
def test_bodies_are_bounded(tmp_path, path):
    app = guarded(tmp_path)
    assert ask(app, path, method="POST", content=b"x" * 1000).json()["body"] == "x" * 1000
    assert ask(app, path, method="POST", content=b"x" * 1001).status_code == 413

    async def parts() -> Any:
        for _ in range(100):
            yield b"x" * 100

    assert ask(app, path, method="POST", content=parts()).status_code == 413


def test_nesting_is_bounded_and_brackets_in_a_sentence_are_none(tmp_path):
    app = guarded(tmp_path)
    deep = b'{"data": ' + b"[" * 200 + b"]" * 200 + b"}"
    assert ask(app, method="POST", content=deep).status_code == 400
    text = json.dumps({"data": ["[" * 200 + '\\" {']}).encode()
    assert ask(app, method="POST", content=text).status_code == 200


def test_files_are_named_by_the_links_that_save_them(tmp_path):
    def named(_: Any) -> PlainTextResponse:
        headers = {"content-disposition": 'attachment; filename="scene.ply"'}
        return PlainTextResponse("ply", headers=headers)

    app = GuardedApp(Starlette(routes=[Route("/file", named)]), WebPolicy(limits=LIMITS))
    assert ask(app, "/file").headers["content-disposition"] == "attachment"


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path):
    async def slow() -> Any:
        yield b"x"
        await asyncio.sleep(600)

    assert ask(guarded(tmp_path), method="POST", content=slow()).status_code == 408


def test_uploads_are_bounded_in_size_and_for_each_address(tmp_path):
    sizes = []
    app = guarded(tmp_path, room_for_upload=sizes.append)
    path = "/gradio_api/upload"

    async def uploads() -> list[int]:
        async with client(app) as visitor, client(app, "10.0.0.2") as other:
            answers = [await visitor.post(path, content=b"x" * 7000)]
            answers += [await visitor.post(path, content=b"x" * 5000) for _ in range(5)]
            answers += [await other.post(path, content=b"x" * 5000)]
            return [answer.status_code for answer in answers]

    assert run_coroutine(uploads()) == [413, 200, 200, 200, 200, 429, 200]
    assert sizes == [5000] * 5

    async def parts() -> Any:
        yield b"x"

    assert ask(app, path, method="POST", content=parts()).status_code == 411


def test_an_upload_without_room_is_refused_in_words(tmp_path):
    def refuse(_: int) -> None:
        raise OSError("The disk of this page is full.")

    app = guarded(tmp_path, room_for_upload=refuse)
    response = ask(app, "/gradio_api/upload", method="POST", content=b"x")
    assert (response.status_code, "disk" in response.json()["detail"]) == (507, True)


def test_no_answer_tells_where_uploads_lie_and_what_is_told_is_understood(tmp_path):
    app = guarded(tmp_path)
    answer = ask(app, "/gradio_api/upload", method="POST", content=b"x").json()
    assert answer == ["@uploads/abc/cameras.json"]
    body = json.dumps({"data": [{"path": answer[0]}]})
    sent = ask(app, "/x", method="POST", content=body).json()["body"]
    path = str(tmp_path / "uploads" / "abc" / "cameras.json")
    assert json.loads(sent) == {"data": [{"path": path}]}
    assert ask(app, f"/gradio_api/file={answer[0]}").json()["path"] == f"/gradio_api/file={path}"


def test_an_address_has_its_share_of_requests_and_others_keep_theirs(tmp_path):
    app = guarded(tmp_path)
    inner: Any = app._app

    async def requests() -> tuple[list[int], int, int]:
        inner.state.go = asyncio.Event()
        async with client(app) as visitor, client(app, "10.0.0.2") as other:
            asked = [asyncio.create_task(visitor.get("/wait")) for _ in range(5)]
            await asyncio.sleep(0.1)
            meanwhile = (await other.get("/")).status_code
            inner.state.go.set()
            answers = [answer.status_code for answer in await asyncio.gather(*asked)]
            return answers, meanwhile, (await visitor.get("/")).status_code

    answers, meanwhile, afterwards = run_coroutine(requests())
    assert sorted(answers) == [200, 200, 200, 429, 429]
    assert (meanwhile, afterwards) == (200, 200)


class Served:
    def __init__(self, app: Any, policy: WebPolicy) -> None:
        config = uvicorn.Config(app, "127.0.0.1", 0, log_level="error")
        self.server = uvicorn.Server(config)
        thread = threading.Thread(target=self.server.run, daemon=True)
        thread.start()
        while not self.server.started:
            time.sleep(0.01)
        bound_sockets(self.server, policy)
        self.address = self.server.servers[0].sockets[0].getsockname()

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(self.address, 60, source_address=(source, 0))

    def get(self, source: str = "127.0.0.1") -> int:
        transport = httpx.HTTPTransport(local_address=source)
        with httpx.Client(transport=transport, timeout=60) as visitor:
            return visitor.get(f"http://127.0.0.1:{self.address[1]}/").status_code


@pytest.fixture
def served(tmp_path) -> Iterator[Served]:
    policy = WebPolicy(limits=LIMITS)
    site = Served(guarded(tmp_path, policy), policy)
    yield site
    site.server.should_exit = True


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection to which it says nothing; waits for it."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_sockets_are_bounded_and_others_are_served(served):
    many = [served.connect() for _ in range(30)]
    # Those beyond the share are closed at once, the others when no request comes.
    assert served.get("127.0.0.2") == 200
    assert all(is_closed(connection) for connection in many)
    assert served.get() == 200


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: local"])
def test_half_a_request_is_not_waited_for(served, begun):
    connection = served.connect()
    connection.sendall(begun)
    assert is_closed(connection)


def test_half_a_request_after_a_whole_one_is_not_waited_for_either(served):
    connection = served.connect()
    whole = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection.sendall(whole)
    assert connection.recv(12) == b"HTTP/1.1 200"
    connection.sendall(b"GET / HT")
    while (received := connection.recv(65536)) != b"":
        assert received


def test_two_pages_of_one_process_name_their_own_folders(tmp_path):
    folders = ServedFolders()
    for page in ("one", "two"):
        folders.add("results", tmp_path / page)
    folders.add("results", tmp_path / "one")
    assert folders.told(tmp_path / "one" / "a.ply") == "@results/a.ply"
    assert folders.told(tmp_path / "two" / "a.ply") == "@results-2/a.ply"
    assert folders.meant("@results-2/a.ply") == str(tmp_path / "two" / "a.ply")
    assert str(tmp_path) not in folders.told_in(f"{tmp_path}/two/a.ply, {tmp_path}/one/b.ply")


def test_scenes_may_be_embedded_anywhere_and_the_page_may_not(tmp_path):
    def policy(path: str) -> list[str]:
        return ask(guarded(tmp_path), path).headers["content-security-policy"].split()

    assert "*" in policy("/s/abc")
    assert "*" in policy("/gradio_api/file=@viewer/index.html")
    assert "*" not in policy("/")
