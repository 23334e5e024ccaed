"""Conversion of function parameters from Gemini's Schema, a dialect of OpenAPI 3.0, to JSON Schema."""

from collections.abc import Mapping

_SAME = ("description", "title", "enum", "required", "format", "pattern", "minimum", "maximum", "default")
# int64 in the protocol, so proto3 JSON may write them as strings.
_COUNTS = {
    "minItems": "min_items",
    "maxItems": "max_items",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minProperties": "min_properties",
    "maxProperties": "max_properties",
}
_MAX_DEPTH = 20


def json_schema(schema: Mapping[str, object], *, depth: int = 0) -> dict[str, object]:
    """Return the JSON Schema; unknown fields, and what is nested deeper than 20 levels, are left out."""
    if depth > _MAX_DEPTH:
        return {}
    converted: dict[str, object] = {name: schema[name] for name in _SAME if name in schema}
    kind = schema.get("type")
    if isinstance(kind, str) and kind != "TYPE_UNSPECIFIED":
        converted["type"] = [kind.lower(), "null"] if schema.get("nullable") is True else kind.lower()
    for name, alias in _COUNTS.items():
        count = schema.get(name, schema.get(alias))
        if isinstance(count, int | str) and str(count).isdecimal():
            converted[name] = int(count)
    if isinstance(items := schema.get("items"), Mapping):
        converted["items"] = json_schema(items, depth=depth + 1)
    if isinstance(properties := schema.get("properties"), Mapping):
        converted["properties"] = {
            name: json_schema(value, depth=depth + 1)
            for name, value in properties.items()
            if isinstance(value, Mapping)
        }
    if isinstance(choices := schema.get("anyOf", schema.get("any_of")), list):
        converted["anyOf"] = [json_schema(choice, depth=depth + 1) for choice in choices if isinstance(choice, Mapping)]
    return converted
