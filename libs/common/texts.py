"""Texts of requests: control characters are no part of them, but for tabs and line breaks; databases choke on some.

Nor is a text of nothing but blanks one: it would pass for a reason that somebody gave.
"""

import re
from collections.abc import Iterator
from functools import cache
from unicodedata import category

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from buf.validate.validate_pb2 import field as rules_of
from libs.common.errors import FieldViolation
from stepladder.common.v1.rules_pb2 import decimal, iso_date, iso_month, resource_id

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_NARROW = (resource_id, iso_date, iso_month, decimal)
"""Rules that allow no such character: what has one is not looked at again."""


def unreadable_texts(request: Message, path: str = "") -> Iterator[FieldViolation]:
    """Every field of a message with a control character other than a tab or a line break, or with blanks only.

    Behind the path given.
    """
    with_texts = _fields_with_texts(request.DESCRIPTOR)
    for field, value in request.ListFields():
        if field not in with_texts:
            continue
        for index, one in enumerate(value if field.is_repeated else [value]):
            here = f"{path}{field.name}[{index}]" if field.is_repeated else f"{path}{field.name}"
            if isinstance(one, Message):
                yield from unreadable_texts(one, f"{here}.")
            elif _CONTROL.search(one):
                yield FieldViolation(here, "must not have control characters but tabs and line breaks")
            elif one and all(category(character)[0] in "CZ" for character in one):
                yield FieldViolation(here, "must say something: there are only blanks")


@cache
def _fields_with_texts(message: Descriptor) -> frozenset[FieldDescriptor]:
    """Fields that are free texts or hold messages with some; so many facts at once, which have none, cost nothing."""
    return frozenset(field for field in message.fields if any(map(_is_text, _with_all_inside(field))))


def _with_all_inside(field: FieldDescriptor) -> set[FieldDescriptor]:
    found, left = {field}, [field]
    while left:
        inside = left.pop().message_type
        new = set(inside.fields) - found if inside else set()
        found |= new
        left += new
    return found


def _is_text(field: FieldDescriptor) -> bool:
    if field.type != FieldDescriptor.TYPE_STRING:
        return False
    rules = field.GetOptions().Extensions[rules_of]
    rules = rules.repeated.items if field.is_repeated else rules
    return not any(rules.string.Extensions[one] for one in _NARROW)
