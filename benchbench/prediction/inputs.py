"""Finds the images that a command names: in a folder in the layout of the dataset, or file by file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchbench.contract import Case, CaseRef
from benchbench.data.case_checks import load_case
from benchbench.data.images_without_labels import Images
from benchbench.errors import BenchbenchError, DataError, DataNotFoundError, UsageError
from benchbench.images.image_files import PLANE_SUFFIXES, read_image_files
from benchbench.images.label_maps import READERS, stem_of, suffix_of
from benchbench.prediction.trained import Trained
from benchbench.registry.faults import plugin_faults
from benchbench.spec.file_names import slug

_NUMBERED = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True, kw_only=True)
class ImageCase:
    """An image to predict."""

    id: str
    files: tuple[Path, ...]
    """The files of the image, the one whose header the label gets first."""
    load: Callable[[], Case]
    """Reads the image; its label is of no use."""
    is_of_dataset: bool
    """True if the dataset's plugin reads the image."""

    @property
    def has_plane_files(self) -> bool:
        """True if the files may be the slices of a stack, one each."""
        are_planes = all(path.name.lower().endswith(PLANE_SUFFIXES) for path in self.files)
        return self.is_of_dataset and len(self.files) > 1 and are_planes


class ChannelFile(NamedTuple):
    """A file that may have one channel of a case."""

    channel: str
    """Number or name of the channel; "" for a file with all of them."""
    path: Path


@dataclass(frozen=True)
class Selection:
    """The images that a command predicts, and the errors of others."""

    cases: list[ImageCase] = field(default_factory=list)
    errors: list[BenchbenchError] = field(default_factory=list)


def find_images(paths: Sequence[Path], trained: Trained) -> Selection:
    """Return the images in files and folders; what cannot be used is an error of its own and stops no other image.

    A folder is read in the layout of the dataset if its plugin finds cases there; in a patient's folder in that
    layout, only this patient. In any other folder every image file counts, as if it were named alone.
    """
    selection = Selection()
    files: list[Path] = []
    for path in dict.fromkeys(paths):
        if path.is_dir():
            files += _search_folder(path, trained, selection)
        elif path.exists() or path.is_symlink():
            files.append(path)
        else:
            selection.errors.append(DataNotFoundError(f"{path}: no such file or folder; correct the path"))
    for group in _groups(files, trained.task.channels):
        _add_group(*group, trained, selection)
    return _without_duplicates(selection)


def _search_folder(folder: Path, trained: Trained, selection: Selection) -> list[Path]:
    """Add the cases of a folder in the dataset's layout; otherwise return its image files."""
    name = trained.dataset.name
    for root in (folder, folder / name):
        try:
            images, cases = _cases_in(root, trained)
        except DataError as error:
            selection.errors.append(error)
            return []
        if cases:
            _add_cases(images, cases, selection)
            return []
    if _add_patient(folder.absolute(), trained, selection):
        return []
    files = [path for path in sorted(folder.iterdir()) if _is_image(path)]
    if not files:
        suffixes = ", ".join(READERS)
        selection.errors.append(
            DataNotFoundError(
                f"{folder}: found neither cases in the layout of '{name}' nor files that end in {suffixes}; name"
                " another folder"
            )
        )
    return files


def _add_patient(folder: Path, trained: Trained, selection: Selection) -> bool:
    """Add the case that the folder has the name and the files of; return False where there is none."""
    try:
        images, cases = _cases_in(folder.parent, trained)
    except DataError:  # the folder above was not asked for
        return False
    for case in cases:
        if case.id == folder.name:
            _add_cases(images, [case], selection)
            return True
    return False


def _is_image(path: Path) -> bool:
    return suffix_of(path.name) is not None and not path.name.startswith(".") and not path.is_dir()


def _cases_in(root: Path, trained: Trained) -> tuple[Images, Sequence[CaseRef]]:
    """Return the dataset in a folder and its cases; no cases if the folder has another layout.

    Raises:
        DataError: the folder has the layout and a fault, or the plugin failed.
    """
    name = trained.dataset.name
    with plugin_faults(name, "open()", DataError):
        images = Images(name, trained.dataset.open(root, **trained.dataset_params))
    try:
        return images, images.cases()
    except DataNotFoundError:
        return images, []


