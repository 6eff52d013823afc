"""What an image of deploy/images/Dockerfile holds, laid out in a folder: where tests run, no image can be built."""

import json
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "images" / "Dockerfile"


@dataclass
class Stage:
    """One FROM and what follows it."""

    base: str
    copies: list[tuple[list[str], str]] = field(default_factory=list)
    """Sources in the project, and where to in the image; not what comes from other stages."""
    variables: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)


@dataclass
class Image:
    """A target laid out in a folder."""

    root: Path
    stage: Stage

    def environment(self, packages: Path) -> dict[str, str]:
        """The image's variables, where its `/app` is the folder and its packages lie in another."""
        path = self.stage.variables["PYTHONPATH"].replace("/app", str(self.root / "app"))
        return {**self.stage.variables, "PYTHONPATH": f"{path}:{packages}"}


def stages(text: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name; each with what it has from those that it begins with."""
    found: dict[str, Stage] = {}
    stage = Stage("")
    for words in _instructions(text):
        match words:
            case ["FROM", base, "AS", name]:
                before = found.get(base, Stage(base))
                stage = found[name] = Stage(
                    base, [*before.copies], {**before.variables}, before.folder, before.user, before.entrypoint
                )
            case ["COPY", first, *_] if first.startswith("--from="):
                pass
            case ["COPY", *sources, target]:
                stage.copies.append((sources, str(PurePosixPath(stage.folder or "/", target))))
            case ["ENV", *pairs]:
                stage.variables |= dict(pair.split("=", 1) for pair in pairs)
            case ["WORKDIR", folder]:
                stage.folder = folder
            case ["USER", user]:
                stage.user = user
            case ["ENTRYPOINT", *command]:
                stage.entrypoint = command
            case ["ARG" | "RUN", *_]:
                pass
            case _:
                raise ValueError(f"no test knows {words[0]}")
    return found


def _instructions(text: str) -> Iterator[list[str]]:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for whole in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = whole.strip().partition(" ")
        if name in ("ENTRYPOINT", "CMD"):
            yield [name, *json.loads(rest)]  # anything but the exec form is no JSON
        elif name:
            yield [name, *shlex.split(rest)]


def lay_out(text: str, target: str, folder: Path, ignore: str | None = None) -> Image:
    """Copies what a target's COPY lines copy, less what .dockerignore (or `ignore`) leaves out, into an empty folder.

    Raises FileNotFoundError for a source that is not there, as a build would.
    """
    stage = stages(text)[target]
    ignored = _ignoring((ROOT / ".dockerignore").read_text() if ignore is None else ignore)
    for sources, place in stage.copies:
        for source in sources:
            _copy(source, folder / place.lstrip("/"), ignored, into=len(sources) > 1 or place.endswith("/"))
    return Image(folder, stage)


def _copy(source: str, to: Path, ignored: list[tuple[str, bool]], *, into: bool) -> None:
    wanted = ROOT / source
    files = [wanted] if wanted.is_file() else [file for file in sorted(wanted.rglob("*")) if file.is_file()]
    left = [file for file in files if not _is_ignored(file.relative_to(ROOT), ignored)]
    if not left:
        raise FileNotFoundError(source)
    for file in left:
        if wanted.is_file():
            target = to / file.name if into or to.suffix == "" else to
        else:
            target = to / file.relative_to(wanted)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _ignoring(text: str) -> list[tuple[str, bool]]:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.lstrip("!"), not line.startswith("!")) for line in lines]


def _is_ignored(file: Path, patterns: Iterable[tuple[str, bool]]) -> bool:
    """As Docker has it: the last pattern decides that fits the file, or a folder in which it lies."""
    ignored = False
    for pattern, ignores in patterns:
        if any(_fits(part, pattern) for part in (file, *file.parents[:-1])):
            ignored = ignores
    return ignored


def _fits(path: Path, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatchcase(path.name, pattern[3:])
    wanted = PurePosixPath(pattern).parts
    return len(wanted) == len(path.parts) and all(map(fnmatchcase, path.parts, wanted))


def link_packages(lock: Path, folder: Path) -> None:
    """Fills a folder with links to the files of a lock's packages, as they are installed here, and to nothing else."""
    names = [line.partition("==")[0] for line in lock.read_text().splitlines() if "==" in line]
    for name in names:
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another machine than this
        for file in distribution.files or ():
            if ".." not in file.parts:
                link = folder / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(Path(str(distribution.locate_file(file))))
