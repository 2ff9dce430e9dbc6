"""A folder with the cases of the galleries as volumes, which niivue shows in a browser; written on request only.

It has `index.html`, which opens from the disk and loads nothing from elsewhere, its script `viewer.js`,
`niivue.js` from the npm package, and a script such as `case_1.js` for each case: image, reference and predictions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchbench.errors import DataError, UsageError
from benchbench.plan.run import Chosen
from benchbench.records.folder import ResultsFolder
from benchbench.records.record import Record
from benchbench.report.figures.gallery_choice import GalleryChoice, choose_gallery
from benchbench.report.figures.gallery_files import Pictures, read_pictures
from benchbench.report.figures.metric_text import format_value
from benchbench.report.page.render import render_file
from benchbench.report.viewer.niivue import VERSION, fetch_niivue
from benchbench.report.viewer.volumes import CaseReader, case_script
from benchbench.tables.results import Results

FOLDER = "viewer"
_TEMPLATES = Path(__file__).parent / "templates"


def write_viewer(folder: ResultsFolder, results: Results, *, data_root: Path, cache: Path) -> Path:
    """Write the viewer of a benchmark and return its page.

    Raises:
        UsageError: no case of a gallery has more than one slice.
        DataError: niivue cannot be downloaded, or a case cannot be read or is not that of the runs.
    """
    entries: list[dict[str, Any]] = []
    scripts: dict[str, str] = {}
    for dataset in results.manifest.datasets:
        choice = choose_gallery(results, dataset)
        if choice is None:
            continue
        pictures = read_pictures(folder, results, choice)
        reader = CaseReader(_chosen_dataset(results, choice), data_root)
        for entry, script in _cases(results, choice, pictures, reader):
            number = len(scripts) + 1
            scripts[f"case_{number}.js"] = script
            entries.append({"file": f"case_{number}.js", **entry})
    if not entries:
        raise UsageError(f"{folder.path}: no case with several slices is in a gallery; --viewer shows volumes")
    content = {"title": results.manifest.title, "note": results.note, "entries": entries, "version": VERSION}
    with folder.writing():
        folder.write(f"{FOLDER}/niivue.js", fetch_niivue(cache))
        folder.write(f"{FOLDER}/viewer.js", (_TEMPLATES / "viewer.js").read_bytes())
        for name, script in scripts.items():
            folder.write(f"{FOLDER}/{name}", script)
        folder.write(f"{FOLDER}/index.html", render_file(_TEMPLATES / "viewer.html", content))
        folder.discard_others(FOLDER, "case_*.js", keep=scripts)
    return folder.path / FOLDER / "index.html"


def _chosen_dataset(results: Results, choice: GalleryChoice) -> Chosen:
    return Chosen(**_record_of(results, choice, choice.models[0], choice.cases[0].case).resolved["dataset"])


def _record_of(results: Results, choice: GalleryChoice, model: str, case: str) -> Record:
    return results.records[choice.runs[model][case]]


def _cases(
    results: Results, choice: GalleryChoice, pictures: Pictures, reader: CaseReader
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the entry of each case in the page, and its script."""
    for chosen in choice.cases:
        record = _record_of(results, choice, choice.models[0], chosen.case)
        volumes = reader.read(chosen.case, record.resolved["protocol"])
        if volumes is None:
            continue
        first = pictures.planes[choice.models[0], chosen.case][0]
        if not volumes.matches(first):
            raise DataError(
                f"{chosen.case}: the reference in the data root is not that of the runs; give the folder that they"
                " used"
            )
        masks = {}
        for model in choice.models:
            score = format_value(choice.metric, choice.scores.loc[chosen.case, model])
            masks[f"{model}: {score}"] = pictures.predictions[model, chosen.case]
        colours = dict(zip(first.regions, first.colours, strict=True))
        yield (
            {"rule": chosen.rule.capitalize(), "case": chosen.case, "colours": json.dumps(colours)},
            case_script(volumes, masks, list(colours)),
        )
