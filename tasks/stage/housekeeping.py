"""What no kept iteration needs any more: found from the store alone, removed in an order that is safe to
stop at any moment.

Kept is what the walk over the kept iterations reaches: their artifacts, and whatever those are made from,
finished or under way. Where the walk cannot tell yet (an artifact that is damaged or missing will be made
again, and what follows may then be reached as it is) everything stays.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from data.config import RunConfig
from infra.artifacts.artifact import MANIFEST, PARTS, DamagedArtifact, read_manifest
from infra.artifacts.artifact import Location as Place
from infra.artifacts.checkpoints import CHECKPOINTS, LISTING
from infra.artifacts.results import results_path
from infra.store.lease import acquire, holder_of
from infra.store.store import Leftover, Store, StoreError, StoreUnavailable
from tasks.stage.graph import STAGES, Step, needed_later, walk

LEASES = "_lease"
LEFTOVER_SECONDS = 3600.0
"""A half-written file that nobody has touched for so long has no writer any more."""

_KEY = re.compile(r"[0-9a-f]{64}")
_DAMAGED = re.compile(r"[0-9a-f]{64}\.damaged-\d+")
_STEP = re.compile(r"step-\d{6,}")
_RESULT = re.compile(r"(?P<run>.+?)-(?P<key>[0-9a-f]{64})(?:-part-\d+)?-[0-9a-f]{16}")


@dataclass(frozen=True)
class Waste:
    """One thing that may go: its path within the store, what it is, why, and its bytes."""

    path: str
    what: str
    why: str
    bytes: int
    leftover: Leftover | None = None


@dataclass
class Plan:
    """What may go, in the order of removal, and what is left alone although the walk does not reach it."""

    waste: list[Waste] = field(default_factory=list)
    spared: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Bytes of all that may go."""
        return sum(each.bytes for each in self.waste)


def plan(
    store: Store,
    configs: Iterable[RunConfig],
    keep_iterations: Collection[int] | None = None,
    keep_checkpoints: int = 1,
) -> Plan:
    """What may go of these runs; `keep_iterations` None keeps every iteration."""
    found = Plan()
    for config in configs:
        _Run(store, config, keep_iterations, keep_checkpoints).look(found)
    return found


def remove(store: Store, waste: Waste) -> bool:
    """Remove one thing; False where somebody has begun to work on it meanwhile.

    What makes a thing exist goes first: a manifest before its files, a shard's record before the shard, a
    checkpoint's listing before the checkpoint. So a killed removal leaves nothing half visible, and the
    next one finds the rest.
    """
    if waste.leftover is not None:
        store.drop(waste.leftover)
    elif waste.what == "artifact":
        # As if to make it: whoever wants to, waits until it is gone.
        if _live_leases(store, waste.path) or not acquire(store, f"{waste.path}/{LEASES}/stage", "rzero gc"):
            return False
        if _live_leases(store, waste.path, besides="stage"):
            store.remove(f"{waste.path}/{LEASES}/stage")
            return False
        names = [name for name in store.names(waste.path) if name not in (MANIFEST, PARTS, LEASES)]
        for name in (MANIFEST, PARTS, *names):
            store.remove(f"{waste.path}/{name}")
        store.remove(waste.path)
    elif waste.what == "lease":
        files = store.names(waste.path)
        if holder_of(store, waste.path) is not None:
            return False
        # By name: the file of somebody who takes it in this moment is another one.
        for name in files:
            store.remove(f"{waste.path}/{name}")
    elif waste.what == "checkpoint":
        store.remove(f"{waste.path}/{LISTING}")
        store.remove(waste.path)
    else:
        store.remove(waste.path)
    return True


