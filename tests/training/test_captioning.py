"""A real vision-language model at toy size writes the captions, and goes on where it stopped."""

import pytest
import torch
from recordings import film, write_colmap, write_nerfstudio
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from videorfsplat.data.readers.captions import read_captions
from videorfsplat.data.readers.folders import find_scenes
from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.training.captioning import Captioner, caption_scenes

WORDS = ["a", "red", "blue", "house", "with", "two", "trees", "by", "the", "lake", "at", "night"]
SPECIAL = ["<unk>", "<s>", "</s>", "<image>"]
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)
SAMPLING = ViewSampling(num_views=2, height=32, width=48)


@pytest.fixture(scope="module")
def captioner(tmp_path_factory) -> Captioner:
    folder = tmp_path_factory.mktemp("captioner")
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    bare = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        additional_special_tokens=["<image>"],
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(
            size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
        ),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    processor.save_pretrained(folder)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    vision = CLIPVisionConfig(**small, num_attention_heads=2, image_size=16, patch_size=8)
    language = LlamaConfig(**small, num_attention_heads=2, vocab_size=len(vocabulary))
    torch.manual_seed(0)
    LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=language,
            image_token_index=vocabulary["<image>"],
            vision_feature_layer=-1,
        )
    ).save_pretrained(folder)
    return Captioner(str(folder), torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_nerfstudio(film(), root / "room")
    write_colmap(film(), root / "torn")
    write_colmap(film(), root / "vase")
    path = root / "torn/sparse/0/cameras.bin"
    path.write_bytes(path.read_bytes()[:20])
    return find_scenes(root)


def test_every_sound_scene_gets_its_captions_once(captioner, scenes, tmp_path, monkeypatch):
    output = tmp_path / "new" / "captions.jsonl"
    instructions = ("a house", "the lake by night")
    left_out = caption_scenes(output, scenes, SAMPLING, captioner, instructions=instructions)
    assert list(left_out) == ["torn"]
    assert "cameras.bin ends" in left_out["torn"]
    captions = read_captions(output)
    assert list(captions) == ["room", "vase"]
    for texts in captions.values():
        assert len(texts) == 2
        assert all(text and set(text.split()) <= set(WORDS + SPECIAL) for text in texts)
    before = output.read_bytes()
    monkeypatch.setattr(captioner, "describe", None)  # nothing is left to describe
    caption_scenes(output, scenes, SAMPLING, captioner, instructions=instructions)
    assert output.read_bytes() == before


def test_processes_share_the_scenes(captioner, scenes, tmp_path):
    output = tmp_path / "captions.jsonl"
    for index in (1, 0):
        caption_scenes(
            output,
            [scenes[0], scenes[2]],
            SAMPLING,
            captioner,
            instructions=("a house",),
            process_index=index,
            num_processes=2,
        )
    assert list(read_captions(output)) == ["vase", "room"]
