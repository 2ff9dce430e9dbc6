"""Times the models of a plan, built without values as `benchbench plan` does: seconds of the processor.

    python benchmarks/speed/plan.py unet unext

Each round is a new interpreter. Imports and the models are timed apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

SCRIPT = """
import sys, time
from benchbench import Geometry
from benchbench.engine.network.without_values import new_tensors_on
from benchbench.registry.registry import discover
plugins = [discover().model(name) for name in sys.argv[1:]]
imported = time.process_time()
for plugin in plugins:
    with new_tensors_on("meta"):
        plugin.build(Geometry(3, 1, (256, 256)))
built = time.process_time()
print(imported, built - imported, "torch._dynamo" in sys.modules)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    imports, models = [], []
    for _ in range(options.rounds):
        words = [sys.executable, "-c", SCRIPT, *options.models]
        done = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603 our own words
        imported, built, has_compiler = done.stdout.split()
        imports.append(float(imported))
        models.append(float(built))
    print(f"imports: {min(imports):.2f} s; models: {min(models):.3f} s; compiler imported: {has_compiler}")


if __name__ == "__main__":
    main()
