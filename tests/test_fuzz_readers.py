"""A tenth of the fuzz suite (`fuzz_readers.py`): no input ends a process or takes the machine."""

import json
import subprocess
import sys
from pathlib import Path

NUM_INPUTS = 2000


def test_every_mutated_file_is_read_or_refused_in_words():
    script = Path(__file__).with_name("fuzz_readers.py")
    words = [sys.executable, str(script), "--inputs", str(NUM_INPUTS)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    total = json.loads(done.stdout)["total"]
    print(total)
    assert sum(total.values()) == NUM_INPUTS
    # Were none of them read, or all, the mutations would be too strong or too weak to tell.
    assert total["result"] > NUM_INPUTS / 20
    assert total["ValueError"] > NUM_INPUTS / 20
