"""The outcome of every clip of step 1: from this run's `.work/`, from the run before, or computed.

A finished run leaves its frames in `clips.frames` and all else in `.outcomes.pickle` beside it. So new
labels, lesion boxes, corrected key frames or further clips do not cost a second reading of the others, and
give the bytes of a run that reads everything.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from stenoscope import __version__
from stenoscope.app.inputs import result_of
from stenoscope.app.keyframe_worker import (
    Outcome,
    frames_sha256,
    process,
    read_outcome,
    seal,
    sheet_name,
    unseal,
)
from stenoscope.data.clipset import FRAMES_NAME, VERSION
from stenoscope.errors import DatasetError
from stenoscope.imaging.intake import Source
from stenoscope.imaging.pseudonyms import Pseudonymizer
from stenoscope.keyframes.published import CORRECTED
from stenoscope.records import FRAME_SIZE
from stenoscope.run import claims, provenance
from stenoscope.run.cli import progress, say
from stenoscope.run.cluster import Run, await_file
from stenoscope.run.executors import executor, map_ordered
from stenoscope.settings import KeyframeSettings

_WORK, _SHEETS = ".work", "sheets"
_OUTCOMES = ".outcomes.pickle"


@dataclass(frozen=True)
class Reading:
    """What decides the outcome of each clip.

    Attributes
    ----------
    settings : KeyframeSettings
    method : str
    pseudonym : Pseudonymizer
    fingerprints : mapping of str to str
        Of the sources, by clip id, as the next ones.
    published, corrected : mapping of str to tuple of int
        Key frames that the data set publishes, and those that the user gave.
    """

    settings: KeyframeSettings
    method: str
    pseudonym: Pseudonymizer
    fingerprints: Mapping[str, str]
    published: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    corrected: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def key(self, clip_id: str, corrected: tuple[int, ...] | None) -> str:
        """Names the outcome of a clip with these corrected key frames, or with those of the method."""
        settings = self.settings
        how = [self.method, self.published.get(clip_id), settings.keyframes, settings.spread, settings.sheets]
        how += [self.pseudonym.fingerprint, __version__, VERSION, corrected]
        return provenance.sha256_json([clip_id, self.fingerprints[clip_id], *how])


class Outcomes:
    """Where the outcomes of a run come from.

    Parameters
    ----------
    reading : Reading
    """

    def __init__(self, reading: Reading):
        self._reading = reading
        self._folder = Path(reading.settings.output)
        self._sheets = (self._folder / _SHEETS).resolve() if reading.settings.sheets else None
        self._noted: list[dict] = []
        self._num_written = 0  # clips in the new `clips.frames`
        self._before: dict[str, dict] = {}
        self._frames: np.ndarray = np.empty((0, 1, 1), np.uint8)
        path = self._folder / _OUTCOMES
        if not path.exists():
            return
        try:
            content = unseal(path)
            frames = np.memmap(self._folder / FRAMES_NAME, np.uint8, "r")
            self._frames = frames.reshape(-1, FRAME_SIZE, FRAME_SIZE)
            self._before = {entry["key"]: entry for entry in content["clips"]}
        except (DatasetError, OSError, ValueError, KeyError, TypeError):
            say(f"{path} or {FRAMES_NAME} is damaged or of another version: every clip is read again.")

    @staticmethod
    def spared(folder: Path) -> tuple[str, ...]:
        """What a run that replaces the one in `folder` leaves there, to take outcomes from."""
        return (_WORK, _OUTCOMES, FRAMES_NAME, _SHEETS) if (folder / _OUTCOMES).exists() else (_WORK,)

    def of(self, sources: list[Source]) -> Iterator[tuple[Source, Outcome]]:
        """Yield every source with its outcome, in order."""
        reading, settings = self._reading, self._reading.settings
        done = {source.clip_id for source in sources if self._kept_at(source.clip_id).exists()}
        before = {source.clip_id: self._find(source.clip_id) for source in sources}
        before = {clip_id: entry for clip_id, entry in before.items() if entry and clip_id not in done}
        if done:
            say(f"Resuming: {len(done)} of {len(sources)} clips are done.")
        if before:
            say(f"{len(before)} of {len(sources)} clips are as before; they are not read again.")
        missing = [source for source in sources if source.clip_id not in done | before.keys()]
        work = partial(
            process,
            run=Run.of(self._folder),
            pseudonym=reading.pseudonym,
            method=reading.method,
            count=settings.keyframes,
            spread=settings.spread,
            sheets=self._sheets,
        )
        jobs = [
            (
                replace(source, path=source.path.absolute()),  # a worker may have started in another folder
                self._kept_at(source.clip_id).resolve(),
                reading.published.get(source.clip_id, ()),
                reading.corrected.get(source.clip_id, ()),
            )
            for source in missing
        ]
        waiting = {source.clip_id for source in missing}
        with (
            executor(
                settings.workers, settings.dask_scheduler, isolated=True, kind=settings.executor
            ) as pool,
            progress("key frames", len(sources)) as step,
        ):
            computed = map_ordered(pool, work, jobs)
            for source in sources:
                clip_id = source.clip_id
                row = result_of(source, next(computed)[1]) if clip_id in waiting else None
                if row is not None:
                    outcome = Outcome(row)
                elif clip_id in before:
                    outcome = self._taken(before[clip_id])
                    self._note(clip_id, outcome)
                else:
                    await_file(self._kept_at(clip_id))
                    outcome = read_outcome(self._kept_at(clip_id))
                    self._note(clip_id, outcome)
                yield source, outcome
                step()

    def keep(self) -> None:
        """Leave the outcomes for a later run, and nothing else of this one."""
        if self._sheets:
            claims.tidy(self._sheets)
        if (self._folder / _OUTCOMES).exists():  # it may have had sheets of clips that are gone
            named = {sheet_name(entry["row"]["clip_id"]) for entry in self._noted if entry["sheet_sha256"]}
            for path in (self._folder / _SHEETS).glob("*.png"):
                if path.name not in named:
                    path.unlink()
            if not self._sheets:
                shutil.rmtree(self._folder / _SHEETS, ignore_errors=True)
        seal({"clips": self._noted}, self._folder / _OUTCOMES)

    def clean(self) -> None:
        """Remove what an interrupted run would have resumed from."""
        shutil.rmtree(self._folder / _WORK, ignore_errors=True)

    def _kept_at(self, clip_id: str) -> Path:
        name = self._reading.key(clip_id, self._reading.corrected.get(clip_id))
        return self._folder / _WORK / f"{name}.pickle"

    def _find(self, clip_id: str) -> dict | None:
        """The entry of the run before that is what this run would compute, if it is undamaged."""
        given = self._reading.corrected.get(clip_id)
        entry = self._before.get(self._reading.key(clip_id, given))
        if entry is None and given:
            entry = self._before.get(self._reading.key(clip_id, None))
            if entry and (entry["choice"] is None or tuple(entry["choice"]["keyframes"]) != given):
                return None
        if entry is None:
            return None
        if entry["choice"] is not None and frames_sha256(self._frames_of(entry)) != entry["frames_sha256"]:
            return None
        if self._sheets:
            sheet = self._sheets / sheet_name(clip_id)
            if not sheet.is_file() or provenance.sha256_file(sheet) != entry["sheet_sha256"]:
                return None
        return entry

    def _taken(self, entry: dict) -> Outcome:
        return Outcome.of(entry, None if entry["choice"] is None else np.array(self._frames_of(entry)))

    def _frames_of(self, entry: dict) -> np.ndarray:
        count = len(entry["choice"]["keyframes"])
        return self._frames[count * entry["index"] : count * (entry["index"] + 1)]

    def _note(self, clip_id: str, outcome: Outcome) -> None:
        by_hand = outcome.choice is not None and outcome.choice.method == CORRECTED
        given = self._reading.corrected.get(clip_id) if by_hand else None
        place = {"key": self._reading.key(clip_id, given), "index": self._num_written}
        self._noted.append({**outcome.content(), **place})
        self._num_written += outcome.choice is not None
