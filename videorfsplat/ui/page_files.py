"""Addresses of files on the page, and the files that the page itself is made of."""

from pathlib import Path
from urllib.parse import quote

ASSETS_FOLDER = Path(__file__).parent / "assets"


def file_url(path: Path) -> str:
    """The address of a served file, relative to the page, so that it holds behind any proxy."""
    return f"gradio_api/file={quote(str(path))}"


def read_asset(name: str) -> str:
    """The text of a style sheet or script of the page."""
    return (ASSETS_FOLDER / name).read_text(encoding="utf-8")
