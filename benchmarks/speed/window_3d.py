"""Times benchbench's sliding window against MONAI's and nnU-Net's, with a network that takes almost no time.

    python benchmarks/speed/window_3d.py --threads 1
    python benchmarks/speed/window_3d.py --threads 1 --flips --shape 192 192 128

Windows overlap by half and have Gaussian weights. The network is pointwise, so the exact result is known; the
last line prints the largest difference from it. With flips each window is predicted in all its eight mirror
images. nnU-Net adds up in float16. Contenders take turns; the first round is not counted. MONAI and nnU-Net
(`nnunetv2`) are left out if they are not installed.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable
from types import SimpleNamespace

import torch
from race import race, report
from torch import Tensor, nn

from benchbench.engine.inference.window import predict_windows
from benchbench.engine.inference.window_buffer import WindowBuffer

CHANNELS, REGIONS, OVERLAP = 4, 3, 0.5

Contender = Callable[[], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--shape", type=int, nargs=3, default=(240, 240, 155))
    parser.add_argument("--flips", action="store_true")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    patch, device, flips = (options.patch,) * 3, torch.device(options.device), options.flips
    generator = torch.Generator().manual_seed(0)
    volume = torch.randn(CHANNELS, *options.shape, generator=generator).to(device)
    contenders = {
        "benchbench, reused result": ours(volume, patch, flips=flips, reuse=True),
        "benchbench, new result": ours(volume, patch, flips=flips, reuse=False),
    }
    rivals: dict[str, Callable[[], Contender]] = {
        "MONAI, 1 at once": lambda: monai(volume, patch, flips=flips, batch=1),
        "MONAI, 4 at once": lambda: monai(volume, patch, flips=flips, batch=4),
        "nnU-Net": lambda: nnunet(volume, patch, flips=flips),
    }
    for name, build in rivals.items():
        try:
            contenders[name] = build()
        except ImportError as error:
            print(f"{name}: {error.name} is not installed, left out")
    exact = network(volume[None])[0]
    errors: dict[str, float] = {}

    def check(name: str, result: Tensor) -> None:
        errors[name] = float((result - exact).abs().max())

    print(f"{CHANNELS} x {tuple(options.shape)}, windows of {patch}, {options.threads} thread(s), {device}")
    report(race(contenders, rounds=options.rounds, check=check), units=1, unit="volume")
    listed = [f"{name} {error:.1e}" for name, error in errors.items()]
    print(f"largest error: {', '.join(listed)}")


def network(images: Tensor) -> Tensor:
    return images[:, :REGIONS] * 2


class Pointwise(nn.Module):
    """The network as a module, which nnU-Net expects."""

    def forward(self, images: Tensor) -> Tensor:
        return network(images)


def ours(volume: Tensor, patch: tuple[int, ...], *, flips: bool, reuse: bool) -> Contender:
    buffer = WindowBuffer() if reuse else None

    def run() -> Tensor:
        return synchronised(
            predict_windows(network, volume, patch=patch, overlap=OVERLAP, flips=flips, buffer=buffer)
        )

    return run


def monai(volume: Tensor, patch: tuple[int, ...], *, flips: bool, batch: int) -> Contender:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.inferers import SlidingWindowInferer  # noqa: PLC0415
    mirrors = [axes for count in range(1, 4) for axes in itertools.combinations((2, 3, 4), count)]

    def predict_mirrored(images: Tensor) -> Tensor:
        total = network(images)
        for mirror in mirrors:
            total += network(images.flip(mirror)).flip(mirror)
        return total / (1 + len(mirrors))

    predict = predict_mirrored if flips else network
    inferer = SlidingWindowInferer(patch, batch, OVERLAP, mode="gaussian", cache_roi_weight_map=True)

    @torch.inference_mode()
    def run() -> Tensor:
        return synchronised(inferer(volume[None], predict)[0])

    return run


def nnunet(volume: Tensor, patch: tuple[int, ...], *, flips: bool) -> Contender:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: PLC0415

    predictor = nnUNetPredictor(
        tile_step_size=1 - OVERLAP,
        use_mirroring=flips,
        perform_everything_on_device=volume.is_cuda,
        device=volume.device,
        allow_tqdm=False,
    )
    predictor.network = Pointwise().eval()
    predictor.allowed_mirroring_axes = (0, 1, 2)
    predictor.configuration_manager = SimpleNamespace(patch_size=list(patch))
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=REGIONS)
    return lambda: synchronised(predictor.predict_sliding_window_return_logits(volume))


def synchronised(result: Tensor) -> Tensor:
    """Return the result after a GPU has finished it."""
    if result.is_cuda:
        torch.cuda.synchronize(result.device)
    return result


if __name__ == "__main__":
    main()
