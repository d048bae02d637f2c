"""The Gaussian decoder: starts as the image decoder, and puts one Gaussian on every pixel's ray."""

import copy
import math
from collections.abc import Iterator

import pytest
import torch
from diffusers import AutoencoderKLMochi
from scipy.spatial.transform import Rotation
from strategies import build_cameras
from tiny import tiny_gaussian_decoder, tiny_vae
from torch import nn
from torch.distributed import FileStore, destroy_process_group, init_process_group
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import transform_gaussians
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.one_frame import decode_frames, encode_frames, normalize_latents

WIDTH, HEIGHT = 48, 32


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLMochi:
    torch.manual_seed(0)
    vae = tiny_vae()
    statistics = torch.linspace(0.5, 1.5, 12).tolist()
    vae.register_to_config(
        latents_mean=statistics[::-1], latents_std=statistics, scaling_factor=0.7
    )
    return vae


@pytest.fixture
def decoder(vae) -> GaussianDecoder:
    torch.manual_seed(0)
    return tiny_gaussian_decoder(vae)


def some_cameras(views: int = 3) -> Cameras:
    rotvecs = [(0.1 * i, -0.3 * i, 0.2 * i) for i in range(views)]
    centers = [(0.4 * i, 0.1 * i, -0.2 * i) for i in range(views)]
    return build_cameras(rotvecs, centers, 40.0, WIDTH, HEIGHT).to(torch.float32)


def arguments(cameras: Cameras):
    return cameras.viewmats[None], cameras.Ks[None], cameras.width, cameras.height


def opened(decoder: GaussianDecoder) -> GaussianDecoder:
    """With rays and attention let in, as after training."""
    torch.manual_seed(1)
    nn.init.normal_(decoder.rays_in.weight, std=0.5)
    for attention in decoder.attentions:
        nn.init.normal_(attention.to_out.weight, std=0.3)
    return decoder


def some_raw(views: int = 3) -> torch.Tensor:
    return torch.randn(1, views, 12, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))


def test_a_new_decoder_paints_what_the_autoencoder_decodes(vae, decoder):
    latents = torch.randn(3, 12, 4, 6)
    with torch.no_grad():
        frames = decode_frames(vae, latents)
        normalized = normalize_latents(vae, latents).transpose(0, 1)[None]
        (gaussians,) = decoder(normalized, *arguments(some_cameras()))
    gaussians.check_values()
    expected = ((frames + 1) / 2).permute(0, 2, 3, 1).flatten(0, 2)
    # Normalising there and back rounds in float32.
    torch.testing.assert_close(gaussians.base_colors, expected, rtol=1e-4, atol=1e-5)


def test_gaussians_lie_on_the_rays_of_their_pixels_at_the_stated_depth(decoder):
    cameras, raw = some_cameras(), some_raw()
    (gaussians,) = decoder.activate(raw, *arguments(cameras))
    means = gaussians.means.unflatten(0, (3, HEIGHT * WIDTH))
    local = means @ cameras.viewmats[:, :3, :3].mT + cameras.viewmats[:, None, :3, 3]
    projected = local @ cameras.Ks.mT
    pixels = projected[..., :2] / projected[..., 2:]
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    centers = torch.stack([columns, rows], dim=-1).flatten(0, 1) + 0.5
    # Float32 in coordinates up to 48 pixels and depths up to 10.
    torch.testing.assert_close(pixels, centers.expand_as(pixels), rtol=0, atol=2e-3)
    depths = decoder.depths_along_rays(raw)[0].flatten(1)
    torch.testing.assert_close(local.norm(dim=-1), depths, rtol=1e-4, atol=1e-4)


