"""`benchbench plan` names the work that the CPU does for a GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from commands import benchbench
from test_train import protocol

from benchbench.plan.host_work import host_work_remarks
from benchbench.spec.protocol import Protocol


def runs(*protocols: Protocol) -> Any:
    return [
        SimpleNamespace(key=SimpleNamespace(variant=f"v{number}"), protocol=one)
        for number, one in enumerate(protocols)
        for _ in range(2)  # folds
    ]


def test_each_kind_of_work_is_named_once_for_a_variant() -> None:
    library = ({"albumentations": "Blur"}, {"name": "flip"}, {"albumentations": "ElasticTransform", "p": 0.3})
    made = runs(protocol(), protocol(augment=library), protocol(context=1, denoise="tv"))
    steps = "Blur, ElasticTransform of albumentations"
    assert host_work_remarks(made) == [
        f"variant v1: augment: {steps}: the CPU computes it for each image, and a GPU waits for it",
        "variant v2: context = 1: the CPU puts neighbouring slices together in every step",
        'variant v2: denoise = "tv": the CPU denoises every case, once, while it is prepared',
    ]


def test_plan_prints_it_below_the_sizes(benchmark_file: Path, squares: Path) -> None:
    words = ["plan", benchmark_file, "--data-root", squares]
    changed = benchbench(*words, "--set", 'protocol.denoise="tv"', cwd=benchmark_file.parent)
    text = " ".join(changed.stdout.split())
    assert 'variant default: denoise = "tv": the CPU denoises every case, once, while it is prepared' in text
    assert "the CPU" not in benchbench(*words, cwd=benchmark_file.parent).stdout
