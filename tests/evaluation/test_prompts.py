"""Prompts are held out, fixed by seed and index, and the two wordings speak of the same things."""

from videorfsplat.data.worlds import HELD_OUT_SEED
from videorfsplat.evaluation.prompts import (
    held_out_prompts,
    reference_seed,
    world_seed,
)
from videorfsplat.evaluation.settings import MAX_PROMPTS, MAX_SEED


def test_more_prompts_leave_the_first_as_they_are():
    assert held_out_prompts(5, 3) == held_out_prompts(20, 3)[:5]


def test_seeds_share_neither_worlds_nor_noise():
    first, second = held_out_prompts(50, 0), held_out_prompts(50, 1)
    assert not {p.noise_seed for p in first} & {p.noise_seed for p in second}
    assert not {p.text for p in first} & {p.text for p in second}


def test_worlds_of_prompts_and_references_never_meet():
    assert world_seed(0, 0) == HELD_OUT_SEED
    assert world_seed(0, MAX_PROMPTS) < reference_seed(0, 0)
    assert reference_seed(0, MAX_PROMPTS) < world_seed(1, 0)
    # Seeds of data sets are 64-bit.
    assert reference_seed(MAX_SEED, MAX_PROMPTS) < 2**63


def test_paraphrases_state_the_same_in_other_sentences():
    captions = held_out_prompts(100, 0)
    paraphrases = held_out_prompts(100, 0, "paraphrases")
    assert all(a.text != b.text for a, b in zip(captions, paraphrases, strict=True))
    assert [p.noise_seed for p in captions] == [p.noise_seed for p in paraphrases]
    same = sum(a.mentions == b.mentions for a, b in zip(captions, paraphrases, strict=True))
    # A draft that came out too short or too long is drawn again with other words.
    assert same >= 90
