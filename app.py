"""The page with this repository's example scenes, as a Space opens it: `python app.py --help`."""

from pathlib import Path

from videorfsplat.__main__ import run

EXAMPLES = Path(__file__).resolve().parent / "examples" / "scenes"

if __name__ == "__main__":
    run("page", "--examples", str(EXAMPLES))
