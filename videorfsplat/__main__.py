"""The command line: `videorfsplat COMMAND …`, or `python -m videorfsplat COMMAND …`."""

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from videorfsplat import __version__
from videorfsplat.commands import BAD_INPUT, FAILED, chosen_word
from videorfsplat.generation.allocator import keep_freed_memory

COMMANDS = {
    "generate": "make a 3D scene from a sentence",
    "render": "render a scene or a splat file along a camera path",
    "export": "convert a scene or a splat file to another format",
    "page": "open the page in a browser",
    "data": "make training data",
    "train": "train one part of the model",
    "assemble": "put trained parts together into one model",
    "evaluate": "measure a model on held-out worlds",
    "bench": "measure how fast rendering and generation are here",
    "info": "count the parameters of a model",
    "gpu-check": "check and measure everything that only a GPU can prove",
}


# What a command needs beside what every installation has.
EXTRAS = {"page": "page", "evaluate": "evaluation", "train": "training"}

_DESCRIPTION = (
    "Text to a 3D Gaussian scene. --verbose before COMMAND shows where an error came from."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name; those of this process if None. With
            `--verbose` as the first, or `VIDEORFSPLAT_VERBOSE=1` in the environment, an error in
            the input comes with its traceback. One in the program always does.

    Returns:
        The exit code: 0, 2 if the input was refused, or 1 if the work failed.

    Raises:
        SystemExit: after help, or if the words are not understood (2).
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words == ["--version"]:
        print(__version__)
        return 0
    is_verbose = words[:1] == ["--verbose"]
    words = words[is_verbose:]
    is_verbose = is_verbose or os.environ.get("VIDEORFSPLAT_VERBOSE", "0") not in ("", "0")
    name = chosen_word("videorfsplat", _DESCRIPTION, COMMANDS, words)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    # Requests to a hub are no news to whoever asked for a model.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        command = importlib.import_module(f"videorfsplat.commands.{name.replace('-', '_')}")
        return command.main(words[1:])
    except (ValueError, OSError) as error:
        return _complain(" ".join(str(error).split()), BAD_INPUT, is_verbose)
    except FloatingPointError as error:
        return _complain(str(error), FAILED, is_verbose)
    except ModuleNotFoundError as error:
        if name not in EXTRAS or (error.name or "").startswith("videorfsplat"):
            raise
        install = f"pip install 'videorfsplat[{EXTRAS[name]}]'"
        return _complain(f"{error.name} is not installed: {install}", FAILED, is_verbose)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _complain(message: str, code: int, is_verbose: bool) -> int:
    """Say what is wrong with the exception at hand; returns the code."""
    if is_verbose:
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    return code


def run(*first_words: str) -> NoReturn:
    """Be this process: run one command, and exit with its code.

    Args:
        first_words: words before those of the process.
    """
    keep_freed_memory()
    sys.exit(main([*first_words, *sys.argv[1:]]))


if __name__ == "__main__":
    run()
