from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbench import Case, CaseRef, DataError, Task
from benchbench.engine.preparation.labels import region_bits
from benchbench.engine.preparation.placement import Placement, place, resize_label
from benchbench.engine.preparation.prepare import CasePreparation, prepare_cases, verify_cases
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import IGNORED
from benchbench.spec.protocol import Protocol


class OneCase:
    """A dataset of a single case, given as arrays."""

    def __init__(
        self,
        image: np.ndarray,
        label: np.ndarray,
        affine: np.ndarray | None = None,
        spacing_mm: tuple[float, ...] | None = None,
    ) -> None:
        self.image, self.label, self.affine, self.spacing_mm = image, label, affine, spacing_mm
        channels = tuple(f"channel {number}" for number in range(len(image)))
        self.task = Task(channels=channels, regions={"region": (1,)})

    def cases(self) -> list[CaseRef]:
        return [CaseRef("case", "patient")]

    def load(self, case_id: str) -> Case:
        return Case(image=self.image, label=self.label, affine=self.affine, spacing_mm=self.spacing_mm)


def protocol(**changes: Any) -> Protocol:
    fields = {"patch": (8, 8), "epochs": 1, "batch": 1, "optimizer": {"name": "adam", "lr": 1.0}, "loss": "bce"}
    return Protocol.model_validate({**fields, **changes}, strict=False)


def prepare(
    dataset: Any, cache: Path, recipe: str = "", digest: str = "0", *, compress: bool = False, **changes: Any
) -> PreparedCase:
    preparation = CasePreparation(
        dataset=dataset,
        digests={"case": digest},
        protocol=protocol(**changes),
        recipe=recipe,
        cache=cache,
        compress=compress,
    )
    return prepare_cases(preparation, threads=1, progress=lambda: None)["case"]


def arrays(height: int, width: int, *, slices: int = 2, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (channels, slices, height, width)).astype(np.uint8)
    return image, (image[0] > 200).astype(np.uint8)


def test_a_slice_of_the_patch_size_is_stored_unchanged(tmp_path: Path) -> None:
    image, label = arrays(8, 8, channels=3)
    prepared = prepare(OneCase(image, label), tmp_path)
    assert np.array_equal(prepared.image(), np.moveaxis(image, 0, 1))
    assert np.array_equal(prepared.label(), label)
    assert np.array_equal(prepared.native_label(), label)


def test_a_larger_slice_is_scaled_by_one_factor_and_centred() -> None:
    assert place((16, 8), (8, 8)) == Placement(native=(16, 8), scaled=(8, 4), offset=(0, 2))
    assert place((4, 4), (8, 8)) == Placement(native=(4, 4), scaled=(8, 8), offset=(0, 0))


def test_shrinking_averages_the_image_and_keeps_the_label_whole(tmp_path: Path) -> None:
    image = np.zeros((1, 1, 16, 16), np.uint8)
    image[..., ::2] = 100
    label = np.zeros((1, 16, 16), np.uint8)
    label[0, 4:8, 4:8] = 1
    prepared = prepare(OneCase(image, label), tmp_path)
    assert (prepared.image() == 50).all()
    assert prepared.label().sum() == 4
    assert prepared.label()[0, 2:4, 2:4].all()
    assert np.array_equal(prepared.native_label(), label)


def test_shrinking_to_a_quarter_averages_all_pixels(tmp_path: Path) -> None:
    image = np.zeros((1, 1, 32, 32), np.uint8)
    image[..., ::4] = 100  # two of four columns would be read by an interpolation, and neither of them is bright
    prepared = prepare(OneCase(image, np.zeros((1, 32, 32), np.uint8)), tmp_path)
    assert (prepared.image() == 25).all()


def test_shrinking_and_scaling_make_no_new_label() -> None:
    bits = np.tile(np.array([1, 4], np.uint8), (1, 12, 6))
    for patch in ((8, 8), (30, 30)):
        resized = resize_label(bits, place((12, 12), patch), patch)
        assert set(np.unique(resized)) <= {1, 4}


