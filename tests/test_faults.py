"""A small part of the fault matrix (`faults.py`): what is stopped anywhere goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_commands_survive_faults_at_random_moments():
    script = Path(__file__).with_name("faults.py")
    words = ["--tries", "1", "--commands", "export sog", "train joint"]
    kinds = ["--kinds", "kill -9", "Ctrl-C", "disk full", "read-only folder"]
    done = subprocess.run(
        [sys.executable, str(script), *words, *kinds],
        capture_output=True,
        text=True,
        # A fork has but one thread, which must not wait for others.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)["survived of tried"]
    assert counts["kill -9"] == counts["disk full"] == [2, 2]
    assert counts["read-only folder"] == [2, 2]