class _Run:
    """One run: the files that it has, and the steps that are kept."""

    def __init__(
        self, store: Store, config: RunConfig, keep: Collection[int] | None, keep_checkpoints: int
    ) -> None:
        self.store, self.config, self.keep_checkpoints = store, config, keep_checkpoints
        self.root = f"runs/{config.run}"
        # By artifact folder "iteration=K/stage/name": bytes by the path within it.
        self.folders: dict[str, dict[str, int]] = {}
        for name, size in store.sizes(self.root).items():
            parts = name.split("/", 3)
            if len(parts) == 4 and _iteration(parts[0]) is not None and parts[1] in STAGES:
                self.folders.setdefault("/".join(parts[:3]), {})[parts[3]] = size
        self.live = {
            folder
            for folder, files in self.folders.items()
            if any(name.startswith(f"{LEASES}/") for name in files)
            and _live_leases(store, f"{self.root}/{folder}")
        }
        there = [_iteration(folder.split("/")[0]) or 0 for folder in self.folders]
        self.steps = walk(store, config, max([config.iterations, *there]))
        self.kept = self._kept(keep)

    def look(self, found: Plan) -> None:
        """Add what may go."""
        strange = sorted(folder for folder in self.live if not self._is_reached(folder))
        if strange:
            # Another version, or another configuration: what it needs cannot be told from here.
            found.spared += [
                f"{self.root}/{each}: is being worked on; so the run is left alone" for each in strange
            ]
            return
        doomed: list[str] = []
        for folder in sorted(self.folders, key=_newest_first):
            name = folder.rpartition("/")[2]
            if not _KEY.fullmatch(name) and not _DAMAGED.fullmatch(name):
                continue
            is_artifact = "." not in name
            why, spared = self._judge(folder) if is_artifact else self._judge_damaged(folder)
            if why:
                doomed.append(folder)
                found.waste.append(
                    self._waste(folder, "artifact" if is_artifact else "damaged artifact", why)
                )
            elif spared:
                found.spared.append(f"{self.root}/{folder}: {spared}")
            if is_artifact and not why:
                found.waste += [*self._checkpoints(folder), *self._leases(folder)]
        keys = {folder.rpartition("/")[2] for folder in self.folders if folder not in doomed}
        found.waste += self._results(keys)
        self._leftovers(found)

    def _leftovers(self, found: Plan) -> None:
        """Add what killed writers left."""
        try:
            leftovers = self.store.leftovers(self.root, LEFTOVER_SECONDS)
        except StoreUnavailable:
            raise
        except StoreError as error:
            # Listing the uploads of a bucket is a permission of its own.
            found.spared.append(f"half-written files of {self.root}: {error}")
            return
        for leftover in leftovers:
            path = leftover.full.removeprefix(f"{self.store.root}/")
            why = "its writer did not finish it"
            found.waste.append(Waste(path, "half-written file", why, leftover.bytes, leftover))

    def _kept(self, keep: Collection[int] | None) -> dict[str, Step]:
        """The steps that a kept iteration, or one that is worked on, needs: by 'iteration=K/stage'."""
        last = -1
        wanted = set() if keep is None else {*keep}
        wanted |= {_iteration(folder.split("/")[0]) or 0 for folder in self.live}
        for number in {step.iteration for step in self.steps}:
            if keep is None or number in wanted:
                last = max(last, number)
        return {
            f"iteration={step.iteration}/{step.stage}": step
            for step in self.steps
            if keep is None
            or step.iteration in wanted
            or (step.iteration < last and step.stage in needed_later())
        }

    def _is_reached(self, folder: str) -> bool:
        """Whether it is the artifact, or the one to be made, of a step that is kept."""
        step_name, _, key = folder.rpartition("/")
        step = self.kept.get(step_name)
        return step is not None and step.location is not None and step.location.key == key

    def _judge(self, folder: str) -> tuple[str | None, str | None]:
        """Why an artifact may go, or why it is left alone although the walk does not reach it."""
        step_name, _, key = folder.rpartition("/")
        step = self.kept.get(step_name)
        if self._is_reached(folder):
            return None, None
        if self._is_newer(step_name, key):
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
        """The same of what was set aside."""
        step = self.kept.get(folder.rpartition("/")[0])
        if step is None:
            return "no kept iteration needs it", None
        if step.ref is None:
            return None, "is not made again yet"
        return "was set aside and made again", None

    def _is_newer(self, step_name: str, key: str) -> bool:
        iteration, stage = step_name.split("/")
        place = Place(run=self.config.run, iteration=_iteration(iteration) or 0, stage=stage, key=key)
        try:
            manifest = read_manifest(self.store, place)
        except DamagedArtifact:
            return False
        except StoreUnavailable:
            raise
        except StoreError:
            return True
        return manifest is not None and manifest.stage_version > STAGES[stage].version

    def _checkpoints(self, folder: str) -> Iterator[Waste]:
        """Checkpoints of a finished training beyond the last few."""
        files = self.folders[folder]
        if MANIFEST not in files or folder in self.live:
            return
        inside = [name.split("/") for name in files if name.startswith(f"{CHECKPOINTS}/")]
        steps = sorted({parts[1] for parts in inside if len(parts) > 2 and _STEP.fullmatch(parts[1])})
        for step in steps[: max(0, len(steps) - self.keep_checkpoints)]:
            path = f"{CHECKPOINTS}/{step}"
            size = sum(size for name, size in files.items() if name.startswith(f"{path}/"))
            why = "its training is finished"
            yield Waste(f"{self.root}/{folder}/{path}", "checkpoint", why, size)

    def _leases(self, folder: str) -> Iterator[Waste]:
        """Leases that nobody holds."""
        files = self.folders[folder]
        names = sorted({name.split("/")[1] for name in files if name.startswith(f"{LEASES}/")})
        for name in names:
            path = f"{self.root}/{folder}/{LEASES}/{name}"
            if holder_of(self.store, path) is None:
                size = sum(size for file, size in files.items() if file.startswith(f"{LEASES}/{name}/"))
                yield Waste(path, "lease", "its holder is gone", size)

    def _results(self, keys: Collection[str]) -> Iterator[Waste]:
        """Prefect's results that refer to artifacts which are gone."""
        for name, size in self.store.sizes(results_path()).items():
            match = _RESULT.fullmatch(name)
            if match and match["run"] == self.config.run and match["key"] not in keys:
                yield Waste(f"{results_path()}/{name}", "Prefect result", "its artifact is gone", size)

    def _waste(self, folder: str, what: str, why: str) -> Waste:
        return Waste(f"{self.root}/{folder}", what, why, sum(self.folders[folder].values()))


def _live_leases(store: Store, path: str, besides: str | None = None) -> list[str]:
    """Who works on an artifact, or on parts of it."""
    names = [name for name in store.names(f"{path}/{LEASES}") if name != besides]
    holders = [holder_of(store, f"{path}/{LEASES}/{name}") for name in names]
    return [holder for holder in holders if holder is not None]


def _iteration(name: str) -> int | None:
    number = name.removeprefix("iteration=")
    return int(number) if number != name and number.isdecimal() else None


def _newest_first(folder: str) -> tuple[int, int, str]:
    """What was made from other artifacts goes before those: what is left keeps its inputs."""
    iteration, stage, name = folder.split("/")
    return -(_iteration(iteration) or 0), -list(STAGES).index(stage), name