def test_overlapping_regions_are_bits_of_one_mask() -> None:
    task = Task(channels=("x",), regions={"whole": (1, 2, 4), "core": (1, 4), "enhancing": (4,)})
    bits = region_bits(np.array([0, 1, 2, 4]), task)
    assert bits.tolist() == [0, 0b011, 0b001, 0b111]


@pytest.mark.parametrize("values", [(0,), (0, 2), (3,)])
@pytest.mark.parametrize("ignore", [(), (0,), (5,)])
def test_the_bits_of_a_region_are_where_its_values_are(values: tuple[int, ...], ignore: tuple[int, ...]) -> None:
    label = np.zeros((6, 7, 8), np.int16)
    label[2:4, 3, 1], label[5, 6, 7], label[0, 0, 3] = 2, 3, 5
    task = Task(channels=("x",), regions={"a": values, "b": (2, 3)}, ignore=ignore)
    for view in (label, label[::-1, :, ::-1], np.asfortranarray(label), label[0], label * 0):
        expected = np.isin(view, values) | np.isin(view, (2, 3)) << 1
        expected[np.isin(view, ignore)] = IGNORED
        np.testing.assert_array_equal(region_bits(view, task), expected)


def test_unit_intensity_of_other_than_8_bit_is_the_range_of_each_channel(tmp_path: Path) -> None:
    image = np.zeros((2, 1, 8, 8), np.int16)
    image[0, 0, 0, 0], image[1, 0, 0, 0] = 1000, -4
    prepared = prepare(OneCase(image, np.zeros((1, 8, 8), np.uint8)), tmp_path)
    assert prepared.image().dtype == np.float16
    assert prepared.image()[0, 0, 0, 0] == 1
    assert prepared.image()[0, 1, 0, 0] == 0
    assert prepared.image()[0, 1].max() == 1


def test_zscore_has_mean_0_and_sd_1_and_a_constant_channel_is_0(tmp_path: Path) -> None:
    image, label = arrays(8, 8, channels=2)
    image[1] = 7
    prepared = prepare(OneCase(image, label), tmp_path, intensity="zscore").image().astype(np.float32)
    assert prepared[:, 0].mean() == pytest.approx(0, abs=1e-3)
    assert prepared[:, 0].std() == pytest.approx(1, abs=1e-3)
    assert (prepared[:, 1] == 0).all()


AFFINES = {
    "axial last, as BraTS has it": (np.diag([-1.0, -1, 1, 1]), 2, 1, 0),
    "axial in the middle, as HVSMR has it": (
        np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]]),
        1,
        0,
        2,
    ),
}


@pytest.mark.parametrize("name", AFFINES)
def test_slices_are_cut_along_the_anatomical_axis_that_the_protocol_names(tmp_path: Path, name: str) -> None:
    affine, *axes = AFFINES[name]
    image = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(1, 2, 3, 4)
    label = (image[0] % 2).astype(np.uint8)
    for number, (axis, slices) in enumerate(zip(("axial", "coronal", "sagittal"), axes, strict=True)):
        dataset = OneCase(image, label, affine=affine)
        side = max(image.shape[1:])
        prepared = prepare(dataset, tmp_path / str(number), slice_axis=axis, patch=(side, side))
        assert np.array_equal(prepared.native_label(), np.moveaxis(label, slices, 0)), axis
        assert len(prepared.image()) == image.shape[1 + slices]


