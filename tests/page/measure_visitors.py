"""How the page serves many visitors: `python tests/page/measure_visitors.py` ends with JSON.

Starts the page on 127.0.0.1 and sends it rounds of visitors, each from a loopback address of its
own, who ask for a scene by a few steps at nearly the same time. A third of each round does not
stay: half of these cancel while they wait or while their run goes on, the others just leave.

- `served`, `asked_and_stayed`: runs that gave a scene, and visitors who waited for one;
- `out_of_order`: visitors served before one who stayed and had come earlier;
- `left_but_computed`: scenes made for visitors who had gone before their turn;
- `wait_error_median`, `wait_error_worst_tenth`: |told − true| ÷ true of the time until the result,
  by what each of those who stayed was told first after the last had left;
- `seconds_median`, `seconds_worst`: from asking to the result;
- `attack`: seconds until a visitor's result with nobody else about, and of another one at each of
  two attacks, in which 40 clients at once call every function that is not queued; `dead` if the
  page then shows nothing more;
- `memory_mb`: resident after so many requests; `memory_growth`: last ÷ after the first round.

Nothing but this machine is spoken to, and no more than `--rounds` times `--visitors` requests.
"""

import argparse
import contextlib
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
from visitors import Visitor

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))

GAP_SECONDS = 0.05
"""Between one visitor's coming and the next, so that their order is known."""
MAX_REQUESTS = 1000
ATTACK = 40
"""Requests to each function, as many as the server has threads."""
ATTACKED_STEPS = 60
"""Of the run that goes on meanwhile."""


