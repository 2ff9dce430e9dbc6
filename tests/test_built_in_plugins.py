"""Tests that every built-in plugin follows the rules of its kind, and that the page of models is up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchbench.cli.models_page import models_page
from benchbench.registry.registry import discover
from benchbench.testing import candidate, check_dataset, dataset_rules, examine_model

LITTLE = {"encoder": "tu-mobilenetv3_small_050"}
SMALL: dict[str, dict[str, Any]] = {
    "monai_attention_unet": {"widths": (4, 8, 16)},
    "monai_basic_unet_plus_plus": {"widths": (4, 4, 8, 8, 8)},
    "monai_dynunet": {"widths": (4, 8, 8), "deep_supervision": 1},
    "monai_mednext": {"width": 16, "deep_supervision": True},
    "monai_segresnet": {"width": 8},
    "monai_swin_unetr": {"width": 12, "window": 2},
    "nnunet_plain": {"widths": (4, 8, 8), "deep_supervision": True},
    "nnunet_residual": {"widths": (4, 8, 8), "blocks": (1, 1, 1)},
    "segresnet_vae": {"width": 8, "latent": 8},
    "smp_dpt": {"encoder": "tu-vit_tiny_patch16_224"},
    "smp_manet": {"encoder": "resnet18"},
    "smp_pspnet": {"encoder": "resnet18"},
    "attention_unet": {"width": 4},
    "mask_dino": {"backbone": "resnet18", "encoder_layers": 1, "decoder_layers": 1, "queries": 10, "points": 256},
    # fewer channels crash a strided 1×1 convolution of torch 2.15, channels last, on CPUs
    "resunet": {"width": 16},
    "separable_unet": {"width": 4},
    "transunet": {
        "width": 4,
        "blocks": (1, 1, 1),
        "hidden": 24,
        "layers": 1,
        "mlp": 24,
        "heads": 2,
        "decoder_widths": (8, 8, 8, 8, 8),
    },
    "unet": {"width": 4},
    "unetr": {"width": 4, "hidden": 24, "mlp": 24, "heads": 2},
}
LARGE = {"monai_vnet", "smp_dpt"}
"""Models that no parameter makes small enough to learn a batch in a test; `benchbench check` takes the time."""


FAST = {"unext_s"}
"""Models that the fast suite checks; the slow suite checks them all."""
LITTLE_PHANTOMS = ((1, 32), (2, 33))
"""Patients and pixels of the phantoms of the fast suite, in place of up to 64³ voxels."""


FAST_DATASETS = {"bids", "cardiac", "folders", "nnunet"}
"""Datasets whose phantoms the fast suite checks by every rule; it rehearses the others from file to table."""


def marks_of(dataset: str) -> list[pytest.MarkDecorator]:
    return [] if dataset in FAST_DATASETS else [pytest.mark.slow]


def built_in(kind: str) -> list[str]:
    installed = getattr(discover(), kind)
    return sorted(name for name, plugin in installed.items() if plugin.origin.distribution == "benchbench")


def models_to_check() -> list[object]:
    params = []
    for name in built_in("models"):
        marks = [] if name in FAST else [pytest.mark.slow]
        params.append(pytest.param(name, marks=marks))
    return params


@pytest.mark.parametrize("name", models_to_check())
def test_a_built_in_model_follows_every_rule(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name in LARGE:
        monkeypatch.setattr(candidate, "_STEPS", 4)
    params = SMALL.get(name, LITTLE if name.startswith("smp_") else {})
    report = examine_model(discover().model(name), params)
    assert set(report.failed) <= ({"overfits"} if name in LARGE else set()), list(report.lines())


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks_of(name)) for name in built_in("datasets")])
def test_a_built_in_dataset_follows_every_rule_on_small_phantoms(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(dataset_rules, "_PHANTOM_SIZES", LITTLE_PHANTOMS)
    check_dataset(discover().dataset(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", built_in("datasets"))
def test_a_built_in_dataset_follows_every_rule(name: str) -> None:
    check_dataset(discover().dataset(name))


@pytest.mark.slow
def test_the_page_of_models_is_up_to_date() -> None:
    page = Path(__file__).parent.parent / "docs" / "models.md"
    registry = discover()
    broken = [plugin for plugin in registry.broken if plugin.origin.module.startswith("benchbench_models")]
    assert not broken, "the page has a row for every model, so all of them must be installed"
    models = {name: model for name, model in registry.models.items() if model.origin.distribution == "benchbench"}
    assert page.read_text(encoding="utf-8") == models_page(models)
    assert "**differs**" not in page.read_text(encoding="utf-8")