def test_the_spacing_has_the_axes_of_the_slices(tmp_path: Path) -> None:
    image, label = np.zeros((1, 2, 3, 4), dtype=np.uint8), np.zeros((2, 3, 4), dtype=np.uint8)
    dataset = OneCase(image, label, affine=np.eye(4), spacing_mm=(0.5, 0.7, 5.0))
    orders = {"axial": (5.0, 0.5, 0.7), "coronal": (0.7, 0.5, 5.0), "sagittal": (0.5, 0.7, 5.0)}
    for axis, spacing in orders.items():
        assert prepare(dataset, tmp_path / axis, slice_axis=axis).spacing_mm == spacing
    plane = OneCase(image[:, 0], label[0], spacing_mm=(0.7, 5.0))
    assert prepare(plane, tmp_path / "plane").spacing_mm == (1.0, 0.7, 5.0)
    assert prepare(OneCase(image, label), tmp_path / "unknown").spacing_mm is None


def test_an_image_of_two_dimensions_is_one_slice(tmp_path: Path) -> None:
    image, label = arrays(8, 8)
    prepared = prepare(OneCase(image[:, 0], label[0]), tmp_path)
    assert prepared.image().shape == (1, 1, 8, 8)
    assert np.array_equal(prepared.label()[0], label[0])


def test_the_voxel_digest_is_equal_for_copies_only(tmp_path: Path) -> None:
    image, label = arrays(8, 8)
    first = prepare(OneCase(image, label), tmp_path, digest="1").voxel_digest()
    assert prepare(OneCase(image.copy(), label), tmp_path, digest="2").voxel_digest() == first
    assert prepare(OneCase(image + np.uint8(1), label), tmp_path, digest="3").voxel_digest() != first


def test_a_cached_case_is_reused_only_for_the_same_content_and_preparation(tmp_path: Path) -> None:
    image, label = arrays(8, 8)
    first = prepare(OneCase(image, label), tmp_path)
    assert prepare(OneCase(image, label), tmp_path).folder == first.folder
    others = [
        prepare(OneCase(image, label), tmp_path, digest="1"),
        prepare(OneCase(image, label), tmp_path, recipe="other"),
        prepare(OneCase(image, label), tmp_path, intensity="zscore"),
        prepare(OneCase(image, label), tmp_path, patch=(16, 16)),
    ]
    assert len({first.folder, *(other.folder for other in others)}) == 5


def test_a_cropped_volume_has_another_key_of_the_cache(tmp_path: Path) -> None:
    case = OneCase(*arrays(8, 8), np.eye(4))
    settings = {"ndim": 3, "patch": (8, 8, 8)}
    whole = prepare(case, tmp_path, **settings)
    cropped = prepare(case, tmp_path, **settings, crop="nonzero")
    assert whole.folder != cropped.folder


def test_cases_that_share_a_file_are_prepared_apart(tmp_path: Path) -> None:
    class TwoInOneFile(OneCase):
        def cases(self) -> list[CaseRef]:
            return [CaseRef("frame 0", "p"), CaseRef("frame 1", "q")]

        def load(self, case_id: str) -> Case:
            case = super().load(case_id)
            return replace(case, image=case.image // 2) if case_id == "frame 1" else case

    dataset = TwoInOneFile(*arrays(8, 8))
    preparation = CasePreparation(
        dataset=dataset,
        digests={"frame 0": "same file", "frame 1": "same file"},
        protocol=protocol(),
        recipe="",
        cache=tmp_path,
    )
    first, second = prepare_cases(preparation, threads=1, progress=lambda: None).values()
    assert np.array_equal(second.image(), first.image() // 2)
    assert first.image().any()


def preparation_of(dataset: Any, cache: Path, *, compress: bool = False) -> CasePreparation:
    return CasePreparation(
        dataset=dataset,
        digests={"case": "0"},
        protocol=protocol(),
        recipe="",
        cache=cache,
        compress=compress,
    )


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["image.npy", "label.npy", "native.npy", "case.json", "arrays.npz"])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(flip_a_byte, id="flipped"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1]), id="short"),
        pytest.param(lambda path: path.unlink(), id="missing"),
    ],
)
def test_a_case_that_was_damaged_in_the_cache_is_prepared_again_and_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None], name: str
) -> None:
    image, label = arrays(16, 16)
    preparation = preparation_of(OneCase(image, label), tmp_path, compress=name == "arrays.npz")
    prepared = preparation.prepare(CaseRef("case", "patient"))
    before = contents(prepared.folder)
    spoil(prepared.folder / name)
    verify_cases(preparation, [prepared.case], threads=1, progress=lambda: None)
    assert contents(prepared.folder) == before
    assert "case: damaged in the cache, prepared again" in caplog.text
    assert name in caplog.text
    assert list(prepared.folder.parent.iterdir()) == [prepared.folder]
    caplog.clear()
    verify_cases(preparation, [prepared.case], threads=1, progress=lambda: None)
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["image.npy", "label.npy", "native.npy"])
def test_a_file_of_another_size_is_noticed_without_reading_arrays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    dataset = OneCase(*arrays(16, 16))
    prepared = prepare(dataset, tmp_path)
    (prepared.folder / name).write_bytes(b"")
    with pytest.raises(DataError, match=rf"{name}: found 0 bytes, expected \d+; the same command prepares"):
        (prepared.image(), prepared.label(), prepared.native_label())
    assert prepare(dataset, tmp_path).native_label().any()
    assert "damaged in the cache" in caplog.text


