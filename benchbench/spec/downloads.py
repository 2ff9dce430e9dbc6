"""The addresses and checksums of the archives of a dataset, as a benchmark file names them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from benchbench.contract import Archive, Download

Texts = str | tuple[str, ...]
"""One text, or several."""
_DOI = re.compile(r"(?:doi:|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/\S+/[^/\s]+)", re.IGNORECASE)
_CHECKSUM = re.compile(r"(?:(sha256|md5):)?([0-9a-f]+)", re.IGNORECASE)
_DIGITS = {"md5": 32, "sha256": 64}
"""Algorithm -> number of hexadecimal digits of its checksums."""


def listed(texts: Texts) -> tuple[str, ...]:
    """Return one text or several texts as a tuple; () for ''."""
    if isinstance(texts, str):
        return (texts,) if texts else ()
    return texts


def download_of(*, url: Texts, doi: Texts, checksum: Texts, licence: str) -> Download:
    """Return the archives of a dataset; the entries must have no `download_problems`."""
    addresses = [*listed(url), *(f"doi:{_doi(text)}" for text in listed(doi))]
    digests: list[str | None] = [normal_checksum(text) for text in listed(checksum)]
    digests += [None] * (len(addresses) - len(digests))
    archives = []
    for address, digest in zip(addresses, digests, strict=True):
        archives.append(Archive(url=address, digest=digest))
    return Download(
        licence=licence or "not named in the benchmark file",
        page=", ".join(addresses),
        archives=tuple(archives),
    )


def download_problems(*, url: Texts, doi: Texts, checksum: Texts) -> Iterator[str]:
    """Yield what is wrong with the keys of a download."""
    if url and doi:
        yield "found `url` and `doi`, expected one of the two; remove one"
    for text in listed(url):
        if not _is_file_address(text):
            yield f"url: found '{text}', expected the address of a zip or tar, such as https://example.org/data.zip"
    for text in listed(doi):
        if not _doi(text):
            yield f"doi: found '{text}', expected DOI and file, such as 10.5281/zenodo.1234567/data.zip"
    for text in listed(checksum):
        if not normal_checksum(text):
            yield f"checksum: found '{text}', expected sha256: and 64, or md5: and 32 hexadecimal digits"
    yield from _count_problems(listed(url), listed(doi), listed(checksum))


def _is_file_address(text: str) -> bool:
    parts = urlsplit(text)
    has_host = parts.scheme in {"http", "https"} and bool(parts.netloc)
    return has_host and not parts.path.endswith("/") and bool(parts.path)


def _count_problems(urls: Sequence[str], dois: Sequence[str], checksums: Sequence[str]) -> Iterator[str]:
    if checksums and len(checksums) != len(urls or dois):
        yield f"checksum: found {len(checksums)}, expected {len(urls or dois)}, one for each address"
    elif urls and not checksums:
        yield "checksum: found none, expected that of the archive, such as sha256:...; `sha256sum` prints it"


def normal_checksum(text: str) -> str:
    """Return a checksum as "sha256:..." or "md5:..." in small letters; '' if it is none."""
    match = _CHECKSUM.fullmatch(text.strip())
    if match is None:
        return ""
    digits = match[2].lower()
    for algorithm, length in _DIGITS.items():
        if len(digits) == length and (match[1] or algorithm).lower() == algorithm:
            return f"{algorithm}:{digits}"
    return ""


def _doi(text: str) -> str:
    """Return a DOI with the file behind it, without `doi:`; '' if it is none."""
    match = _DOI.fullmatch(text.strip())
    return match[1] if match else ""
