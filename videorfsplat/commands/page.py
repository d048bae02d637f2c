"""`page`: the page, served until it is interrupted."""

import argparse
import socket
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
    if args.port is not None:
        _check_port(args.port)
    from videorfsplat.ui.page import open_page

    open_page(args.model, args.device, args.port, args.cache, args.examples, args.host)
    return 0


def _check_port(port: int) -> None:
    """Say at once what Gradio would say after its libraries and the model are loaded."""
    if not 1 <= port <= 65_535:
        raise ValueError(f"port must lie in [1, 65535], got {port}")
    with socket.socket() as probe:
        # A port that a program has just left is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(f"port {port} cannot be used ({error.strerror})") from error


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
