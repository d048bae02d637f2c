"""The page as programs use it: endpoints, several at once, files, MCP."""

import concurrent.futures
import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import plyfile
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from tiny import HEIGHT, NUM_VIEWS, WIDTH

ENDPOINTS = {"/generate", "/generate_few_step", "/compare"}
ENDPOINTS |= {"/download", "/film", "/timetable", "/read_prompt"}


def client_of(site: Any, folder: Path) -> Client:
    # The usual five seconds are not enough on a machine that does much else.
    patience = {"timeout": 600}
    return Client(site.address, verbose=False, download_files=str(folder), httpx_kwargs=patience)


@pytest.fixture
def client(site, tmp_path) -> Client:
    return client_of(site, tmp_path)


def test_endpoints_are_named_and_typed(client):
    info = client.view_api(return_format="dict", print_info=False)
    assert set(info["named_endpoints"]) == ENDPOINTS
    generate = info["named_endpoints"]["/generate"]
    types = {p["parameter_name"]: p["python_type"]["type"] for p in generate["parameters"]}
    assert types["prompt"] == "str"
    assert types["seed"] == "int"
    assert types["pose_offset"] == "float"
    assert "scene" in generate["returns"][0]["type"]["properties"]


def test_generates_and_converts(client):
    result = client.predict("a red house", seed=5, num_inference_steps=2, api_name="/generate")
    scene = result["scene"]
    count = NUM_VIEWS * WIDTH * HEIGHT
    assert len(plyfile.PlyData.read(scene["ply"])["vertex"]) == count
    assert len(scene["frames"]) == NUM_VIEWS
    assert scene["record"]["seed"] == 5
    spz = client.predict(scene["name"], file_name="scene.spz", api_name="/download")
    assert Path(spz).stat().st_size > 0
    film = client.predict(scene["name"], path="spiral", api_name="/film")
    assert Path(film).suffix == ".mp4"


def test_generates_by_few_steps(client):
    result = client.predict("a red house", seed=5, api_name="/generate_few_step")
    settings = result["scene"]["record"]["settings"]
    assert (settings["few_step"], settings["num_inference_steps"]) == (True, 2)
    assert settings["guidance_scale"] == 1


def test_compares(client):
    result = client.predict("a house", num_inference_steps=2, api_name="/compare")
    offsets = [scene["record"]["settings"]["pose_offset"] for scene in result["scenes"]]
    assert offsets == [0.0, 0.2]


def test_tells_the_timetable(client):
    rows = client.predict(10, pose_offset=0.2, api_name="/timetable")
    assert len(rows) == 11
    assert rows[0] == {"step": 0, "t_image": 1.0, "t_pose": 1.0}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"prompt": ""}, "Write a sentence"),
        ({"prompt": "a house", "num_inference_steps": 1000}, "between 1 and 60"),
        ({"prompt": "a house", "trajectory": "/etc/passwd"}, "must be empty or one of"),
    ],
)
def test_bad_requests_are_refused_in_words(client, site, values, words):
    with pytest.raises(AppError, match=words):
        client.predict(**values, api_name="/generate")
    assert site.steps == 0


def test_requests_without_bounds_are_refused(client, site):
    with pytest.raises(AppError, match="between 1 and 60"):
        client.predict(10**8, api_name="/timetable")
    with pytest.raises(AppError, match="pose_offsets: Tuple should have at most 2 items"):
        client.predict("a house", pose_offsets=(0.0, 0.1, 0.2), api_name="/compare")
    assert site.steps == 0


def test_a_cancelled_job_stops(client, site):
    site.hold(after=1)
    job = client.submit("a house", num_inference_steps=60, api_name="/generate")
    next(iter(job))
    site.wait_until(lambda: site.steps == 2)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        # The answer comes when the step that is running has ended.
        cancelling = pool.submit(job.cancel)
        site.wait_until(lambda: site.cancels == 1)
        site.let_go(steps=1)
        cancelling.result()
    # Unlike Stop on the page, Gradio tells of this only as the step's result is taken: by then the
    # next one has begun.
    site.wait_until(lambda: site.running == 0)
    site.let_go()
    site.events.host.run(lambda: None)
    assert site.steps == 3


def test_three_at_once_are_all_served_each_with_their_own(site, tmp_path):
    clients = [client_of(site, tmp_path / str(seed)) for seed in (1, 2, 3)]

    def run(seed: int) -> dict:
        values = {"seed": seed, "num_inference_steps": 2, "api_name": "/generate"}
        return clients[seed - 1].predict(f"a house {seed}", **values)["scene"]

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        scenes = list(pool.map(run, (1, 2, 3)))
    assert [scene["record"]["seed"] for scene in scenes] == [1, 2, 3]
    assert len({scene["name"] for scene in scenes}) == 3
    pictures = [Path(scene["frames"][0]).read_bytes() for scene in scenes]
    assert len(set(pictures)) == 3


def test_only_results_are_served(site, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    requests = site.events.files.root
    for path in (secret, requests, requests.parent / "model" / "model_index.json"):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(f"{site.address}/gradio_api/file={path}")
        assert refusal.value.code == 403
    around = f"{requests}/../model/model_index.json"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{site.address}/gradio_api/file={around}")


def test_kept_scenes_are_found_by_name_only(client, site):
    scene = client.predict("a house", num_inference_steps=1, api_name="/generate")["scene"]
    shutil.rmtree(site.events.files.root / scene["name"])
    with pytest.raises(AppError, match="not kept any more"):
        client.predict(scene["name"], api_name="/download")
    with pytest.raises(AppError, match="not kept any more"):
        client.predict("../examples/house", api_name="/download")


def test_is_an_mcp_server(site):
    schema = json.load(urllib.request.urlopen(f"{site.address}/gradio_api/mcp/schema"))
    names = {tool["name"] for tool in schema}
    assert {endpoint.strip("/") for endpoint in ENDPOINTS} <= {
        name.removeprefix("app_") for name in names
    }
    generate = next(tool for tool in schema if tool["name"].endswith("generate"))
    assert "sentence" in generate["description"]
    assert generate["inputSchema"]["properties"]["pose_offset"]["type"] == "number"
