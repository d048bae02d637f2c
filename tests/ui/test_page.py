"""The page's modules: nothing happens, and no model library is loaded, when they are imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import importlib, json, sys, threading
before = threading.active_count()
importlib.import_module(sys.argv[1])
heavy = [name for name in ("torch", "diffusers", "transformers", "numba") if name in sys.modules]
print(json.dumps([heavy, threading.active_count() - before]))
"""


@pytest.mark.parametrize("module", ["app", "videorfsplat.ui.page"])
def test_importing_it_runs_nothing_and_loads_no_model_library(module):
    command = [sys.executable, "-c", SCRIPT, module]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    heavy, threads = json.loads(found.stdout.splitlines()[-1])
    assert heavy == []
    assert threads == 0
