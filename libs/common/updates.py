"""Partial updates of a resource (AIP-134)."""

from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from libs.common.errors import FieldViolation, Invalid

M = TypeVar("M", bound=Message)


def updated(resource: M, given: M, mask: FieldMask, updatable: Sequence[str]) -> M:
    """A copy of `resource` with the masked fields as given; an empty mask and `*` mean every updatable one given.

    Raises Invalid `FIELD_NOT_UPDATABLE` for a mask with other fields.
    """
    if others := [path for path in mask.paths if path not in (*updatable, "*")]:
        violations = tuple(FieldViolation("update_mask", f"{path} cannot be updated") for path in others)
        raise Invalid("FIELD_NOT_UPDATABLE", f"only {', '.join(updatable)} can be updated", violations)
    every = not mask.paths or "*" in mask.paths
    said = {field.name for field, _ in given.ListFields()}
    names = [name for name in updatable if name in mask.paths or (every and name in said)]
    after = type(resource)()
    after.CopyFrom(resource)
    FieldMask(paths=names).MergeMessage(given, after, replace_message_field=True, replace_repeated_field=True)
    return after
