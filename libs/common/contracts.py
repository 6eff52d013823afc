"""Every contract as data: services, messages and the comments on them, out of the committed descriptors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

_FILE = Path(__file__).parents[1] / "gen" / "descriptors.binpb"


@dataclass(frozen=True)
class Contracts:
    """`files` are in the order of what they import."""

    files: FileDescriptorSet

    @cached_property
    def pool(self) -> DescriptorPool:
        pool = DescriptorPool()
        for file in self.files.file:
            pool.Add(file)
        return pool

    @cached_property
    def services(self) -> list[ServiceDescriptor]:
        """In the order of their names."""
        names = sorted(f"{file.package}.{service.name}" for file in self.files.file for service in file.service)
        return [self.pool.FindServiceByName(name) for name in names]

    @cached_property
    def comments(self) -> Mapping[str, str]:
        """What is written above (or behind) a service, method, message, field or enum, by full name.

        A value's name begins with that of its enum."""
        return {name: text for file in self.files.file for name, text in _comments(file)}

    def message(self, name: str) -> Descriptor:
        """Raises KeyError when there is none of that full name."""
        return self.pool.FindMessageTypeByName(name)


def load_contracts() -> Contracts:
    """What `make proto` last wrote."""
    return Contracts(FileDescriptorSet.FromString(_FILE.read_bytes()))


def _comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        text = " ".join(line.strip(" ") for line in _lines(location.leading_comments, location.trailing_comments))
        if text and (name := _name(file, location.path)):
            yield name, text.replace(" \n ", "\n\n").strip()


def _lines(*comments: str) -> Iterator[str]:
    for comment in comments:
        for line in comment.splitlines():
            yield line or "\n"  # an empty line begins a paragraph


def _name(file: FileDescriptorProto, path: Sequence[int]) -> str:
    """What a path stands for (descriptor.proto, SourceCodeInfo.Location): numbers of fields and indexes in turn."""
    place: Any = file
    names = [file.package]
    for number, index in zip(path[::2], path[1::2], strict=False):
        places = getattr(place, place.DESCRIPTOR.fields_by_number[number].name)
        if not isinstance(places, Sequence):
            return ""  # an option
        place = places[index]
        names.append(getattr(place, "name", ""))
    return ".".join(names)
