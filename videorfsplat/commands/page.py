"""`page`: the page, served until it is interrupted."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from videorfsplat.commands import CommandParser

_DESCRIPTION = "Serve the page: a sentence becomes a scene to walk through and to download."
_CACHE = Path.home() / ".cache" / "videorfsplat" / "page"


def main(words: Sequence[str]) -> int:
    """Parse the words and serve; returns the exit code."""
    parser = CommandParser(prog="videorfsplat page", description=_DESCRIPTION)
    _add_arguments(parser)
    args = parser.parse_args(words)
    from videorfsplat.ui.page import open_page

    open_page(args.model, args.device, args.port, args.cache, args.examples, args.host)
    return 0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="mini", help="mini, a saved pipeline or a hub id")
    parser.add_argument("--device", default="auto", help="torch device (default: auto)")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--cache", type=Path, default=_CACHE, help=f"results (default: {_CACHE})")
    parser.add_argument("--examples", type=Path, help="folder of scenes made earlier")
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        help="a name that the page is reached under, as behind a proxy; may be given again",
    )