def test_files_and_folder_of_a_case_are_synced_before_the_folder_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    folder = prepare(OneCase(*arrays(16, 16)), tmp_path).folder
    names = [Path(path).name.partition(".")[0] for path in synced if f".{folder.name}." in path]
    assert {"image", "label", "native", "case"} <= set(names)
    assert synced[-1] == str(folder.parent)
    assert Path(synced[-2]).name.startswith(f".{folder.name}.")


def test_the_case_of_a_faster_process_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = OneCase(*arrays(8, 8))
    load = dataset.load

    def load_slowly(case_id: str) -> Case:
        monkeypatch.setattr(dataset, "load", load)
        theirs.append(prepare(dataset, tmp_path))
        return load(case_id)

    theirs: list[PreparedCase] = []
    monkeypatch.setattr(dataset, "load", load_slowly)
    ours = prepare(dataset, tmp_path)
    assert ours.folder == theirs[0].folder
    assert ours.damage(of_content=True) == ""
    assert len(list(ours.folder.parent.iterdir())) == 1


def test_denoising_and_its_weight_are_part_of_the_cache_key(tmp_path: Path) -> None:
    image, label = arrays(8, 8)
    plain, weaker = (prepare(OneCase(image, label), tmp_path, denoise_weight=weight) for weight in (0.1, 0.05))
    assert plain.folder == weaker.folder  # nothing is denoised
    settings = ({"denoise": "tv"}, {"denoise": "tv", "denoise_weight": 0.05})
    strong, weak = (prepare(OneCase(image, label), tmp_path, **changes) for changes in settings)
    assert len({plain.folder, strong.folder, weak.folder}) == 3
    noise = [np.abs(np.diff(case.image().astype(np.float32))).sum() for case in (strong, weak)]
    assert noise[0] < noise[1] < np.abs(np.diff(plain.image() / 255)).sum()
    for case in (strong, weak):
        assert np.array_equal(case.label(), plain.label())
        assert case.image().dtype == np.float16


def test_a_denoised_volume_keeps_its_labels_and_foreground(tmp_path: Path) -> None:
    image, label = arrays(8, 8, slices=8)
    volume = {"ndim": 3, "patch": (8, 8, 8), "intensity": "zscore"}
    plain, smooth = (
        prepare(OneCase(image, label), tmp_path, **volume, **changes) for changes in ({}, {"denoise": "tv"})
    )
    assert np.array_equal(plain.native_label(), smooth.native_label())
    assert np.array_equal(plain.foreground(), smooth.foreground())
    assert smooth.image().std() < plain.image().std()


def test_a_cached_case_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = OneCase(*arrays(8, 8))
    prepare(dataset, tmp_path)
    monkeypatch.setattr(dataset, "load", lambda _: pytest.fail("decoded again"))
    prepare(dataset, tmp_path)


