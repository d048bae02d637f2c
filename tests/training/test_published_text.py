"""A published text encoder's tokenizer, in the form that T5's authors published it in."""

import json

import torch
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tiny import SENTENCE, tiny_text_encoder, tiny_vae

from videorfsplat.training.scene_cache import load_encoders


def test_a_tokenizer_of_a_sentencepiece_model_alone_is_read(tmp_path):
    folder = tmp_path / "pipeline"
    (folder / "tokenizer").mkdir(parents=True)
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join([SENTENCE, *SENTENCE.split()] * 20))
    SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "tokenizer/spiece"),
        vocab_size=60,
        hard_vocab_limit=False,
        # T5's numbers.
        **{"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
        minloglevel=2,
    )
    (folder / "tokenizer/spiece.vocab").unlink()
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 64}
    (folder / "tokenizer/tokenizer_config.json").write_text(json.dumps(config))
    original = SentencePieceProcessor(model_file=str(folder / "tokenizer/spiece.model"))
    tiny_text_encoder(len(original)).save_pretrained(folder / "text_encoder")
    tiny_vae().save_pretrained(folder / "vae")
    _, tokenizer, encoder = load_encoders(str(folder / "vae"), str(folder), torch.device("cpu"))
    assert encoder.config.vocab_size == len(original)
    for text in ("a red house by the lake", "tree", "two  blue hills, at night"):
        assert tokenizer(text)["input_ids"] == [*original.encode(text), original.eos_id()]
