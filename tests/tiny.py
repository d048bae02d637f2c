"""The real classes at toy size: 3 views of 48×32 pixels, random weights, no downloads."""

import string
from pathlib import Path

import torch
from diffusers import AutoencoderKLMochi, FlowMatchEulerDiscreteScheduler
from diffusers.loaders import Mochi1LoraLoaderMixin
from peft import get_peft_model_state_dict
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import BertConfig, BertModel, T5Config, T5EncoderModel, T5TokenizerFast

from videorfsplat.generation.checkpoint import FEW_STEP_FOLDER, save_few_step_sampling
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.sampling.settings import Sampling
from videorfsplat.training.lora import add_lora_everywhere

NUM_VIEWS = 3
HEIGHT, WIDTH = 32, 48
SENTENCE = "a red blue green house tree lake hill at sunset night by the two"
TEXT_WIDTH = 16
MAX_TOKENS = 12


def tiny_tokenizer() -> T5TokenizerFast:
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocab += [(f"▁{word}", -1.0) for word in SENTENCE.split()]
    vocab += [(letter, -5.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    return T5TokenizerFast(vocab=vocab, extra_ids=0, model_max_length=MAX_TOKENS)


def tiny_text_encoder(vocab_size: int) -> T5EncoderModel:
    config = T5Config(
        vocab_size=vocab_size, d_model=TEXT_WIDTH, d_kv=8, d_ff=32, num_layers=2, num_heads=2
    )
    return T5EncoderModel(config).eval()


def save_tiny_text(folder: Path) -> Path:
    """A folder with `tokenizer` and `text_encoder`, as trainings take it."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        tokenizer = tiny_tokenizer()
        tiny_text_encoder(len(tokenizer)).save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder


BERT_WORDS = (*SENTENCE.split(), "home", "cottage", "toad", "##stool", "wood", "##en", "zebra")


def save_tiny_bert(folder: Path) -> Path:
    """A pretrained sentence encoder as it is published: BERT's weights and its `tokenizer.json`."""
    signs = string.ascii_lowercase + string.digits + string.punctuation
    pieces = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *signs, "é"]
    pieces += [*(f"##{sign}" for sign in string.ascii_lowercase + string.digits), *BERT_WORDS]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ends = [(piece, vocabulary[piece]) for piece in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        BertModel(config).save_pretrained(folder)
    return folder


def tiny_vae() -> AutoencoderKLMochi:
    return AutoencoderKLMochi(
        latent_channels=12,
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
        temporal_expansions=(1, 1, 1),
        out_channels=3,
    ).eval()


def tiny_transformer() -> VideoRFSplatTransformer3DModel:
    return VideoRFSplatTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=4,
        pooled_projection_dim=16,
        pose_num_attention_heads=2,
        pose_attention_head_dim=8,
        pose_num_layers=2,
        pose_pooled_projection_dim=8,
        exchange_num_heads=2,
        exchange_head_dim=8,
        text_embed_dim=TEXT_WIDTH,
        time_embed_dim=16,
        max_sequence_length=MAX_TOKENS,
        num_views=NUM_VIEWS,
        sample_size=(HEIGHT // 8, WIDTH // 8),
        pose_latents_mean=(0.0, 0.0, 0.9, 0.0, 0.1, 0.0),
        pose_latents_std=(0.3, 0.2, 0.1, 0.5, 0.4, 0.3),
    ).eval()


def tiny_gaussian_decoder(vae: AutoencoderKLMochi) -> GaussianDecoder:
    return GaussianDecoder.from_autoencoder(
        vae, num_attention_layers=1, attention_head_dim=16, near=0.5, far=10.0
    ).eval()


def tiny_pipeline(seed: int = 0) -> VideoRFSplatPipeline:
    """All components, with every weight random so that nothing is a no-op by initialisation."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tokenizer, vae = tiny_tokenizer(), tiny_vae()
        pipeline = VideoRFSplatPipeline(
            tokenizer=tokenizer,
            text_encoder=tiny_text_encoder(len(tokenizer)),
            vae=vae,
            transformer=tiny_transformer(),
            gaussian_decoder=tiny_gaussian_decoder(vae),
            scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True, shift=1.5),
            pose_scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        )
        for model in (pipeline.transformer, pipeline.gaussian_decoder):
            _randomise_zeros(model)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_tiny_few_step(model_folder: Path, seed: int = 1) -> None:
    """Give a saved toy model a few-step variant of two steps, with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer = tiny_transformer()
        add_lora_everywhere(transformer, rank=2)
        layers = get_peft_model_state_dict(transformer)
        layers = {name: torch.randn_like(layer) * 0.1 for name, layer in layers.items()}
    folder = model_folder / FEW_STEP_FOLDER
    Mochi1LoraLoaderMixin.save_lora_weights(folder, transformer_lora_layers=layers)
    save_few_step_sampling(Sampling(num_inference_steps=2, pose_offset=0.1), folder)


def _randomise_zeros(model: torch.nn.Module) -> None:
    """Weights that start at zero would make whole streams invisible to the tests."""
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
