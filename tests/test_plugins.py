from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any, cast

import pytest
from commands import benchbench
from conftest import NUMBERS, Install

from benchbench import DataError, Dataset
from benchbench.data.case_checks import load_case
from benchbench.data.guarded import Guarded
from benchbench.errors import PluginError
from benchbench.registry.parameters import check_params, resolve_params
from benchbench.registry.registry import Registry, discover, load
from benchbench.registry.sources import source_digest

MODEL = """
from benchbench import ModelPlugin, hookimpl

def build(geometry, *, width: int = 8): ...

@hookimpl
def benchbench_models():
    return [ModelPlugin(name="NAME", build=build, source="none", ndims=frozenset([2]))]
"""
HOOK = """
import benchbench

@benchbench.hookimpl
def benchbench_models():
    {}
"""
DATASET = """
from benchbench import DatasetPlugin, Download, hookimpl

def open_(root, *, channel: str): ...

@hookimpl
def benchbench_datasets():
    download = Download(licence="CC0", page="https://example.org")
    return [DatasetPlugin(name="NAME", open=open_, source="none", download=download, phantom=open_)]
"""


def loaded(*distributions: PathDistribution) -> Registry:
    return load([point for distribution in distributions for point in distribution.entry_points])


def test_installed_plugins_are_found_with_their_origin(install: Install) -> None:
    install("alpha", MODEL.replace("NAME", "alpha_net"), entry_point="first")
    install("beta", DATASET.replace("NAME", "beta_set"), entry_point="second")
    registry = discover(["first", "second"])
    assert registry.model("alpha_net").ndims == {2}
    assert registry.dataset("beta_set").download.licence == "CC0"
    assert str(registry.models["alpha_net"].origin) == "alpha 1.0, entry point 'first'"
    assert registry.broken == ()


