"""Words and descriptions of everything that worlds have: written by hand, and from WordNet.

Read when training data is made, never when a prompt is read: by then the text encoder knows them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from videorfsplat.data.worlds.caption_words import (
    KIND_WORDS,
)
from videorfsplat.data.worlds.captions import (
    VOCABULARY,
)
from videorfsplat.data.worlds.objects import PALETTE
from videorfsplat.formats.files import read_json_object

MATERIAL = Path(__file__).parent / "material"

_SYNSETS: dict[str, tuple[str, ...]] = {
    "house": ("house/0", "dwelling/0", "cottage/0"),
    "castle": ("castle/1", "fortress/0", "palace/0"),
    "lighthouse": ("beacon/2",),
    "windmill": ("windmill/0",),
    "pine tree": ("conifer/0", "pine/0"),
    "tree": ("angiospermous_tree/0", "tree/0"),
    "mushroom": ("mushroom/0", "mushroom/1", "agaric/0"),
    "cactus": ("cactus/0",),
    "car": ("car/0",),
    "bus": ("bus/0", "public_transport/0"),
    "sailboat": ("sailing_vessel/0", "boat/0"),
    "rocket": ("rocket/0", "spacecraft/0"),
    "hot air balloon": ("balloon/0", "hot-air_balloon/0"),
    "tent": ("tent/0",),
    "well": ("well/0",),
    "fountain": ("fountain/0",),
    "snowman": ("snowman/0",),
    "robot": ("automaton/1", "robot/0"),
    "horse": ("horse/0",),
    "dog": ("dog/0",),
    "cat": ("domestic_cat/0",),
    "duck": ("duck/0",),
    "teapot": ("teapot/0", "kettle/0", "pot/0"),
    "armchair": ("chair/0", "sofa/0", "seat/2"),
}
"""WordNet's senses (lemma / number of the sense) whose kinds-of a visitor would call that kind."""


@dataclass(frozen=True)
class Synset:
    """One sense of a noun: its words, its meaning and what it is a kind of."""

    lemmas: tuple[str, ...]
    gloss: str
    hypernyms: tuple[str, ...]
    topic: int
    """WordNet's lexicographer file: 5 animals, 6 artefacts, 17 natural objects, 20 plants."""


@dataclass(frozen=True)
class KindWords:
    """How people speak of one kind of main object."""

    nouns: list[str] = field(default_factory=list)
    """For which a visitor expects to see that kind."""
    rare_nouns: list[str] = field(default_factory=list)
    """The same, from WordNet: breeds, species and makes."""
    near: list[str] = field(default_factory=list)
    """Things that no world has, and that this kind stands in for."""
    descriptions: list[str] = field(default_factory=list)
    """With their article, without a name of the thing."""
    glosses: list[str] = field(default_factory=list)
    """The same, from WordNet."""


