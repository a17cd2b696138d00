"""Finds what no kept iteration needs any more, from the store alone, and removes it in an order that is safe
to interrupt at any moment.

Kept is what the walk over the kept iterations reaches: their artifacts and everything those are made from,
finished or not. Where the walk cannot tell yet, everything stays: an artifact that is damaged or missing will
be made again, and its successors may then be reached unchanged.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from data.config import RunConfig
from infra.artifacts.artifact import (
    DAMAGE,
    MANIFEST,
    WORK,
    DamagedArtifact,
    Location,
    location_of,
    read_manifest,
    sha256,
)
from infra.artifacts.checkpoints import CHECKPOINTS, LISTING
from infra.artifacts.results import results_path
from infra.artifacts.verify import verify
from infra.artifacts.writer import WRITERS
from infra.store.lease import TTL_SECONDS, acquire, heartbeat, holder_of
from infra.store.store import Leftover, Store, StoreError, StoreUnavailable
from tasks.stage.graph import STAGES
from tasks.stage.walk import Step, needed_later, walk
from tasks.stage.work import LEASES, lease_path

LEFTOVER_SECONDS = 3600.0
"""A half-written file that nobody has touched for this long has no writer any more."""

_NAME = re.compile(r"[0-9a-f]{64}(\.[1-9]\d*)?")
_STEP = re.compile(r"step-(\d{6,})-[0-9a-f]+")
_RESULT = re.compile(r"(?P<run>.+?)-(?P<name>[0-9a-f]{64}(\.\d+)?)(?:-part-\d+)?-[0-9a-f]{16}")


@dataclass(frozen=True)
class Removable:
    """Something that may go: its path within the store, what it is, why it may go, and its bytes.

    Of an artifact: `manifest` is the sha256 of the manifest that it had when it was judged, and
    `replaced_by` the artifact without which it may not go.
    """

    path: str
    what: str
    why: str
    bytes: int
    leftover: Leftover | None = None
    manifest: str | None = None
    replaced_by: Location | None = None


@dataclass
class Plan:
    """What may go, in the order of removal, and what stays although the walk does not reach it."""

    removable: list[Removable] = field(default_factory=list)
    spared: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Bytes of everything that may go."""
        return sum(each.bytes for each in self.removable)


def plan(
    store: Store,
    configs: Iterable[RunConfig],
    keep_iterations: Collection[int] | None = None,
    keep_checkpoints: int = 1,
) -> Plan:
    """What may go of these runs; `keep_iterations` None keeps all."""
    planned = Plan()
    for config in configs:
        _RunFiles(store, config, keep_iterations, keep_checkpoints).add_to(planned)
    return planned


def remove(store: Store, item: Removable) -> bool:
    """Remove one thing; False if it is not as it was when it was judged, or somebody works on it now.

    What makes a thing exist goes first: a manifest before its files, a checkpoint's listing before the
    checkpoint. So a killed removal leaves nothing half visible, and the next one finds the rest.
    """
    location = location_of(item.path)
    if item.leftover is not None:
        store.drop(item.leftover)
    elif item.what == "artifact" and location is not None:
        return _remove_artifact(store, location, item)
    elif item.what == "damaged artifact" and location is not None:
        # What says that it is damaged stays: its folder must not be used again.
        for name in store.names(location.path):
            if name != DAMAGE or item.replaced_by is None:
                store.remove(f"{location.path}/{name}")
        store.remove(location.work)
    elif item.what == "lease":
        files = store.names(item.path)
        if holder_of(store, item.path) is not None:
            return False
        # By name: somebody who takes the lease at this moment writes another file.
        for name in files:
            store.remove(f"{item.path}/{name}")
    else:
        if item.what == "checkpoint":
            store.remove(f"{item.path}/{LISTING}")
        store.remove(item.path)
    return True


def _remove_artifact(store: Store, location: Location, item: Removable) -> bool:
    """Remove an artifact under the lease of its maker: whoever wants to make it waits until it is gone."""
    with _exclusive(store, location) as is_ours:
        if not is_ours or _manifest_sha256(store, location) != item.manifest:
            return False
        if item.replaced_by is not None and verify(store, item.replaced_by):
            return False
        names = [name for name in store.names(location.path) if name != MANIFEST]
        for name in (MANIFEST, *names):
            store.remove(f"{location.path}/{name}")
        for name in store.names(location.work):
            if name != LEASES:
                store.remove(f"{location.work}/{name}")
    store.remove(location.path)
    store.remove(location.work)
    return True


@contextlib.contextmanager
def _exclusive(store: Store, location: Location) -> Iterator[bool]:
    """Hold the lease of an artifact's maker; False if somebody works on it or on parts of it."""
    lease = None if _live_leases(store, location) else acquire(store, lease_path(location), "rzero gc")
    if lease is None:
        yield False
        return
    with heartbeat(lease, TTL_SECONDS / 3):
        yield not _live_leases(store, location, besides="stage")
    lease.discard()