def test_only_the_named_entry_points_are_loaded(install: Install) -> None:
    install("alpha", MODEL.replace("NAME", "alpha_net"))
    install("beta", "raise RuntimeError('not to be imported')")
    registry = discover(["alpha"])
    assert (list(registry.models), registry.broken) == (["alpha_net"], ())


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_package_at_all", "ModuleNotFoundError: No module named 'no_such_package_at_all'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 +", "SyntaxError: invalid syntax"),
        (
            "x = 1",
            "PluginError: has no hook; define benchbench_datasets, benchbench_models or benchbench_launchers",
        ),
        (
            MODEL.replace("@hookimpl", ""),
            "PluginError: has no hook; define benchbench_datasets, benchbench_models or benchbench_launchers",
        ),
        (
            MODEL.replace("benchbench_models", "benchbench_model"),
            "PluginValidationError: unknown hook 'benchbench_model'",
        ),
        (
            HOOK.format("return ['net']"),
            "PluginError: a hook returned 'net', expected DatasetPlugin, ModelPlugin or LauncherPlugin",
        ),
        (HOOK.format("pass"), "PluginError: its hooks returned nothing, expected DatasetPlugin, ModelPlugin or"),
        (HOOK.format("return 1 / 0"), "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_plugin_does_not_affect_the_others(install: Install, source: str, reason: str) -> None:
    registry = loaded(install("ill", source), install("well", MODEL.replace("NAME", "well_net")))
    (broken,) = registry.broken
    assert (broken.name, broken.origin.distribution) == ("ill", "ill")
    assert broken.reason.startswith(reason)
    assert list(registry.models) == ["well_net"]
    with pytest.raises(PluginError) as caught:
        registry.model("ill")
    assert (
        str(caught.value)
        == f"model 'ill' cannot be used: {broken.reason}; {broken.advice} (ill 1.0, entry point 'ill')"
    )


def test_a_plugin_of_an_extra_that_is_not_installed_is_optional_and_not_broken(install: Install) -> None:
    needy = MODEL.replace("NAME", "needy").replace("ndims=", "needs=('no_such_module',), extra='large', ndims=")
    strict = MODEL.replace("NAME", "strict").replace("ndims=", "needs=('no_such_module',), ndims=")
    optional, missing = loaded(install("needy", needy), install("strict", strict)).broken
    assert (optional.advice, optional.is_optional) == ("pip install 'needy[large]'", True)
    assert (missing.advice, missing.is_optional) == ("pip install no_such_module", False)


def test_two_plugins_with_one_name_are_both_refused_with_their_origins(install: Install) -> None:
    registry = loaded(
        install("alpha", MODEL.replace("NAME", "net")),
        install("beta", MODEL.replace("NAME", "net")),
        install("gamma", MODEL.replace("NAME", "other")),
    )
    assert list(registry.models) == ["other"]
    assert [(broken.name, broken.origin.distribution) for broken in registry.broken] == [
        ("net", "alpha"),
        ("net", "beta"),
    ]
    owners = "alpha 1.0, entry point 'alpha' and beta 1.0, entry point 'beta'"
    with pytest.raises(PluginError, match=f"two plugins have this name: {owners}; uninstall one"):
        registry.model("net")


def test_a_dataset_and_a_model_may_share_a_name(install: Install) -> None:
    registry = loaded(
        install("alpha", MODEL.replace("NAME", "same")), install("beta", DATASET.replace("NAME", "same"))
    )
    assert (registry.model("same").name, registry.dataset("same").name) == ("same", "same")


def test_an_unknown_plugin_name_gets_a_hint(install: Install) -> None:
    registry = loaded(install("alpha", MODEL.replace("NAME", "alpha_net")))
    with pytest.raises(PluginError, match="no model plugin 'alpha_nett' is installed; did you mean 'alpha_net'"):
        registry.model("alpha_nett")
    with pytest.raises(PluginError, match="no dataset plugin 'x' is installed; known: none"):
        registry.dataset("x")


def test_an_entry_of_a_benchmark_is_checked_against_its_plugin(install: Install) -> None:
    registry = loaded(install("a", MODEL.replace("NAME", "net")), install("b", DATASET.replace("NAME", "set")))
    assert registry.check("models", "net", {"width": 3}) == []
    assert registry.check("models", "net", {"widht": 3}) == [("widht", "no such parameter; did you mean 'width'?")]
    assert registry.check("datasets", "set", {}) == [("", "parameter 'channel' must be given")]
    ((key, message),) = registry.check("models", "nett", {})
    assert (key, message) == ("", "no model plugin 'nett' is installed; did you mean 'net'?")


def build(
    geometry: object, *, width: int, depths: tuple[int, ...] = (1, 2), rate: float = 0.5, flag: bool = False
) -> None: ...


@pytest.mark.parametrize(
    ("params", "problems"),
    [
        ({"width": 3, "depths": [4, 5], "rate": 1, "flag": True}, []),
        ({"width": 3, "geometry": 1}, [("geometry", "no such parameter; known: width, depths, rate, flag")]),
        ({}, [("", "parameter 'width' must be given")]),
        ({"width": True}, [("width", "input should be a valid integer, found True")]),
        ({"width": "3"}, [("width", "input should be a valid integer, found '3'")]),
        ({"width": 3.0}, [("width", "input should be a valid integer, found 3.0")]),
        ({"width": 3, "flag": 1}, [("flag", "input should be a valid boolean, found 1")]),
        ({"width": 3, "rate": "x"}, [("rate", "input should be a valid number, found 'x'")]),
        ({"width": 3, "depths": [1, "x"]}, [("depths", "input should be a valid integer, found 'x'")]),
        ({"width": 3, "depths": 1}, [("depths", "input should be a valid array, found 1")]),
    ],
)
def test_parameters_are_checked_against_the_signature(
    params: dict[str, Any], problems: list[tuple[str, str]]
) -> None:
    assert check_params(build, params) == problems


def test_a_value_for_an_unknown_type_is_a_problem_of_the_parameter() -> None:
    def build_oddly(*, guide: NoSuchType = None) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert check_params(build_oddly, {}) == []
    ((key, message),) = check_params(build_oddly, {"guide": 3})
    assert (key, message) == (
        "guide",
        "cannot be checked against the plugin's own type 'NoSuchType'; leave it out",
    )


def test_resolved_parameters_are_complete_and_have_the_types_of_the_signature() -> None:
    resolved = resolve_params(build, {"width": 3, "depths": [4, 5], "rate": 1})
    assert resolved == {"width": 3, "depths": (4, 5), "rate": 1.0, "flag": False}
    assert (type(resolved["depths"]), type(resolved["rate"])) == (tuple, float)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Callable[..., Any]]:
    """The folder of a package and a factory in it: net imports blocks, blocks imports sizes; other is not imported."""
    name = f"made_up_{next(NUMBERS)}"
    folder = tmp_path / name
    folder.mkdir()
    for module, source in {
        "__init__": "",
        "net": f"from {name} import blocks\ndef build(geometry, *, width: int = 8): ...\n",
        "blocks": "from .sizes import WIDTH\ndef late():\n    from . import lazy\n",
        "sizes": "WIDTH = 8\n",
        "lazy": "",
        "other": "",
    }.items():
        (folder / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module(f"{name}.other")
    return folder, importlib.import_module(f"{name}.net").build


@pytest.mark.parametrize(
    ("module", "is_used"), [("net", True), ("blocks", True), ("sizes", True), ("lazy", True), ("other", False)]
)
def test_the_digest_changes_only_with_modules_that_are_imported(
    package: tuple[Path, Callable[..., Any]], module: str, *, is_used: bool
) -> None:
    folder, factory = package
    before = source_digest(factory)
    path = folder / f"{module}.py"
    path.write_text(f"{path.read_text()}# changed\n")
    assert (source_digest(factory) != before) == is_used


def test_a_partial_has_the_digest_of_the_module_of_its_function(
    package: tuple[Path, Callable[..., Any]],
) -> None:
    _, factory = package
    assert source_digest(functools.partial(factory, width=3)) == source_digest(factory)


def test_what_a_plugin_prints_at_import_goes_to_a_log_and_not_into_the_output(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "print('hello from the plugin')\n" + MODEL.replace("NAME", "alpha_net")
    install("alpha", source.replace("    return [", "    print('hello from its hook')\n    return ["))
    real = discover
    monkeypatch.setattr("benchbench.registry.registry.discover", lambda: real(["alpha"]))
    done = benchbench("list", "--format", "json", cwd=tmp_path)
    assert [model["name"] for model in json.loads(done.stdout)["models"]] == ["alpha_net"]
    assert done.stderr == ""
    log = (tmp_path / "cache" / "plugins.log").read_text()
    assert "alpha printed when it was imported: hello from the plugin\nhello from its hook" in log


@pytest.mark.parametrize("name", ["task", "cases", "files", "metadata"])
@pytest.mark.parametrize("error", [KeyError("seg"), SystemExit(3), OSError("no such thing")])
def test_whatever_a_dataset_raises_is_one_line_with_its_name(name: str, error: BaseException) -> None:
    class Faulty:
        def __getattribute__(self, attribute: str) -> Any:
            if attribute == name:
                raise error
            return super().__getattribute__(attribute)

    dataset = Guarded("discs", cast("Dataset", Faulty()))
    reads = {
        "task": lambda: dataset.task,
        "cases": dataset.cases,
        "files": lambda: dataset.files("one"),
        "metadata": dataset.metadata,
    }
    with pytest.raises(DataError) as caught:
        reads[name]()
    assert str(caught.value).startswith(f"discs: its plugin failed in {name}")
    assert type(error).__name__ in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_case_that_ends_the_process_is_one_line_with_its_name() -> None:
    class Faulty:
        def load(self, _: str) -> None:
            raise SystemExit(3)

    with pytest.raises(DataError, match=r"one: the dataset plugin failed: SystemExit: 3"):
        load_case(cast("Dataset", Faulty()), "one")


def test_the_default_of_a_dataclass_may_be_made_by_a_function() -> None:
    assert resolve_params(Listed, {}) == {"values": [1, 2], "name": "a"}
    assert resolve_params(Listed, {})["values"] is not resolve_params(Listed, {})["values"]
    assert check_params(Listed, {"values": [3]}) == []


@dataclass(kw_only=True)
class Listed:
    """Parameters of a dataset, one of which is a list."""

    values: list[int] = field(default_factory=lambda: [1, 2])
    name: str = "a"
