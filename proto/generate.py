"""Generates libs/gen from proto/ and, with --check, says whether the committed code is current.

The rules' own contract (buf/validate/validate.proto) comes from the protovalidate wheel and Google's from
googleapis-common-protos, so that nothing is copied into this repository.
"""

import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

import google.api
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

HERE = Path(__file__).parent
GENERATED = HERE.parent / "libs" / "gen"
DESCRIPTORS = "descriptors.binpb"
MYPY_PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


def generate(out: Path) -> None:
    """Writes messages, stubs and the descriptor set (for the gateway and buf) of every contract."""
    google_protos = str(Path(next(iter(google.api.__path__))).parent.parent)
    own = sorted(str(path.relative_to(HERE)) for path in HERE.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        rules = Path(scratch) / "rules.binpb"
        rules.write_bytes(_validate_descriptors().SerializeToString())
        common = ["protoc", f"--descriptor_set_in={rules}", f"--proto_path={HERE}", f"--proto_path={google_protos}"]
        common.append(f"--proto_path={Path(protoc.__file__).parent / '_proto'}")
        out.mkdir(parents=True, exist_ok=True)
        plugins = [f"--plugin={name}={Path(sys.executable).parent / name}" for name in MYPY_PLUGINS]
        messages = [f"--python_out={out}", f"--mypy_out=quiet:{out}"]
        stubs = [f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet,only_async:{out}"]
        _run([*common, *plugins, *messages, *own, "buf/validate/validate.proto"])
        _run([*common, *plugins, *stubs, *(name for name in own if "\nservice " in (HERE / name).read_text())])
        # Errors with details (google.rpc) have empty bodies at the gateway unless their types are in the set.
        _run(
            [
                *common,
                f"--descriptor_set_out={out / DESCRIPTORS}",
                "--include_imports",
                "--include_source_info",
                *own,
                "google/rpc/error_details.proto",
            ]
        )
    (out / "stepladder" / "py.typed").touch()  # whoever installs the client gets the types, too (PEP 561)


def _validate_descriptors() -> FileDescriptorSet:
    files = FileDescriptorSet()
    pending, seen = [validate_pb.desc()], set[str]()
    while pending:
        file = pending.pop()
        if file.proto.name in seen:
            continue
        seen.add(file.proto.name)
        files.file.append(FileDescriptorProto.FromString(file.proto.to_binary()))
        pending += file.dependencies
    return files


def _run(arguments: list[str]) -> None:
    if protoc.main(arguments):
        sys.exit(f"protoc failed: {' '.join(arguments)}")


def main() -> None:
    if "--check" not in sys.argv:
        shutil.rmtree(GENERATED, ignore_errors=True)
        generate(GENERATED)
        return
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = {str(p.relative_to(scratch)) for p in Path(scratch).rglob("*") if p.is_file()}
        committed = {
            str(p.relative_to(GENERATED)) for p in GENERATED.rglob("*") if p.is_file() and "__pycache__" not in p.parts
        }
        _, differing, failed = filecmp.cmpfiles(scratch, GENERATED, fresh & committed, shallow=False)
        if stale := sorted({*differing, *failed, *(fresh ^ committed)}):
            sys.exit(f"libs/gen is not what proto/ says; run `make proto`: {', '.join(stale)}")


if __name__ == "__main__":
    main()
