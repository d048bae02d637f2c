"""What only tests use is deleted, or said to be there for other programs."""

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {path: path.read_text() for path in (ROOT / "videorfsplat").rglob("*.py")}


def words_without_texts(source: str) -> list[str]:
    return re.findall(r"\w+", re.sub(r'""".*?"""', "", source, flags=re.DOTALL))


def test_names_that_nothing_uses_are_in_the_list_of_the_architecture():
    users = [*TEXTS.values(), *(path.read_text() for path in (ROOT / "examples").glob("*.py"))]
    uses = Counter(word for text in users for word in words_without_texts(text))
    public = {
        node.name
        for text in TEXTS.values()
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    unused = {name for name in public if uses[name] == 1}
    guide = (ROOT / "videorfsplat" / "README.md").read_text()
    section = re.search(r"^## Public, and used by nothing in here\n(.*?)^## ", guide, re.M | re.S)
    assert section is not None
    assert unused == set(re.findall(r"`(\w+)`", section[1]))