def _add_cases(images: Images, cases: Sequence[CaseRef], selection: Selection) -> None:
    for case in cases:
        try:
            files = tuple(images.files(case.id))
        except DataError as error:
            selection.errors.append(error)
            continue
        load = partial(load_case, images, case.id)
        selection.cases.append(ImageCase(id=case.id, files=files, load=load, is_of_dataset=True))


def _groups(files: Sequence[Path], channels: Sequence[str]) -> Iterator[tuple[str, list[ChannelFile]]]:
    """Yield the name of each case and its files.

    The channels of a case are named <case>_0000, <case>_0001 and so on, or <case>_<channel>.
    """
    stems = {(path.parent, stem_of(path.name)) for path in files}
    groups: dict[tuple[Path, str], list[ChannelFile]] = {}
    for path in files:
        stem = stem_of(path.name)
        numbered = _NUMBERED.fullmatch(stem)
        case, channel = stem, ""
        if numbered and (path.parent, f"{numbered[1]}_0000") in stems:
            case, channel = numbered[1], numbered[2]
        elif len(channels) > 1:
            case, channel = _named_channel(stem, channels)
        groups.setdefault((path.parent, case), []).append(ChannelFile(channel, path))
    for (_, case), group in groups.items():
        if len(group) == 1 and len(channels) > 1:  # one file, whatever it is called
            path = group[0].path
            yield stem_of(path.name), [ChannelFile("", path)]
        else:
            yield case, group


def _named_channel(stem: str, channels: Sequence[str]) -> tuple[str, str]:
    """Return case and channel of a name like case_flair or case-flair; the name and "" for any other."""
    for channel in channels:
        match = re.fullmatch(rf"(.+)[_-]{re.escape(channel)}", stem, re.IGNORECASE)
        if match:
            return match[1], channel
    return stem, ""


def _add_group(case_id: str, group: Sequence[ChannelFile], trained: Trained, selection: Selection) -> None:
    channels = trained.task.channels
    try:
        files = _in_order(case_id, group, channels)
    except DataError as error:
        selection.errors.append(error)
        return
    load = partial(_load_files, files, channels)
    selection.cases.append(ImageCase(id=case_id, files=files, load=load, is_of_dataset=False))


def _in_order(case_id: str, group: Sequence[ChannelFile], channels: Sequence[str]) -> tuple[Path, ...]:
    """Return the files of all channels in the order of the task, or the one file that has them all.

    Raises:
        DataError: a channel is missing or there twice, or there are others.
    """
    path_of = {file.channel: file.path for file in group}
    numbers = [f"{number:04}" for number in range(len(channels))]
    if len(path_of) == len(group):
        for expected in ([""], numbers, list(channels)):
            if set(path_of) == set(expected):
                return tuple(path_of[channel] for channel in expected)
    place = group[0].path.parent / case_id
    names = ", ".join(sorted(file.path.name for file in group))
    raise DataError(
        f"{place}: found {names}, expected one file, or the channels {', '.join(numbers)} or"
        f" {', '.join(channels)}, each once; give a file for each channel"
    )


def _load_files(files: Sequence[Path], channels: Sequence[str]) -> Case:
    stored = read_image_files(files, channels=channels)
    label = np.zeros(stored.channels.shape[1:], np.uint8)
    return Case(image=stored.channels, label=label, affine=stored.affine, spacing_mm=stored.spacing_mm)


def _without_duplicates(selection: Selection) -> Selection:
    """Refuse cases whose label files would have one name; an image that was named twice counts once."""
    cases = list({tuple(path.absolute() for path in case.files): case for case in selection.cases}.values())
    counts = Counter(slug(case.id).casefold() for case in cases)
    unique: list[ImageCase] = []
    for case in cases:
        if counts[slug(case.id).casefold()] == 1:
            unique.append(case)
            continue
        problem = f"another image has the name {case.id} too; predict it into another folder"
        selection.errors.append(UsageError(f"{case.files[0]}: {problem}"))
    return Selection(unique, selection.errors)