def _manifest_sha256(store: Store, location: Location) -> str | None:
    content = store.get(f"{location.path}/{MANIFEST}")
    return None if content is None else sha256(content)


class _RunFiles:
    """The files of one run, and the steps that are kept."""

    def __init__(
        self, store: Store, config: RunConfig, keep: Collection[int] | None, keep_checkpoints: int
    ) -> None:
        self.store, self.config, self.keep_checkpoints = store, config, keep_checkpoints
        self.root = f"runs/{config.run}"
        # By artifact folder "iteration=K/stage/name": bytes by the path within it, finished or under way.
        self.folders: dict[str, dict[str, int]] = {}
        self.work: dict[str, dict[str, int]] = {}
        for name, size in store.sizes(self.root).items():
            inside, area = name.removeprefix(f"{WORK}/"), self.folders
            if inside != name:
                area = self.work
            parts = inside.split("/", 3)
            if len(parts) == 4 and _iteration(parts[0]) is not None and parts[1] in STAGES:
                area.setdefault("/".join(parts[:3]), {})[parts[3]] = size
                self.folders.setdefault("/".join(parts[:3]), {})
        self.live = {
            folder
            for folder, files in self.work.items()
            if any(name.startswith(f"{LEASES}/") for name in files)
            and _live_leases(store, self._location(folder))
        }
        there = [_iteration(folder.split("/")[0]) or 0 for folder in self.folders]
        self.steps = walk(store, config, max([config.iterations, *there]))
        self.kept = self._kept(keep)

    def add_to(self, planned: Plan) -> None:
        """Plan the removal of what may go."""
        strange = sorted(folder for folder in self.live if not self._is_reached(folder))
        if strange:
            # Another version or configuration is at work; what it needs cannot be told from here.
            planned.spared += [
                f"{self.root}/{each}: is being worked on; so the run is left alone" for each in strange
            ]
            return
        doomed: list[str] = []
        for folder in sorted(self.folders, key=_newest_first):
            if not _NAME.fullmatch(folder.rpartition("/")[2]):
                continue
            is_damaged = DAMAGE in self.folders[folder]
            why, spared = self._judge_damaged(folder) if is_damaged else self._judge(folder)
            if why:
                doomed.append(folder)
                planned.removable.append(self._artifact(folder, why, is_damaged))
            elif is_damaged:
                doomed.append(folder)
            else:
                planned.removable += [*self._checkpoints(folder), *self._leases(folder)]
                planned.removable += self._unfinished(folder)
            if spared:
                planned.spared.append(f"{self.root}/{folder}: {spared}")
        names = {folder.rpartition("/")[2] for folder in self.folders if folder not in doomed}
        planned.removable += self._results(names)
        self._leftovers(planned)

    def _location(self, folder: str) -> Location:
        location = location_of(f"{self.root}/{folder}")
        assert location is not None
        return location

    def _artifact(self, folder: str, why: str, is_damaged: bool) -> Removable:
        """An artifact that may go, with all that lies beside it for its making."""
        location, step = self._location(folder), self.kept.get(folder.rpartition("/")[0])
        files = [*self.folders[folder].values(), *self.work.get(folder, {}).values()]
        return Removable(
            location.path,
            "damaged artifact" if is_damaged else "artifact",
            why,
            sum(files),
            manifest=_manifest_sha256(self.store, location),
            replaced_by=step.location if step and step.ref else None,
        )

    def _leftovers(self, planned: Plan) -> None:
        """Plan the removal of what killed writers left."""
        try:
            leftovers = self.store.leftovers(self.root, LEFTOVER_SECONDS)
        except StoreUnavailable:
            raise
        except StoreError as error:
            # Listing the uploads of a bucket needs a permission of its own.
            planned.spared.append(f"half-written files of {self.root}: {error}")
            return
        for leftover in leftovers:
            path = leftover.full.removeprefix(f"{self.store.root}/")
            why = "its writer did not finish it"
            planned.removable.append(Removable(path, "half-written file", why, leftover.bytes, leftover))

    def _kept(self, keep: Collection[int] | None) -> dict[str, Step]:
        """The steps that a kept iteration, or one being worked on, needs, by 'iteration=K/stage'."""
        wanted = {*(keep or ())} | {_iteration(folder.split("/")[0]) or 0 for folder in self.live}
        last = max((step.iteration for step in self.steps if step.iteration in wanted), default=-1)
        return {
            f"iteration={step.iteration}/{step.stage}": step
            for step in self.steps
            if keep is None
            or step.iteration in wanted
            or (step.iteration < last and step.stage in needed_later())
        }

    def _is_reached(self, folder: str) -> bool:
        """Whether it is the artifact, made or yet to be made, of a step that is kept."""
        step_name, _, name = folder.rpartition("/")
        step = self.kept.get(step_name)
        return step is not None and step.location is not None and step.location.name == name

    def _judge(self, folder: str) -> tuple[str | None, str | None]:
        """Why an artifact may go, or why it stays although the walk does not reach it."""
        step = self.kept.get(folder.rpartition("/")[0])
        if self._is_reached(folder):
            return None, None
        if self._is_newer(folder):
            return None, "was made by a newer version of rzero"
        if step is None:
            return "no kept iteration needs it", None
        if step.location is None:
            return None, "may be reached once what comes before it is finished"
        if MANIFEST not in self.folders[folder]:
            return "was begun under a key that the run does not reach", None
        if step.ref is None:
            return None, "is the only one of its stage: the one that the run reaches is not made yet"
        return "the run does not reach its key any more", None

    def _judge_damaged(self, folder: str) -> tuple[str | None, str | None]:
        """The same for what was set aside."""
        step = self.kept.get(folder.rpartition("/")[0])
        if step is None:
            return "no kept iteration needs it", None
        if step.ref is None:
            return None, "is not made again yet"
        if set(self.folders[folder]) == {DAMAGE} and folder not in self.work:
            return None, None
        return "was set aside and made again", None

    def _is_newer(self, folder: str) -> bool:
        location = self._location(folder)
        try:
            manifest = read_manifest(self.store, location)
        except DamagedArtifact:
            return False
        except StoreUnavailable:
            raise
        except StoreError:
            return True
        return manifest is not None and manifest.stage_version > STAGES[location.stage].version

    def _checkpoints(self, folder: str) -> Iterator[Removable]:
        """Checkpoints of a finished training beyond the last few."""
        if MANIFEST not in self.folders[folder] or folder in self.live:
            return
        inside = [name.split("/") for name in self._under_way(folder) if name.startswith(f"{CHECKPOINTS}/")]
        steps = sorted({parts[1] for parts in inside if len(parts) > 2 and _STEP.fullmatch(parts[1])})
        for step in steps[: max(0, len(steps) - self.keep_checkpoints)]:
            yield self._removable(folder, f"{CHECKPOINTS}/{step}", "checkpoint", "its training is finished")

    def _leases(self, folder: str) -> Iterator[Removable]:
        """Leases that nobody holds."""
        names = {name.split("/")[1] for name in self._under_way(folder) if name.startswith(f"{LEASES}/")}
        for name in sorted(names):
            if holder_of(self.store, f"{self._location(folder).work}/{LEASES}/{name}") is None:
                yield self._removable(folder, f"{LEASES}/{name}", "lease", "its holder is gone")

    def _unfinished(self, folder: str) -> Iterator[Removable]:
        """What writers left that nobody waits for."""
        left = any(name.startswith(f"{WRITERS}/") for name in self._under_way(folder))
        if left and folder not in self.live:
            yield self._removable(folder, WRITERS, "half-written file", "its writer did not finish it")

    def _under_way(self, folder: str) -> dict[str, int]:
        return self.work.get(folder, {})

    def _results(self, names: Collection[str]) -> Iterator[Removable]:
        """Prefect's results that refer to missing artifacts."""
        for name, size in self.store.sizes(results_path()).items():
            match = _RESULT.fullmatch(name)
            if match and match["run"] == self.config.run and match["name"] not in names:
                yield Removable(f"{results_path()}/{name}", "Prefect result", "its artifact is gone", size)

    def _removable(self, folder: str, inside: str, what: str, why: str) -> Removable:
        """What lies in one place of an artifact's working folder."""
        size = sum(size for name, size in self._under_way(folder).items() if name.startswith(f"{inside}/"))
        return Removable(f"{self._location(folder).work}/{inside}", what, why, size)


def _live_leases(store: Store, location: Location, besides: str | None = None) -> list[str]:
    """Who is working on an artifact or on parts of it."""
    folder = f"{location.work}/{LEASES}"
    names = [name for name in store.names(folder) if name != besides]
    holders = [holder_of(store, f"{folder}/{name}") for name in names]
    return [holder for holder in holders if holder is not None]


def _iteration(name: str) -> int | None:
    number = name.removeprefix("iteration=")
    return int(number) if number != name and number.isdecimal() else None


def _newest_first(folder: str) -> tuple[int, int, str]:
    """Artifacts go before those they were made from, so what is left keeps its inputs."""
    iteration, stage, name = folder.split("/")
    return -(_iteration(iteration) or 0), -list(STAGES).index(stage), name
