"""The command line: `videorfsplat COMMAND …`, or `python -m videorfsplat COMMAND …`."""

import importlib
import logging
import sys
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name; those of this process if None.

    Returns:
        The exit code: 0, 2 if the input was refused, or 1 if the work failed.

    Raises:
        SystemExit: after help, or if the words are not understood (2).
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words == ["--version"]:
        print(__version__)
        return 0
    name = chosen_word("videorfsplat", "Text to a 3D Gaussian scene.", COMMANDS, words)
    command = importlib.import_module(f"videorfsplat.commands.{name.replace('-', '_')}")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    # Requests to a hub are no news to whoever asked for a model.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        return command.main(words[1:])
    except (ValueError, OSError) as error:
        logging.getLogger(__name__).debug("refused", exc_info=True)
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def run(*first_words: str) -> NoReturn:
    """Be this process: run one command, and exit with its code.

    Args:
        first_words: words before those of the process.
    """
    keep_freed_memory()
    sys.exit(main([*first_words, *sys.argv[1:]]))


if __name__ == "__main__":
    run()
