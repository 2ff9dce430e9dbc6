"""The JSON Schema of a benchmark file, which editors use to complete and explain its keys."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from benchbench.registry.descriptions import field_docstrings
from benchbench.spec.benchmark_file import BenchmarkFile


def file_schema() -> dict[str, Any]:
    """Return the JSON Schema of a benchmark file, each key with its type, default and description.

    It is wider than `benchbench check`: parameters of plugins and rules that concern several keys are not in it.
    """
    schema = BenchmarkFile.model_json_schema(schema_generator=_DescribedSchema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


class _DescribedSchema(GenerateJsonSchema):
    """Describes every key by the docstring of its field."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        content = super().model_schema(schema)
        properties = content.get("properties", {})
        for owner in reversed(schema["cls"].__mro__[:-1]):
            if not owner.__module__.startswith("benchbench."):
                continue
            for key, text in field_docstrings(owner).items():
                if key in properties:
                    properties[key]["description"] = text
        return content

    def get_title_from_name(self, name: str) -> str:
        """Return the key as it is written in the file."""
        return name
