"""Sentences as people write them, with what they state: what the text encoder learns from.

Attributes are drawn independently of one another, unlike those of worlds: a castle under water or a
green horse has to be read as well as any other.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from videorfsplat.data.worlds.caption_words import (
    ACCENT_PARTS,
    ATTRIBUTE_VALUES,
    BACKGROUND_WORDS,
    COLOR_WORDS,
    COLORED_FLOWERS,
    GROUND_WORDS,
    KIND_WORDS,
    MOTION_WORDS,
    NIGHT_CLEAR_WORDS,
    ROOFED,
    SECONDARY_WORDS,
    SIZE_WORDS,
    TIME_WORDS,
    UNMENTIONED,
    WEATHER_WORDS,
)
from videorfsplat.data.worlds.captions import (
    Mentions,
)
from videorfsplat.language.lexicon import color_names, read_lexicon, read_phrases
from videorfsplat.language.sentence_words import (
    COLOR_TAILS,
    EMPTY_ADJECTIVES,
    ISH,
    SMALL_TALK,
    SMALL_TALK_SHARE,
)

_OPEN, _CLOSE = "\x02", "\x03"  # around the name of the main object, until the text stands

# Shares of sentences, chosen so that each sort is seen some thousands of times in a training.
_FOREIGN_SHARE, _NOTHING_SHARE, _SCENERY_SHARE = 0.025, 0.025, 0.03
_NEAR_SHARE, _DESCRIPTION_SHARE, _CAPTION_NOUN_SHARE = 0.18, 0.3, 0.1
_RARE_SHARE, _NAMED_COLOR_SHARE = 0.3, 0.35
_TYPO_SHARE, _FILLER_SHARE, _OWN_WORDS_SHARE = 0.06, 0.18, 0.65


@dataclass(frozen=True)
class Sentence:
    """A sentence and what it states."""

    text: str
    mentions: Mentions
    """As `captions.caption_mentions` gives them."""
    relation: str
    """One of `models.prompt_reader.RELATIONS`."""
    name: tuple[int, int] | None = None
    """First and last + 1 character of the name of the main object, if it has one."""


@dataclass
class _Draft:
    """A sentence on its way: what it states so far."""

    rng: np.random.Generator
    world: Mentions | None = None
    """What there is to speak of, as `captions.attributes` gives it; anything if absent."""
    mentions: Mentions = field(init=False)
    relation: str = "none"

    def __post_init__(self) -> None:
        self.mentions = dict.fromkeys(ATTRIBUTE_VALUES, UNMENTIONED)
        self.mentions["secondary"] = []
        self.mentions["secondary_color"] = []

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def pick(self, values):
        return values[int(self.rng.integers(len(values)))]

    def choose(self, attribute: str) -> str:
        """A value of the attribute, which is then stated; empty where a world has none."""
        if self.world is not None:
            value = str(self.world[attribute]).replace("none", "")
        else:
            value = self.pick([v for v in ATTRIBUTE_VALUES[attribute] if v != "none"])
        if value:
            self.mentions[attribute] = value
        return value


class SentenceWriter:
    """Writes sentences.

    Args:
        wordnet: folder of a WordNet database, which adds words and descriptions; `None` does
            without.
        held_out: sentences whose words and phrases must not be learned.
    """

    def __init__(self, wordnet: str | Path | None = None, held_out: Iterable[str] = ()) -> None:
        sentences = list(held_out)
        self.lexicon = read_lexicon(wordnet, sentences)
        self.phrases = read_phrases(sentences)
        self.color_names = color_names(sentences)
        self._slots: dict[str, Callable[[_Draft], str]] = {
            "main": self._main,
            "ground": self._ground,
            "time": self._time,
            "weather": self._weather,
            "background": self._background,
            "things": self._things,
            "motion": self._motion,
        }

    def texts(self) -> list[str]:
        """All English that sentences are made of, but for WordNet's."""
        parts: list[str] = [*_strings(v for k, v in self.phrases.items() if k != "foreign")]
        for words in self.lexicon.values():
            parts += [*words.nouns, *words.near, *words.descriptions]
        return parts

    def write(self, rng: np.random.Generator) -> Sentence:
        """One sentence."""
        draft = _Draft(rng)
        sort = rng.random()
        if sort < _FOREIGN_SHARE:
            languages = self.phrases["foreign"]
            draft.relation = "foreign"
            return self._finished(draft, draft.pick(languages[draft.pick(sorted(languages))]))
        if sort < _FOREIGN_SHARE + _NOTHING_SHARE:
            return self._finished(draft, draft.pick(self.phrases["nothing"]))
        if sort < _FOREIGN_SHARE + _NOTHING_SHARE + _SCENERY_SHARE:
            return self._finished(draft, self._listed(draft, ["ground", "time", "weather"], 0.7))
        text = self._listed(draft, list(self._slots), 0.42) if draft.chance(0.3) else None
        if text is None:
            sort = draft.pick(("frames", "frames", "frames", "frames_plain", "frames_tags"))
            text = self._filled(draft, draft.pick(self.phrases[sort]), sort == "frames_tags")
        return self._finished(draft, text)

    def write_about(self, world: Mentions, rng: np.random.Generator) -> Sentence:
        """One sentence about a world, which says some of what it has.

        Args:
            world: as `captions.attributes` gives it.
            rng: of the words.
        """
        draft = _Draft(rng, world)
        text = self._listed(draft, list(self._slots), 0.42) if draft.chance(0.3) else None
        if text is None:
            lacks = [] if world["secondary"] else ["{things}"]
            lacks += ["{background}"] if world["background"] == "none" else []
            frames = self.phrases[draft.pick(("frames", "frames", "frames_plain"))]
            fitting = [f for f in frames if not any(slot in f for slot in lacks)]
            text = self._filled(draft, draft.pick(fitting), with_tags=False)
        return self._finished(draft, text)

    def _filled(self, draft: _Draft, frame: str, with_tags: bool) -> str:
        def part(match: re.Match[str]) -> str:
            name = match[1]
            if with_tags and name in ("time", "weather", "background") and draft.chance(0.8):
                return self._tag(draft, name)
            return self._slots[name](draft)

        return re.sub(r"\{(\w+)\}", part, frame)

    def _listed(self, draft: _Draft, names: list[str], share: float) -> str:
        """Parts one after the other in any order, the main object mostly first."""
        has_main = "main" in names
        rest = [name for name in names if name != "main" and draft.chance(share)]
        draft.rng.shuffle(rest)
        if has_main:
            rest.insert(0 if draft.chance(0.75) else int(draft.rng.integers(len(rest) + 1)), "main")
        parts = [self._slots[name](draft) for name in rest or names[:1]]
        named = zip(rest or names[:1], parts, strict=True)
        parts = [f"with {part}" if name == "things" else part for name, part in named if part]
        return draft.pick((", ", ", ", " ", ". ", " - ")).join(parts)

    # --- parts ------------------------------------------------------------------------------------

    def _main(self, draft: _Draft) -> str:
        if draft.mentions["kind"] != UNMENTIONED:
            return "it"
        kind = draft.choose("kind")
        draft.relation = "named"
        if draft.chance(_DESCRIPTION_SHARE):
            return self._described(draft, kind)
        words, after = [], []
        if draft.chance(0.3):
            size = self.phrases["size"][draft.choose("size")]
            if draft.chance(0.3):
                after.append(draft.pick(size["phrases"]))
            else:
                words.append(self._size_word(draft, size))
        if draft.chance(0.22):
            words.append(draft.pick(EMPTY_ADJECTIVES))
        if draft.chance(0.68):
            color = draft.choose("main_color")
            if draft.chance(0.2):
                after.append(self._color_tail(draft, color))
            else:
                words.append(self._color_word(draft, color))
        accent = self._accent(draft, kind) if draft.chance(0.35) else ""
        if accent.endswith(f"-{ROOFED.get(kind)}"):  # as in "a red-roofed house"
            words.append(accent)
            accent = ""
        text = " ".join([*words, f"{_OPEN}{self._noun(draft, kind)}{_CLOSE}"])
        return " ".join(part for part in (_with_article(draft, text), accent, *after) if part)

    def _described(self, draft: _Draft, kind: str) -> str:
        """The main object without its name, and what is stated of it before or after."""
        words = self.lexicon[kind]
        parts = [self._common_or_rare(draft, words.descriptions, words.glosses)]
        if draft.chance(0.3):
            size = self.phrases["size"][draft.choose("size")]
            word = self._size_word(draft, size)
            parts.append(draft.pick((draft.pick(size["phrases"]), word, f"a {word} one")))
        if draft.chance(0.7):
            parts.append(self._color_tail(draft, draft.choose("main_color")))
        if draft.chance(0.35):
            accent = self._accent(draft, kind)
            parts += [accent] if accent else []
        first, *rest = parts
        draft.rng.shuffle(rest)
        if rest and draft.chance(0.15):
            return f"{rest[0]}: {', '.join([first, *rest[1:]])}"
        return draft.pick((", ", ", ", "; ", " - ", ". ")).join([first, *rest])

    def _color_tail(self, draft: _Draft, color: str) -> str:
        """The colour of the main object, said apart from its name."""
        if draft.chance(0.35):
            return draft.pick(self.phrases["color_phrases"][color])
        word = self._color_word(draft, color)
        return draft.pick(COLOR_TAILS).format(word)

    def _noun(self, draft: _Draft, kind: str) -> str:
        words = self.lexicon[kind]
        if words.near and draft.chance(_NEAR_SHARE):
            draft.relation = "near"
            return draft.pick(words.near)
        if not words.nouns or draft.chance(_CAPTION_NOUN_SHARE):
            return draft.pick(KIND_WORDS[kind])
        return self._common_or_rare(draft, words.nouns, words.rare_nouns)

    def _common_or_rare(self, draft: _Draft, common: list[str], rare: list[str]) -> str:
        return draft.pick(rare if rare and draft.chance(_RARE_SHARE) else common)

    def _size_word(self, draft: _Draft, size: dict) -> str:
        value = str(draft.mentions["size"])
        return draft.pick(size["adjectives"] if draft.chance(0.7) else SIZE_WORDS[value])

    def _color_word(self, draft: _Draft, color: str) -> str:
        if draft.chance(0.3):  # by far the most frequent word
            return "grey" if color == "gray" and draft.chance(0.5) else color
        if color in ISH and draft.chance(0.04):
            return ISH[color]
        own = draft.chance(_OWN_WORDS_SHARE) and self.phrases["color"][color]
        if own and self.color_names[color] and draft.chance(_NAMED_COLOR_SHARE):
            own = self.color_names[color]
        word = draft.pick(own or COLOR_WORDS[color])
        return draft.pick((f"{word}-coloured", f"{word}-colored")) if draft.chance(0.04) else word

    def _accent(self, draft: _Draft, kind: str) -> str:
        if kind not in ACCENT_PARTS:
            return ""
        accent = draft.choose("accent_color")
        if not accent:
            return ""
        color = self._color_word(draft, accent)
        if kind in ROOFED and draft.chance(0.2):
            return f"{color}-{ROOFED[kind]}"
        templates = self.phrases["accent"].get(kind)
        if templates and draft.chance(_OWN_WORDS_SHARE):
            return draft.pick(templates).format(color=color)
        return f"with {color} {draft.pick(ACCENT_PARTS[kind])}"

    def _ground(self, draft: _Draft) -> str:
        ground = draft.choose("ground")
        if ground == "flower field" and draft.chance(0.6):
            color = draft.choose("ground_color")
            assert color
            own = self.phrases["ground_color"][color]
            if own and draft.chance(_OWN_WORDS_SHARE):
                return draft.pick(own)
            word = self._color_word(draft, color)
            return draft.pick(COLORED_FLOWERS).format(color=word)
        return self._phrase(draft, "ground", ground, GROUND_WORDS)

    def _time(self, draft: _Draft) -> str:
        if draft.mentions["time"] != UNMENTIONED:  # said with the weather
            return ""
        return self._phrase(draft, "time", draft.choose("time"), TIME_WORDS)

    def _weather(self, draft: _Draft) -> str:
        if draft.world is None and draft.mentions["time"] == UNMENTIONED and draft.chance(0.12):
            if draft.chance(0.3):
                draft.mentions["weather"], draft.mentions["time"] = "clear", "night"
                return draft.pick(NIGHT_CLEAR_WORDS)
            phrase, weather, time = draft.pick(self.phrases["weather_time"])
            draft.mentions["weather"], draft.mentions["time"] = weather, time
            return phrase
        return self._phrase(draft, "weather", draft.choose("weather"), WEATHER_WORDS)

    def _background(self, draft: _Draft) -> str:
        background = draft.choose("background")
        return self._phrase(draft, "background", background, BACKGROUND_WORDS) if background else ""

    def _motion(self, draft: _Draft) -> str:
        return self._phrase(draft, "motion", draft.choose("motion"), MOTION_WORDS)

    def _tag(self, draft: _Draft, attribute: str) -> str:
        """A bare word between commas, such as "dusk"."""
        if draft.mentions[attribute] != UNMENTIONED:
            return ""
        tags = self.phrases[f"{attribute}_tags"]
        value = draft.mentions[attribute] = draft.pick(sorted(tags))
        return draft.pick(tags[value])

    def _phrase(self, draft: _Draft, attribute: str, value: str, words: dict) -> str:
        own = self.phrases[attribute][value]
        return draft.pick(own if own and draft.chance(_OWN_WORDS_SHARE) else words[value])

    def _things(self, draft: _Draft) -> str:
        if draft.world is not None:
            kinds = list(draft.world["secondary"])
        else:
            allowed = [kind for kind in SECONDARY_WORDS if kind != draft.mentions["kind"]]
            kinds = [draft.pick(allowed) for _ in range(1 if draft.chance(0.6) else 2)]
        draft.mentions["secondary"] = kinds
        if not kinds:
            return ""
        if len(kinds) == 2 and kinds[0] == kinds[1]:
            color, word = self._thing(draft, kinds[0], 1)
            return " ".join(w for w in (draft.pick(("two", "a pair of", "2")), color, word) if w)
        said = []
        for kind in kinds:
            color, word = self._thing(draft, kind, 0)
            said.append(_with_article(draft, f"{color} {word}") if color else word)
        return " and ".join(said)

    def _thing(self, draft: _Draft, kind: str, form: int) -> tuple[str, str]:
        """Colour and name of a secondary object: 0 singular, with its article if it has no colour;
        1 plural."""
        if draft.chance(0.25):
            color = self._secondary_color(draft, kind)
            colors = draft.mentions["secondary_color"]
            assert isinstance(colors, list)
            colors.append(color)
            return self._color_word(draft, color), draft.pick(SECONDARY_WORDS[kind])[form]
        own = self.phrases["secondary"][kind]
        if own and draft.chance(_OWN_WORDS_SHARE):
            return "", draft.pick(own)[form]
        word = draft.pick(SECONDARY_WORDS[kind])[form]
        return "", word if form else _with_article(draft, word)

    @staticmethod
    def _secondary_color(draft: _Draft, kind: str) -> str:
        if draft.world is None:
            return draft.pick(ATTRIBUTE_VALUES["secondary_color"])
        kinds, colors = draft.world["secondary"], draft.world["secondary_color"]
        return colors[kinds.index(kind)]

    # --- the whole --------------------------------------------------------------------------------

    def _finished(self, draft: _Draft, text: str) -> Sentence:
        """Register, spelling and noise; then the place of the name."""
        if draft.chance(_FILLER_SHARE):
            filler = draft.pick(self.phrases["fillers"])
            text = f"{text}, {filler}" if draft.chance(0.7) else f"{filler}, {text}"
        if draft.chance(SMALL_TALK_SHARE):
            text = f"{draft.pick(SMALL_TALK)} {text}"
        if draft.chance(0.12):
            text = draft.pick(
                ("a photo of {}", "a picture of {}", "please make {}", "show me {}", "{} please")
            ).format(text)
        if draft.chance(_TYPO_SHARE):
            text = _mistyped(draft, text)
        style = draft.rng.random()
        if style < 0.35:
            text = _capitalized(text) + draft.pick((".", "", ".", "!"))
        elif style < 0.38:
            text = text.upper()
        text = re.sub(r" +([,.;])", r"\1", text)
        start, end = text.find(_OPEN), text.find(_CLOSE) - 1
        clean = text.replace(_OPEN, "").replace(_CLOSE, "")
        name = (start, end) if start >= 0 and draft.relation in ("named", "near") else None
        return Sentence(clean, draft.mentions, draft.relation, name)


def _strings(value: Any) -> Iterator[str]:
    """The strings in nested lists and objects."""
    if isinstance(value, str):
        yield value
    else:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def _with_article(draft: _Draft, noun: str) -> str:
    style = draft.rng.random()
    if style < 0.12:
        return noun
    if style < 0.2:
        return f"the {noun}"
    letter = noun.replace(_OPEN, "")[0]
    return f"an {noun}" if letter in "aeiou" else f"a {noun}"


def _capitalized(text: str) -> str:
    place = next((i for i, letter in enumerate(text) if letter.isalpha()), 0)
    return text[:place] + text[place].upper() + text[place + 1 :] if text else text


def _mistyped(draft: _Draft, text: str) -> str:
    """One letter of a longer word is doubled, lost, or exchanged with its neighbour."""
    places = [m.start() + 1 for m in re.finditer(r"[a-z]{5,}", text)]
    if not places:
        return text
    i = draft.pick(places) + int(draft.rng.integers(3))
    changed = draft.pick((text[i] * 2 + text[i + 1], text[i + 1], text[i + 1] + text[i]))
    return text[:i] + changed + text[i + 2 :]
