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
        assert "*" in ask(app, path).headers["content-security-policy"].split()
    assert "*" not in ask(app, "/").headers["content-security-policy"].split()