class WordNet:
    """The nouns of a WordNet 3 database.

    Args:
        folder: with `data.noun` and `index.noun`, as Debian's wordnet-base installs it in
            /usr/share/wordnet.

    Raises:
        OSError: if a file is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.synsets = dict(_read_synsets(Path(folder) / "data.noun"))
        self.senses = dict(_read_index(Path(folder) / "index.noun"))
        self._narrower: dict[str, list[str]] = {}
        for offset, synset in self.synsets.items():
            for hypernym in synset.hypernyms:
                self._narrower.setdefault(hypernym, []).append(offset)

    def kinds_of(self, sense: str, but: set[str]) -> Iterator[Synset]:
        """The sense `lemma/number` and all that are a kind of it; nothing if it is not there.

        Args:
            sense: where to begin.
            but: senses that are left out with all that are a kind of them; those that are found
                are added.
        """
        lemma, number = sense.split("/")
        waiting = list(self.senses.get(lemma, ())[int(number) : int(number) + 1])
        while waiting:
            offset = waiting.pop()
            if offset not in but:
                but.add(offset)
                waiting += self._narrower.get(offset, ())
                yield self.synsets[offset]


def read_lexicon(
    wordnet: str | Path | None = None, held_out: Iterable[str] = ()
) -> dict[str, KindWords]:
    """The words of every kind.

    Args:
        wordnet: folder of a WordNet database, for more of them.
        held_out: sentences whose words must not be learned: an entry that has one of their words
            is left out, but for words that captions use.

    Raises:
        OSError, ValueError: if a file cannot be read.
    """
    by_hand: dict[str, Any] = read_json_object(MATERIAL / "kinds.json")
    hidden = content_words(held_out)
    database = WordNet(wordnet) if wordnet else None
    taken = {noun for words in by_hand.values() for noun in (*words["nouns"], *words["near"])}
    seen: set[str] = set()

    def shown(nouns: Iterable[str]) -> list[str]:
        return [noun for noun in dict.fromkeys(nouns) if not hidden & {*words_of(noun)}]

    lexicon = {}
    for kind, words in by_hand.items():
        synsets = list(_synsets(database, kind, seen)) if database else []
        rare = [lemma for synset in synsets for lemma in synset.lemmas if lemma not in taken]
        taken |= {*rare}
        lexicon[kind] = KindWords(
            shown(words["nouns"]),
            shown(rare),
            shown(words["near"]),
            [*words["descriptions"], *words["short_descriptions"]],
            [gloss for synset in synsets for gloss in _described(synset, kind)],
        )
    return lexicon


def _synsets(database: WordNet, kind: str, seen: set[str]) -> Iterator[Synset]:
    for sense in _SYNSETS[kind]:
        yield from database.kinds_of(sense, seen)


def read_phrases(held_out: Iterable[str] = ()) -> dict[str, Any]:
    """Phrases of all other attributes, frames of sentences, fillers and foreign sentences.

    Args:
        held_out: sentences that must not be learned: a phrase of several words that one of them
            has, and a colour word that captions do not use, are left out.
    """
    sentences = [" ".join(words_of(sentence)) for sentence in held_out]
    hidden = content_words(sentences)

    def keeps(text: str) -> bool:
        words = words_of(text)
        if len(words) < 2:
            return not hidden & {*words}
        return not any(" ".join(words) in sentence for sentence in sentences)

    return _filtered(read_json_object(MATERIAL / "attributes.json"), keeps)


def color_names(held_out: Iterable[str] = ()) -> dict[str, list[str]]:
    """Names of colours, those of the xkcd survey, under the palette's colour that they look like.

    A name that lies between two of the palette's colours is left out.

    Args:
        held_out: as `read_phrases`.
    """
    from matplotlib.colors import XKCD_COLORS, to_rgb

    hidden = content_words(held_out)
    places = {name: _lab(np.array(rgb) / 255) for name, rgb in PALETTE.items()}
    names: dict[str, list[str]] = {color: [] for color in PALETTE}
    for key, value in XKCD_COLORS.items():
        name = key.removeprefix("xkcd:")
        place = _lab(np.array(to_rgb(value)))
        near, far = sorted(places, key=lambda color: np.linalg.norm(places[color] - place))[:2]
        ratio = np.linalg.norm(places[near] - place) / np.linalg.norm(places[far] - place)
        words = {word.replace("grey", "gray") for word in words_of(name)}
        other = words & (PALETTE.keys() - {near})
        # A dark blue is near to black, but nobody calls it black.
        has_hue = float(np.hypot(*place[1:])) > _LEAST_CHROMA
        fits = has_hue != (near in ("white", "black", "gray")) and ratio < _CLEARLY_NEARER
        if fits and not other and not hidden & words:
            names[near].append(name)
    return names


def _lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of an sRGB colour in [0, 1]: distances there are those that people see."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = _XYZ @ linear / _XYZ.sum(axis=1)
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = root
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# Linear sRGB to CIE XYZ (IEC 61966-2-1).
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

# Distance to the nearest colour of the palette over that to the next.
_CLEARLY_NEARER = 0.7

# Of a colour that has a hue; the palette's gray has 3, its brown 34.
_LEAST_CHROMA = 12.0


def content_words(sentences: Iterable[str]) -> set[str]:
    """Words of sentences that captions never use."""
    return {word for sentence in sentences for word in words_of(sentence)} - VOCABULARY


def words_of(text: str) -> list[str]:
    """Lower-case words, hyphens apart."""
    return re.findall(r"[a-z']+", text.lower())


def _filtered(value: Any, keeps) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {name: _filtered(part, keeps) for name, part in value.items()}
    # A pair, such as singular and plural, stands or falls as a whole.
    return [part for part in value if all(keeps(text) for text in _texts(part))]


def _texts(part: str | Iterable[str]) -> Iterable[str]:
    return (part,) if isinstance(part, str) else part


def _described(synset: Synset, kind: str) -> list[str]:
    """The gloss as a noun phrase, unless it names the thing."""
    gloss = re.sub(r"\(.*?\)", "", synset.gloss.split(";")[0]).strip()
    names = {*synset.lemmas, *KIND_WORDS[kind], kind}
    short = 3 <= len(gloss.split()) <= 18
    if not short or any(re.search(rf"\b{re.escape(name)}", gloss) for name in names):
        return []
    opens = gloss.split()[0] in ("a", "an", "any", "the", "one", "something", "each", "small")
    return [gloss if opens else ("an " if gloss[0] in "aeiou" else "a ") + gloss]


def _read_synsets(path: Path) -> Iterator[tuple[str, Synset]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):  # the licence
            continue
        data, gloss = line.split("|", 1)
        parts = data.split()
        count = int(parts[3], 16)
        lemmas = tuple(
            lemma.replace("_", " ").lower()
            for lemma in parts[4 : 4 + 2 * count : 2]
            if lemma.islower()
        )
        pointers = parts[5 + 2 * count :]
        hypernyms = tuple(
            pointers[i + 1] for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")
        )
        yield parts[0], Synset(lemmas, gloss.strip(), hypernyms, int(parts[1]))


def _read_index(path: Path) -> Iterator[tuple[str, list[str]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            parts = line.split()
            yield parts[0], parts[-int(parts[2]) :]
