"""Validation errors of client messages as the errors that clients are promised."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError, PydanticKnownError

from pipeline.errors import FaultCode, ProtocolError


@dataclass(frozen=True, slots=True)
class Refusal:
    """The error of a field, attached to its annotation."""

    message: str
    code: FaultCode = FaultCode.INVALID_MESSAGE
    rank: int = 0
    """Of several errors in one message the lowest rank is reported, and of equals the first."""


def refused(message: str, code: FaultCode = FaultCode.INVALID_MESSAGE) -> PydanticCustomError:
    """Make an error for a validator to raise where the field's own `Refusal` does not fit."""
    return PydanticCustomError("refused", "{message}", {"message": message, "code": code})


def not_a_string() -> PydanticKnownError:
    """Make the error that reports INVALID_MESSAGE whatever code the field's `Refusal` has."""
    return PydanticKnownError("string_type")


def protocol_error(error: ValidationError, models: Iterable[type[BaseModel]], accepted: str) -> ProtocolError:
    """Turn a failed validation of the union of `models` into one error; `accepted` lists the known actions."""
    faults = error.errors(include_url=False)
    match faults[0]:
        case {"type": "union_tag_invalid", "input": {"action": str()}}:
            return ProtocolError(f"Unknown action; accepted here: {accepted}.", code=FaultCode.UNKNOWN_ACTION)
        case {"type": "union_tag_invalid" | "union_tag_not_found"}:
            return ProtocolError("The message has no `action`.")
    by_action = {action_of(model): model for model in models}
    refusals = [_refusal(fault, by_action) for fault in faults]
    worst = min(refusals, key=lambda refusal: refusal.rank)
    return ProtocolError(worst.message, code=worst.code)


def action_of(model: type[BaseModel]) -> str:
    """The `action` that names the message."""
    (action,) = get_args(model.model_fields["action"].annotation)
    return str(action)


def _refusal(fault: ErrorDetails, by_action: dict[str, type[BaseModel]]) -> Refusal:
    action, *names = fault["loc"]
    declared = _declared(by_action[str(action)], [str(name) for name in names])
    match fault:
        case {"type": "refused", "ctx": {"message": str(message), "code": FaultCode() as code}}:
            return Refusal(message, code, declared.rank)
        case {"type": "string_type"}:
            return Refusal(declared.message, rank=declared.rank)
    return declared


def _declared(model: type[BaseModel], names: list[str]) -> Refusal:
    """The `Refusal` of the innermost field on the path; what follows it leads through a union or a mapping."""
    found: Refusal | None = None
    inner: type[BaseModel] | None = model
    for name in names:
        field = None if inner is None else _field(inner, name)
        if field is None:
            break
        found = next((item for item in field.metadata if isinstance(item, Refusal)), found)
        inner = _model_in(field.annotation)
    if found is None:
        raise LookupError(f"no refusal is declared for {'.'.join(names)}")
    return found


def _field(model: type[BaseModel], name: str) -> FieldInfo | None:
    return next((field for own, field in model.model_fields.items() if name == (field.alias or own)), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((option for option in options if isinstance(option, type) and issubclass(option, BaseModel)), None)
