"""The commands, a module each.

A command is a module with `main(words)`, which returns the exit code.

Libraries that take seconds to load are imported by the function that runs the command, after what
can be checked without them: help and refusals are immediate.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

BAD_INPUT = 2
"""Exit code when the input is refused."""
FAILED = 1
"""Exit code when the input was fine and the work failed."""


class CommandParser(argparse.ArgumentParser):
    """A parser whose complaint is one line; the usage is for those who ask."""

    def error(self, message: str) -> NoReturn:
        """Complain and exit."""
        self.exit(BAD_INPUT, f"error: {message} (see {self.prog} --help)\n")


def chosen_word(
    prog: str, description: str, choices: Mapping[str, str], words: Sequence[str]
) -> str:
    """The first word, if it is one of `choices` (name → help)."""
    parser = CommandParser(prog=prog, description=description)
    subparsers = parser.add_subparsers(dest="word", metavar="COMMAND", required=True)
    for name, text in choices.items():
        subparsers.add_parser(name, help=text, add_help=False)
    return parser.parse_args(words[:1]).word


@dataclass(frozen=True)
class Command:
    """One command: how it is called, what it does, what it reports."""

    prog: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], dict[str, Any]]
    """Does the work and returns a report that can be written as JSON; `errors` in it, if any, are
    what failed."""
    describe: Callable[[dict[str, Any]], str]
    """The report for people."""

    def main(self, words: Sequence[str]) -> int:
        """Parse the words, run and print the report; returns the exit code.

        Nothing but the report reaches standard output.
        """
        parser = CommandParser(prog=self.prog, description=self.description)
        self.add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="report as one JSON object")
        args = parser.parse_args(words)
        with contextlib.redirect_stdout(sys.stderr):
            report = self.run(args)
        print(json.dumps(report, allow_nan=False) if args.json else self.describe(report))
        return FAILED if report.get("errors") else 0


def table(rows: Mapping[str, Any]) -> str:
    """One line a row, values aligned."""
    width = max(len(name) for name in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())
