"""IBM's bbcmd as a probe: on the launch node, in post-stage, the library does not work.

One `gettransfers` for each status, however many transfers a job step has: a command for each
handle would not fit into the 600 s of a stage-out phase.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from poststage.backends.base import Answer, Capabilities
from poststage.backends.bbstatus import STATES, Place, number_of, parse, unknown
from poststage.errors import BackendError
from poststage.model import TransferState
from poststage.names import shown
from poststage.query import ask

_ROOM = 4096  # handles asked for at first
_MOST_BYTES = 64 << 20
_JOB = ("LSF_STAGE_JOBID", "LSB_JOBID")
_INDEX = "LSF_STAGE_JOBINDEX"
# What has not ended first: a transfer that ends meanwhile is found ended, never missed.
_ORDER = sorted(STATES.values(), key=lambda state: state.ended)
_LIST = re.compile(r"\(([0-9, ]*)\)")


class CommandProbe:
    """Asks with `bbcmd`, through all of a job's nodes."""

    capabilities = Capabilities(
        handle_before_start=True, per_file_answers=False, outlives_job=True, resumable=False
    )

    def __init__(self, program: str, timeout_s: float) -> None:
        self._program, self._timeout_s = program, timeout_s

    def answers(self, handles: Sequence[str]) -> Mapping[str, Answer]:
        """As `Probe.answers`; seven commands a job step."""
        found = dict.fromkeys(handles, unknown("is not a handle of this backend"))
        steps: dict[tuple[int, int], dict[int, str]] = {}
        for handle in handles:
            place = parse(handle)
            if place is not None:
                steps.setdefault(place[:2], {})[place.number] = handle
        for (job, step), wanted in steps.items():
            found.update(self._of_step(job, step, wanted))
        return found

    def find(self, tags: Sequence[str]) -> Mapping[str, str]:
        """As `Probe.find`, among the transfers of the job in the environment; a command each."""
        job, wanted, found = self._job(), {str(number_of(tag)): tag for tag in tags}, {}
        for number in self._listed([f"--jobid={job}"], "BBALL"):
            for out in self._run([f"--jobid={job}"], "getstatus", f"--handle={number}"):
                tag = wanted.get(out.get("tag", ""))
                if tag is not None:
                    step = _number(out, "jobstepid")
                    found[tag] = str(Place(job, step, number))
        return found

    def cancel(self, handle: str) -> Answer:
        """As `Probe.cancel`; what has ended is not told to end."""
        before = self.answers([handle])[handle]
        place = parse(handle)
        if place is None or before.state is TransferState.UNKNOWN or before.state.ended:
            return before
        words = "cancel", f"--handle={place.number}", "--scope=BBSCOPETRANSFER"
        try:
            self._run(_where(place.job, place.step), *words)
        except BackendError as error:
            after = self.answers([handle])[handle]
            return after if after.state.ended else unknown(error.message)
        return self.answers([handle])[handle]

    def resume(self, handle: str) -> Answer:
        """As `Probe.resume`: there is no such thing; how it stands."""
        return self.answers([handle])[handle]

    def forget(self, handles: Sequence[str]) -> None:
        """As `Probe.forget`: the vendor's records go with the job."""

    def close(self) -> None:
        """As `Probe.close`."""

    def _job(self) -> int:
        """The job that this process works for. Raises BackendError if nobody can be asked."""
        if not os.access(self._program, os.X_OK):
            raise BackendError(
                f"{shown(self._program)}: is not there or cannot be run",
                hint="set [backend.bbapi] bbcmd to where it is; launch nodes have it",
            )
        job = next((os.environ[name] for name in _JOB if os.environ.get(name)), "")
        if not job.isdecimal():
            raise BackendError(
                "bbcmd: no job to ask for: LSF_STAGE_JOBID is not set",
                hint="it is set in a stage-out phase; state files name their jobs themselves",
            )
        return int(job)

    def _of_step(self, job: int, step: int, wanted: Mapping[int, str]) -> dict[str, Answer]:
        states: dict[int, TransferState] = {}
        try:
            for state in _ORDER:
                for number in self._listed(_where(job, step), f"BB{state.value}"):
                    before = states.get(number)
                    torn = before is not None and before.ended and before is not state
                    states[number] = TransferState.UNKNOWN if torn else state
        except BackendError as error:
            return dict.fromkeys(wanted.values(), unknown(error.message))
        nobody = unknown(f"bbcmd does not list it for job {job}")
        return {
            handle: Answer(states[number]) if number in states else nobody
            for number, handle in wanted.items()
        }

    def _listed(self, where: Sequence[str], status: str) -> set[int]:
        """The handles in `status`, of all nodes."""
        room = _ROOM
        while True:
            words = "gettransfers", f"--matchstatus={status}", f"--numhandles={room}"
            outs = self._run(where, *words)
            available = max((_number(out, "numavailhandles") for out in outs), default=0)
            if available <= room:
                return {number for out in outs for number in _numbers(out)}
            room = available

    def _run(self, where: Sequence[str], *words: str) -> list[Mapping[str, str]]:
        """`out` of each node that did what was asked. Raises BackendError if none did."""
        index = os.environ.get(_INDEX, "")
        more = [f"--jobindex={index}"] if index.isdecimal() else []
        command = [self._program, *where, *more, "--target=0-", *words]
        answered = ask(*command, timeout_s=self._timeout_s, most_bytes=_MOST_BYTES)
        if not answered.out:
            raise BackendError(f"bbcmd: {shown(answered.error)}")
        nodes = _nodes(answered.out)
        done = [node["out"] for node in nodes if node["rc"] == "0"]
        if not done:
            raise BackendError(f"bbcmd {words[0]}: {shown(_why(nodes))}")
        return done


def _where(job: int, step: int) -> list[str]:
    return [f"--jobid={job}", f"--jobstepid={step}"]


def _nodes(text: str) -> list[dict[str, Any]]:
    """Each node's part of a document that bbcmd printed. Raises BackendError for any other."""
    try:
        document = json.loads(text)
        nodes = [document[key] for key in sorted(document) if key.isdecimal()]
        for node in nodes:
            strings = [node["rc"], *node.get("out", {}).values()]
            if not all(isinstance(one, str) for one in strings):
                raise TypeError
            node.setdefault("out", {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BackendError(f"bbcmd: its answer makes no sense: {shown(text[:100])}") from error
    return nodes


def _why(nodes: Sequence[Mapping[str, Any]]) -> str:
    errors = (node.get("error") for node in nodes)
    texts = (str(one["text"]) for one in errors if isinstance(one, dict) and "text" in one)
    return next(texts, "no node did it")


def _number(out: Mapping[str, str], key: str) -> int:
    text = out.get(key, "0")
    if not text.isdecimal():
        raise BackendError(f"bbcmd: {key} is {shown(text)!r}")
    return int(text)


def _numbers(out: Mapping[str, str]) -> list[int]:
    text = out.get("handles", "()")
    match = _LIST.fullmatch(text)
    if match is None:
        raise BackendError(f"bbcmd: handles is {shown(text[:100])!r}")
    return [int(one) for one in match[1].replace(",", " ").split()]
