"""Makes a pretrained sentence encoder small: fewer words, fewer positions, nothing unused."""

import json
import string
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import BertModel, DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

_CONTINUES = "##"


def trim_sentence_encoder(
    folder: str | Path, texts: Iterable[str], whole_words: Iterable[str], size: int, length: int
) -> tuple[PreTrainedTokenizerFast, DistilBertModel]:
    """A BERT encoder and its WordPiece tokenizer with a smaller vocabulary.

    Pieces that `texts` need are kept, all ASCII letters and digits, and then the most frequent
    words of English, in the order of the old vocabulary. Anything written in ASCII still has
    pieces, but for words of more than 100 characters. A sentence ends with `[SEP]` and has no
    `[CLS]`: every token stands for something said.

    Args:
        folder: with `config.json`, `model.safetensors` and `tokenizer.json`.
        texts: what is often written.
        whole_words: words that get one token each; new ones start as the mean of their pieces.
        size: of the vocabulary.
        length: positions kept; longer texts are cut.

    Raises:
        ValueError: if more pieces have to be kept than fit.
    """
    described = json.loads((Path(folder) / "tokenizer.json").read_text(encoding="utf-8"))
    old = described["model"]["vocab"]
    whole_tokenizer = Tokenizer.from_str(json.dumps(described))
    whole_tokenizer.no_padding()
    whole_tokenizer.no_truncation()
    whole = list(dict.fromkeys(whole_words))
    added = [word for word in whole if word not in old]
    kept = _kept_pieces(old, whole_tokenizer, [*texts, *whole], size - len(added))
    vocabulary = {piece: place for place, piece in enumerate([*kept, *added])}
    described["model"]["vocab"] = vocabulary
    described["added_tokens"] = [
        {**token, "id": vocabulary[token["content"]]}
        for token in described["added_tokens"]
        if token["content"] in vocabulary
    ]
    described["truncation"] = described["padding"] = None
    end = vocabulary["[SEP]"]
    described["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        ],
        "pair": [
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 0}},
        ],
        "special_tokens": {"[SEP]": {"id": "[SEP]", "ids": [end], "tokens": ["[SEP]"]}},
    }
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(described)),
        pad_token="[PAD]",
        unk_token="[UNK]",
        sep_token="[SEP]",
        model_max_length=length,
    )
    model = BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)
    pieces = [old[piece] for piece in kept]
    spelled = [whole_tokenizer.encode(w, add_special_tokens=False).ids for w in added]
    _take_words(model, pieces, spelled, vocabulary["[PAD]"])
    _take_positions(model, length)
    return tokenizer, to_distilbert(model)


def to_distilbert(bert: BertModel) -> DistilBertModel:
    """The same function of tokens without BERT's pooling layer and its second kind of sentence.

    Raises:
        ValueError: if the encoder computes something that DistilBERT does not.
    """
    config = bert.config
    if config.hidden_act != "gelu" or config.layer_norm_eps != 1e-12:
        raise ValueError("only a BERT with gelu and layer norms of 1e-12 can be taken over")
    model = DistilBertModel(
        DistilBertConfig(
            vocab_size=config.vocab_size,
            max_position_embeddings=config.max_position_embeddings,
            dim=config.hidden_size,
            n_layers=config.num_hidden_layers,
            n_heads=config.num_attention_heads,
            hidden_dim=config.intermediate_size,
            dropout=config.hidden_dropout_prob,
            attention_dropout=config.attention_probs_dropout_prob,
            pad_token_id=config.pad_token_id,
        )
    )
    state = {}
    for name, value in bert.state_dict().items():
        for theirs, ours in _DISTILBERT_NAMES.items():
            name = name.replace(theirs, ours)
        state[name] = value
    # Every token is of the first kind, at every position alike.
    kinds = state.pop("embeddings.token_type_embeddings.weight")
    place = "embeddings.position_embeddings.weight"
    state[place] = state[place] + kinds[0]
    known = model.state_dict().keys()
    model.load_state_dict({name: value for name, value in state.items() if name in known})
    return model.eval()


_DISTILBERT_NAMES = {
    "encoder.layer": "transformer.layer",
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
"""Parts of BERT → parts of DistilBERT, in an order in which no name holds a later one."""


def _kept_pieces(
    old: dict[str, int], tokenizer: Tokenizer, texts: Iterable[str], size: int
) -> list[str]:
    """Pieces in their old order; specials first."""
    characters = string.ascii_lowercase + string.digits + string.punctuation + "’‘“”–—…"
    needed = ["[PAD]", "[UNK]", "[SEP]", *characters, *(_CONTINUES + c for c in characters)]
    for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False):
        needed += encoding.tokens
    kept = {piece for piece in needed if piece in old}
    if len(kept) > size:
        raise ValueError(f"{len(kept)} pieces are needed, more than {size}")
    for piece in sorted(old, key=old.__getitem__):
        if len(kept) == size:
            break
        word = piece.removeprefix(_CONTINUES)
        if word.isascii() and word.isalpha():
            kept.add(piece)
    specials = ["[PAD]", "[UNK]", "[SEP]"]
    return specials + sorted(kept - {*specials}, key=old.__getitem__)


def _take_words(
    model: BertModel, pieces: list[int], spelled: list[list[int]], padding: int
) -> None:
    weight = model.embeddings.word_embeddings.weight.detach()
    rows = [weight[pieces], *(weight[ids].mean(0, keepdim=True) for ids in spelled)]
    model.embeddings.word_embeddings = nn.Embedding.from_pretrained(
        torch.cat(rows), freeze=False, padding_idx=padding
    )
    model.config.vocab_size = len(pieces) + len(spelled)
    model.config.pad_token_id = padding


def _take_positions(model: BertModel, length: int) -> None:
    # The first place was that of `[CLS]`: a word there would not be read as one.
    weight = model.embeddings.position_embeddings.weight.detach()[1 : length + 1].clone()
    model.embeddings.position_embeddings = nn.Embedding.from_pretrained(weight, freeze=False)
    model.config.max_position_embeddings = length
    model.embeddings.register_buffer(
        "position_ids", torch.arange(length).expand(1, -1), persistent=False
    )
    model.embeddings.register_buffer(
        "token_type_ids", torch.zeros(1, length, dtype=torch.long), persistent=False
    )
