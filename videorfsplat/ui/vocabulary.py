"""Words of a prompt that the small model never saw in training."""

import html
import re

from videorfsplat.data.worlds.captions import VOCABULARY
from videorfsplat.data.worlds.grammar import GROUNDS, TIMES
from videorfsplat.data.worlds.motions import MOTIONS
from videorfsplat.data.worlds.objects import KINDS, PALETTE
from videorfsplat.language.limits import MAX_PROMPT_CHARACTERS

# A word of any script, so that what is not English is marked as well.
_WORD = re.compile(r"\w+(?:[-'’]\w+)*")


def unknown_words(prompt: str) -> list[str]:
    """The words that no training caption has, in the order of the prompt, each once.

    Raises:
        ValueError: if the prompt is longer than one may be.
    """
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise ValueError(f"Write at most {MAX_PROMPT_CHARACTERS} characters.")
    words = dict.fromkeys(match.group().lower() for match in _WORD.finditer(prompt))
    return [word for word in words if word not in VOCABULARY]


def marked_prompt(prompt: str) -> str:
    """The prompt as HTML with unknown words marked and named; nothing if there are none.

    Raises:
        ValueError: if the prompt is longer than one may be.
    """
    unknown = dict.fromkeys(unknown_words(prompt))
    if not unknown:
        return ""

    def mark(match: re.Match[str]) -> str:
        word = match.group()
        return f"<mark>{word}</mark>" if word.lower() in unknown else word

    pieces = re.split(r"([^\w'’-]+)", prompt)
    marked = "".join(
        html.escape(piece) if index % 2 else _WORD.sub(mark, piece)
        for index, piece in enumerate(pieces)
    )
    return (
        '<p class="unknown-words" role="status"><strong>New to this model:</strong> '
        f"{', '.join(html.escape(word) for word in unknown)}. It will guess or ignore "
        f'{"it" if len(unknown) == 1 else "them"}.<span class="echo">{marked}</span></p>'
    )


def describe_vocabulary() -> str:
    """What the small model can draw, as HTML."""
    return (
        f"It has seen only drawn outdoor worlds: one of <b>{len(KINDS)} objects</b> "
        f"({', '.join(KINDS)}) in {len(PALETTE)} colours ({', '.join(PALETTE)}), on one of "
        f"{len(GROUNDS)} grounds ({', '.join(GROUNDS)}), at {', '.join(TIMES)}, filmed with one "
        f"of {len(MOTIONS)} camera motions. No people, no rooms, no photographs."
    )
