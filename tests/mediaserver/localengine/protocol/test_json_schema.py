from mediaserver.localengine.protocol.json_schema import json_schema


def test_a_schema_of_gemini_becomes_json_schema() -> None:
    schema = {
        "type": "OBJECT",
        "description": "A box.",
        "properties": {
            "box_2d": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "4", "max_items": 4},
            "label": {"type": "STRING", "nullable": True, "enum": ["a", "b"]},
            "either": {"anyOf": [{"type": "NUMBER"}, {"type": "TYPE_UNSPECIFIED"}]},
            "broken": 7,
        },
        "required": ["box_2d"],
        "propertyOrdering": ["box_2d"],
    }
    assert json_schema(schema) == {
        "type": "object",
        "description": "A box.",
        "properties": {
            "box_2d": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
            "label": {"type": ["string", "null"], "enum": ["a", "b"]},
            "either": {"anyOf": [{"type": "number"}, {}]},
        },
        "required": ["box_2d"],
    }


def test_what_is_nested_without_end_is_cut() -> None:
    schema: dict[str, object] = {"type": "STRING"}
    for _ in range(1_000):
        schema = {"type": "ARRAY", "items": schema}
    assert str(json_schema(schema)).count("array") == 21