def test_inverse_depth_is_linear_between_far_and_near(decoder):
    raw = torch.zeros(5, 12, 1, 1)
    raw[:, 0, 0, 0] = torch.tensor([-1e4, -1.0, 0.0, 1.0, 1e4])
    inverse = 1 / decoder.depths_along_rays(raw).flatten()
    share = torch.tensor([0, 0.26894, 0.5, 0.73106, 1])  # the logistic function
    torch.testing.assert_close(inverse, 0.1 + share * (2 - 0.1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("raw_scale", "own_pixels"), [(0.0, 0.6), (-1e4, 0.06), (1e4, 6.0)])
def test_a_gaussian_is_as_wide_as_its_pixel_at_its_depth(decoder, raw_scale, own_pixels):
    cameras, raw = some_cameras(), torch.zeros(1, 3, 12, HEIGHT, WIDTH)
    raw[:, :, 2:5] = raw_scale
    raw[:, :, 5] = 1.0
    raw[:, 1, 0] = -2.0
    (gaussians,) = decoder.activate(raw, *arguments(cameras))
    depths = decoder.depths_along_rays(raw)[0].flatten()[:, None]
    pixels = math.hypot(own_pixels, 0.45)  # its own width, and the smoothing's
    expected = (pixels * depths / 40.0).expand(-1, 3)  # focal length 40
    torch.testing.assert_close(gaussians.scales, expected)


def test_unturned_gaussians_have_the_axes_of_their_camera(decoder):
    cameras, raw = some_cameras(), torch.zeros(1, 3, 12, HEIGHT, WIDTH)
    raw[:, :, 5] = 1.0
    (gaussians,) = decoder.activate(raw, *arguments(cameras))
    found = Rotation.from_quat(gaussians.quats.roll(-1, dims=-1).numpy()).as_matrix()
    camera_to_world = cameras.viewmats[:, :3, :3].mT.repeat_interleave(HEIGHT * WIDTH, dim=0)
    torch.testing.assert_close(torch.from_numpy(found).float(), camera_to_world, rtol=0, atol=1e-5)


def test_moving_all_cameras_rigidly_moves_the_gaussians(decoder):
    cameras, raw = some_cameras(), some_raw()
    rotation = torch.from_numpy(Rotation.from_rotvec([2.0, -1.0, 0.7]).as_matrix()).float()
    translation = torch.tensor([1.0, -2.0, 0.5])
    motion = torch.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, translation
    moved = Cameras(
        cameras.viewmats @ torch.linalg.inv(motion), cameras.Ks, cameras.width, cameras.height
    )
    (before,) = decoder.activate(raw, *arguments(cameras))
    (after,) = decoder.activate(raw, *arguments(moved))
    expected = transform_gaussians(before, rotation, translation)
    for name in ("means", "scales", "opacities", "sh"):
        torch.testing.assert_close(
            getattr(after, name), getattr(expected, name), rtol=1e-4, atol=1e-4
        )
    same = (after.quats * expected.quats).sum(-1).abs()
    torch.testing.assert_close(same, torch.ones_like(same), rtol=0, atol=1e-5)


def test_intrinsics_may_speak_of_another_image_size(decoder):
    cameras, latents = some_cameras(), torch.randn(1, 12, 3, 4, 6)
    scaled = cameras.Ks * torch.tensor([2.0, 2.0, 1.0])[:, None]
    with torch.no_grad():
        (one,) = opened(decoder)(latents, *arguments(cameras))
        (two,) = decoder(latents, cameras.viewmats[None], scaled[None], 2 * WIDTH, 2 * HEIGHT)
    for name in ("means", "scales", "opacities", "sh"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=1e-4, atol=1e-4)


def test_views_and_rays_are_seen_once_trained(decoder):
    cameras, latents = some_cameras(), torch.randn(1, 12, 3, 4, 6)
    other = latents.clone()
    other[:, :, 2] = torch.randn(1, 12, 4, 6)
    turned = some_cameras(4)[1:]
    with torch.no_grad():
        alone = [decoder.raw_gaussians(x, *arguments(cameras))[0, 0] for x in (latents, other)]
        turned_alone = decoder.raw_gaussians(latents, *arguments(turned))[0, 0]
        assert torch.equal(alone[0], alone[1])
        assert torch.equal(alone[0], turned_alone)
        opened(decoder)
        one, two = (decoder.raw_gaussians(x, *arguments(cameras))[0, 0] for x in (latents, other))
        three = decoder.raw_gaussians(latents, *arguments(turned))[0, 0]
    assert (one - two).abs().max() > 1e-3
    assert (one - three).abs().max() > 1e-3


def test_a_batch_is_its_scenes(decoder):
    cameras, latents = some_cameras(), torch.randn(2, 12, 3, 4, 6)
    viewmats = torch.stack([cameras.viewmats, some_cameras(4).viewmats[1:]])
    Ks = cameras.Ks.expand(2, -1, -1, -1)
    with torch.no_grad():
        together = opened(decoder)(latents, viewmats, Ks, WIDTH, HEIGHT)
        for index, one in enumerate(together):
            part = slice(index, index + 1)
            (alone,) = decoder(latents[part], viewmats[part], Ks[part], WIDTH, HEIGHT)
            torch.testing.assert_close(one.means, alone.means, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(one.sh, alone.sh, rtol=1e-4, atol=1e-4)


def test_gradients_reach_every_parameter(decoder):
    (gaussians,) = opened(decoder)(torch.randn(1, 12, 2, 4, 6), *arguments(some_cameras(2)))
    values = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh)
    weights = [torch.randn_like(value) for value in values]
    sum((w * v).sum() for w, v in zip(weights, values, strict=True)).backward()
    missing = [n for n, p in decoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing


def test_saving_and_loading_changes_nothing(decoder, tmp_path):
    opened(decoder).save_pretrained(tmp_path)
    loaded = GaussianDecoder.from_pretrained(tmp_path).eval()
    assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])
    latents, cameras = torch.randn(1, 12, 3, 4, 6), some_cameras()
    with torch.no_grad():
        found = loaded.raw_gaussians(latents, *arguments(cameras))
        assert torch.equal(found, decoder.raw_gaussians(latents, *arguments(cameras)))
    assert loaded.config["far"] == 10.0