@dataclass
class Visit:
    """What became of a visitor."""

    number: int
    leaves: str = ""
    """`cancel`, `go` or nothing."""
    asked: float = 0.0
    told: list[tuple[float, float]] = field(default_factory=list)
    """When something was told, and when the result would be there by that."""
    served: float = math.nan
    """When; not a number if it was not."""
    settled: float = math.inf
    """When all had left who do not stay."""
    refused: int | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description="How the page serves many visitors.")
    parser.add_argument("--model", default="tiny", help="tiny, of the tests, mini or a folder")
    parser.add_argument("--visitors", type=int, default=30, help="of a round")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, nargs="+", default=[2, 4, 8], help="asked in turn")
    parser.add_argument("--port", type=int, default=7899)
    args = parser.parse_args()
    if args.visitors * args.rounds > MAX_REQUESTS:
        raise SystemExit(f"at most {MAX_REQUESTS} requests")
    with tempfile.TemporaryDirectory() as folder:
        model = save_tiny_model(Path(folder)) if args.model == "tiny" else args.model
        command = [sys.executable, "-m", "videorfsplat", "page", "--model", model]
        command += ["--port", str(args.port), "--cache", f"{folder}/cache"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            address = f"http://127.0.0.1:{args.port}"
            wait_for(address, process)
            print(json.dumps(measure(address, process.pid, args, Path(folder) / "cache")))
        finally:
            process.terminate()
            process.wait()


def save_tiny_model(folder: Path) -> str:
    from tiny import tiny_pipeline

    tiny_pipeline().save_pretrained(folder / "model")
    return str(folder / "model")


def wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 600
    while True:
        try:
            httpx.get(address, timeout=60)
            return
        except httpx.HTTPError:
            if process.poll() is not None:
                raise SystemExit("the page did not open") from None
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def measure(address: str, process: int, args: argparse.Namespace, cache: Path) -> dict[str, Any]:
    config = httpx.get(f"{address}/config", timeout=60).json()
    generate = next(d["id"] for d in config["dependencies"] if d["api_name"] == "generate")
    warm = Visitor(address)
    # So that the page has seen runs like these, besides the one in which it loads the model.
    begun = [args.steps[0], *sorted(set(args.steps))]
    for steps in begun:
        warm.join(generate, "a red house", 0, steps, 0.2, 1, 1, 1, "", None, True)
        warm.result()
    attack = attacked(address, generate, config["dependencies"])
    begun += [ATTACKED_STEPS] * 4
    print(f"attack: {attack}", file=sys.stderr)
    visits: list[Visit] = []
    memory = {}
    for round_ in range(args.rounds):
        visits += serve_round(address, generate, args.visitors, args.steps, round_)
        memory[len(visits)] = resident_mb(process)
        print(f"{len(visits)} requests, {memory[len(visits)]:.0f} MB", file=sys.stderr)
    stayed = [v for v in visits if not v.leaves and v.refused is None]
    served = [v for v in stayed if not math.isnan(v.served)]
    errors = [error for visit in served for error in wait_errors(visit)]
    folders = [path for path in (cache / "requests").iterdir() if path.is_dir()]
    seconds = [visit.served - visit.asked for visit in served]
    return {
        "asked_and_stayed": len(stayed),
        "served": len(served),
        "refused": [v.refused for v in visits if v.refused is not None],
        "out_of_order": out_of_order(served),
        "left": sum(bool(v.leaves) for v in visits),
        "left_but_computed": len(folders) - len(served) - len(begun),
        "wait_error_median": round(median(errors), 3),
        "wait_error_worst_tenth": round(quantiles(errors, n=10)[-1], 3),
        "seconds_median": round(median(seconds), 1),
        "seconds_worst": round(max(seconds), 1),
        "attack": attack,
        "memory_mb": {count: round(size) for count, size in memory.items()},
        "memory_growth": round(memory[len(visits)] / memory[args.visitors], 3),
    }


def attacked(address: str, generate: int, functions: list[dict[str, Any]]) -> dict[str, Any]:
    """How long a run takes alone, and while one visitor calls all that is not queued."""
    unqueued = [(fn["id"], len(fn["inputs"])) for fn in functions if fn["queue"] is False]
    alone, during = [], []
    for seconds in (alone, alone, during, during):
        visitor = Visitor(address)
        begun = time.monotonic()
        visitor.join(generate, "a red house", 0, ATTACKED_STEPS, 0.2, 1, 1, 1, "")
        calls = [
            threading.Thread(target=call_all, args=(address, visitor.session, unqueued))
            for _ in range(ATTACK if seconds is during else 0)
        ]
        for call in calls:
            call.start()
        assert visitor.result()["success"]
        seconds.append(round(time.monotonic() - begun, 1))
        for call in calls:
            call.join()
    shown = httpx.get(address, timeout=60).status_code == 200
    requests = ATTACK * len(unqueued)
    return {"requests": requests, "alone": alone, "during": during, "dead": not shown}


def call_all(address: str, session: str, functions: list[tuple[int, int]]) -> None:
    """As the visitor's own tab, one function after the other, whatever comes of it."""
    with httpx.Client(base_url=f"{address}/gradio_api", timeout=180) as http:
        for function, num_inputs in functions:
            data = [None] * num_inputs
            body = {"data": data, "fn_index": function, "session_hash": session}
            with contextlib.suppress(httpx.HTTPError):
                http.post("/run/predict", json=body)


def serve_round(
    address: str, generate: int, count: int, steps: list[int], round_: int
) -> list[Visit]:
    visits = [Visit(n, ("", "", "cancel", "", "", "go")[n % 6]) for n in range(count)]
    left = threading.Event()
    threads = []
    for visit in visits:
        source = f"127.0.{round_ + 1}.{visit.number + 2}"
        values = (f"a red house {visit.number}", visit.number, steps[visit.number % len(steps)])
        visitor = Visitor(address, source)
        visit.asked = time.monotonic()
        answer = visitor.join(generate, *values, 0.2, 1, 1, 1, "", None, True)
        if answer.status_code != 200:
            visit.refused = answer.status_code
            continue
        event = answer.json()["event_id"]
        arguments = (visit, visitor, generate, event, left)
        thread = threading.Thread(target=spend, args=arguments, daemon=True)
        thread.start()
        threads.append((visit, thread))
        time.sleep(GAP_SECONDS)
    left.set()
    for visit, thread in threads:
        if visit.leaves:
            thread.join()
    settled = time.monotonic()
    for visit, thread in threads:
        visit.settled = settled
        thread.join()
    return visits


def spend(
    visit: Visit, visitor: Visitor, generate: int, event: str, all_are_there: threading.Event
) -> None:
    """What a visitor does after asking."""
    for message in visitor.messages():
        now = time.monotonic()
        if visit.leaves and (all_are_there.is_set() or message["msg"] == "process_generating"):
            if visit.leaves == "cancel":
                body = {"session_hash": visitor.session, "fn_index": generate, "event_id": event}
                visitor.post("/cancel", json=body)
            return
        if message["msg"] == "estimation" and message["rank_eta"] is not None:
            visit.told.append((now, now + message["rank_eta"]))
        if message["msg"] == "process_completed":
            if message["success"]:
                visit.served = now
            return


def wait_errors(visit: Visit) -> list[float]:
    """Of the first that was told after the line had settled; nothing if none was."""
    told = [pair for pair in visit.told if pair[0] >= visit.settled][:1]
    return [abs(expected - visit.served) / (visit.served - then) for then, expected in told]


def out_of_order(served: list[Visit]) -> int:
    rounds: list[list[Visit]] = []
    for visit in served:
        if not rounds or visit.number <= rounds[-1][-1].number:
            rounds.append([])
        rounds[-1].append(visit)
    return sum(later.served < earlier.served for one in rounds for earlier, later in pairwise(one))


def resident_mb(process: int) -> float:
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
