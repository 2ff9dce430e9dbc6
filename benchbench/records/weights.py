"""The weights that a run kept: `best.safetensors`, and `best_2.safetensors` and so on where several are kept."""

from __future__ import annotations

import hashlib

from benchbench.records.run_folder import RunFolder


def weight_files(folder: RunFolder) -> list[str]:
    """Return the names of the weight files, best first."""
    names = [path.name for path in folder.path.glob("best*.safetensors")]
    return sorted(names, key=lambda name: (len(name), name))


def trial_folder(number: int) -> str:
    """Return the name of the folder of a trial in that of a tuned run."""
    return f"tuning/trial_{number:04}"


def trial_weights(folder: RunFolder) -> list[str]:
    """Return the names of the weight files of the best trials of a tuned run; none for another run."""
    paths = (folder.path / "tuning").glob("trial_*/best*.safetensors")
    return sorted(path.relative_to(folder.path).as_posix() for path in paths)


def is_weight_file(name: str) -> bool:
    """Return True for the name of a weight file."""
    return name.startswith("best") and name.endswith(".safetensors")


def weights_digest(folder: RunFolder) -> str:
    """Return the SHA-256 of all weight files; an empty string where there are none."""
    digests = [folder.digest_of(name) for name in weight_files(folder)]
    if not digests:
        return ""
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()