def test_a_compressed_case_is_the_same_case_in_less_space(tmp_path: Path) -> None:
    image, label = np.zeros((1, 4, 32, 32), np.int16), np.zeros((4, 32, 32), np.uint8)
    image[0, 1:3, 4:20, 4:20], label[1, 5:9, 5:9] = 7, 1
    plain = prepare(OneCase(image, label), tmp_path / "plain", patch=(16, 16))
    small = prepare(OneCase(image, label), tmp_path / "small", patch=(16, 16), compress=True)
    for array in ("image", "label", "native_label"):
        assert np.array_equal(getattr(plain, array)(), getattr(small, array)())
    sizes = [sum(path.stat().st_size for path in case.folder.iterdir()) for case in (plain, small)]
    assert sizes[1] < sizes[0] / 3


def test_a_volume_is_stored_oriented_and_cropped_with_its_foreground(tmp_path: Path) -> None:
    affine = np.diag([-1.0, -1, 1, 1])  # left, posterior, superior
    image = np.zeros((2, 6, 7, 8), np.int16)
    image[:, 1:5, 2:6, 3:8] = np.arange(1, 81).reshape(4, 4, 5)
    label = np.zeros((6, 7, 8), np.uint8)
    label[2, 3, 4] = 1
    prepared = prepare(
        OneCase(image, label, affine), tmp_path, ndim=3, patch=(8, 8, 8), crop="nonzero", one_hot_foreground=True
    )
    assert prepared.image().shape == (3, 5, 4, 4)
    assert prepared.frame.box == ((3, 8), (1, 5), (1, 5))
    # right and anterior are where the stored axes begin, superior where the last ends
    assert np.argwhere(prepared.label()).tolist() == prepared.foreground().tolist() == [[1, 2, 2]]
    assert np.array_equal(prepared.frame.restore(prepared.native_label()), label)
    assert prepared.image()[0, 0, 3, 3] == 0
    assert (prepared.image()[2] == 1).all()


def test_a_slice_cannot_be_prepared_as_a_volume(tmp_path: Path) -> None:
    image, label = arrays(8, 8)
    with pytest.raises(DataError, match=r"expected a volume; set protocol\.ndim to 2"):
        prepare(OneCase(image[:, 0], label[0]), tmp_path, ndim=3, patch=(8, 8, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda case: setattr(case, "label", case.label[:, :4]), "expected (C, *space) and the same space"),
        (lambda case: setattr(case, "label", case.label * 7), "found label values 7 ("),
        (
            lambda case: setattr(case, "task", Task(channels=("a", "b"), regions={"region": (1,)})),
            "found 1 channels, expected a, b",
        ),
        (
            lambda case: setattr(case, "image", np.full(case.image.shape, np.nan)),
            "found 128 voxels of the image nan or infinite",
        ),
    ],
)
def test_a_case_that_contradicts_its_task_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    dataset = OneCase(*arrays(8, 8))
    change(dataset)
    with pytest.raises(DataError) as caught:
        prepare(dataset, tmp_path)
    assert message in str(caught.value)
    assert not list(tmp_path.rglob("*.npy"))


def test_the_faults_of_all_cases_are_listed_at_once(tmp_path: Path) -> None:
    class Broken(OneCase):
        def cases(self) -> list[CaseRef]:
            return [CaseRef("one", "p"), CaseRef("two", "q")]

        def load(self, case_id: str) -> Case:
            raise (DataError(f"{case_id}: torn") if case_id == "one" else KeyError("seg"))

    preparation = CasePreparation(
        dataset=Broken(*arrays(8, 8)),
        digests={"one": "1", "two": "2"},
        protocol=protocol(),
        recipe="",
        cache=tmp_path,
    )
    with pytest.raises(DataError) as caught:
        prepare_cases(preparation, threads=2, progress=lambda: None)
    assert caught.value.problems[0] == "one: torn"
    assert "two: the dataset plugin failed: KeyError" in caught.value.problems[1]
