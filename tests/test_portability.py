"""The package imports where POSIX's own modules are not."""

import ast
from pathlib import Path

import videorfsplat

POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios"}


def test_no_module_needs_a_module_of_posix_to_be_imported():
    package = Path(videorfsplat.__file__).parent
    found = {}
    for path in (package.parent / "app.py", *package.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if POSIX_ONLY & {name.split(".")[0] for name in names}:
                found[path.name] = node.lineno
    assert not found
