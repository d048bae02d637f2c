"""app.py as a module: short, and nothing happens when it is imported."""

import json
import subprocess
import sys
from pathlib import Path

APP = Path(__file__).resolve().parents[2] / "app.py"

SCRIPT = """
import json, sys, threading
before = threading.active_count()
import app
heavy = [name for name in ("torch", "diffusers", "transformers", "numba") if name in sys.modules]
print(json.dumps([heavy, threading.active_count() - before]))
"""


def test_stays_layout_and_wiring():
    lines = APP.read_text().splitlines()
    assert len(lines) < 250
    assert not [line for line in lines if "torch" in line.split("#")[0] and "import" in line]


def test_importing_it_runs_nothing_and_loads_no_model_library():
    command = [sys.executable, "-c", SCRIPT]
    found = subprocess.run(command, cwd=APP.parent, capture_output=True, text=True, check=True)
    heavy, threads = json.loads(found.stdout.splitlines()[-1])
    assert heavy == []
    assert threads == 0