def mochi_vae(**changed) -> AutoencoderKLMochi:
    config = {
        "encoder_block_out_channels": (32, 32, 32, 32),
        "decoder_block_out_channels": (32, 32, 32, 32),
        "layers_per_block": (1, 1, 1, 1, 1),
        "temporal_expansions": (1, 1, 1),
        "out_channels": 3,
    }
    return AutoencoderKLMochi(**{**config, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"decoder_block_out_channels": (32, 32, 32, 64)},
        {"decoder_block_out_channels": (64, 32, 32, 32)},
        {"layers_per_block": (1, 1, 1, 1, 2)},
        {"layers_per_block": (0, 1, 1, 1, 1)},
        {"latent_channels": 4},
    ],
)
def test_refuses_an_autoencoder_of_another_shape_and_stays_as_it_was(decoder, changed):
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    with pytest.raises(ValueError, match=r"expected|differ in their layers"):
        decoder.copy_autoencoder(mochi_vae(**changed))
    assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())


def test_of_an_autoencoder_that_expands_time_the_last_frame_is_taken():
    torch.manual_seed(0)
    vae = mochi_vae(temporal_expansions=(1, 2, 3))
    trunk = tiny_gaussian_decoder(vae).trunk
    for index, frames in enumerate((3, 2, 1)):
        theirs, ours = vae.decoder.up_blocks[index].proj, trunk.up_blocks[index].proj
        expected = theirs.weight.view(32, frames, 2, 2, 32)[:, -1].reshape(128, 32)
        assert torch.equal(ours.weight, expected)


def test_rejects_bad_settings():
    with pytest.raises(ValueError, match="0 < near < far"):
        GaussianDecoder(near=3.0, far=2.0)
    with pytest.raises(ValueError, match="smoothing must be a number of at least 0, got -1"):
        GaussianDecoder(smoothing=-1.0)
    with pytest.raises(ValueError, match="divide the trunk's width 32, got 24"):
        GaussianDecoder(
            block_out_channels=(32,) * 4, layers_per_block=(0,) * 5, attention_head_dim=24
        )


@pytest.fixture
def one_process(tmp_path) -> Iterator[None]:
    store = FileStore(str(tmp_path / "store"), 1)
    init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_blocks_in_parts_on_many_processes_are_put_together_to_work(vae, decoder):
    """FSDP gathers a block's weights when the block itself is called, and only then."""
    latents, cameras = torch.randn(1, 12, 3, 4, 6), some_cameras()
    pixels = torch.rand(3, 3, HEIGHT, WIDTH)

    def work(vae, decoder) -> list[torch.Tensor]:
        moments = encode_frames(vae, pixels)
        frames = decode_frames(vae, moments.chunk(2, dim=1)[0])
        (gaussians,) = decoder(latents, *arguments(cameras))
        (frames.square().mean() + gaussians.means.square().mean()).backward()
        return [moments, frames, gaussians.means]

    opened(decoder)
    sharded = copy.deepcopy((vae, decoder))
    expected = work(vae, decoder)
    for model in sharded:
        for block in model.modules():
            if type(block).__name__ in model._no_split_modules:
                fully_shard(block)
    found = work(*sharded)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two)
    for model, plain in zip(sharded, (vae, decoder), strict=True):
        gradients = {name: p.grad for name, p in plain.named_parameters()}
        for name, parameter in model.named_parameters():
            if gradients[name] is not None:
                whole = parameter.grad
                whole = whole.full_tensor() if isinstance(whole, DTensor) else whole
                torch.testing.assert_close(whole, gradients[name])
