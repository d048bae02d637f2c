"""Suite `autoencoder`: held-out views through the autoencoder and back."""

from videorfsplat.evaluation.bootstrap import ratio_figure
from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.real_scenes import measure_real_scenes
from videorfsplat.evaluation.scene_figures import of_ceiling
from videorfsplat.evaluation.suites import SuiteResult


def evaluate(evaluation: Evaluation) -> SuiteResult:
    """PSNR and SSIM of reconstructions, and what of the attributes they keep."""
    records = measure_real_scenes(evaluation).records(evaluation.indices)
    quality = {
        name: ratio_figure([(record[name], 1.0) for record in records]) for name in ("psnr", "ssim")
    }
    reconstructed = [{"attributes": record["reconstructed_attributes"]} for record in records]
    report = {
        "scenes": len(records),
        **quality,
        "attributes_of_ceiling": of_ceiling(reconstructed, records),
    }
    return SuiteResult(report, {"autoencoder_psnr": quality["psnr"]["value"]})
