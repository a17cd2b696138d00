"""How a domain's completions are read and its answers compared: by its own functions, or by rzero's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from data import domains
from data.domain import ReadAnswer, ReadProposal
from tasks.voting import extraction
from tasks.voting.equivalence import LARGEST_MEMO, Grader
from tasks.voting.pool.workers import Outcome


def proposal_reader(domain: str) -> ReadProposal:
    """Reads (question, answer, None) or (None, None, reason) out of a Challenger's completion."""
    found = domains.get(domain)
    read, is_question = found.read_proposal or extraction.proposal, found.is_question
    if is_question is None:
        return read

    def read_and_check(completion: str) -> tuple[str | None, str | None, str | None]:
        question, answer, reason = read(completion)
        if question is not None and not is_question(question):
            return None, None, "off_domain"
        return question, answer, reason

    return read_and_check


def answer_reader(domain: str) -> ReadAnswer:
    """Reads (answer, None) or (None, reason) out of a Solver's completion."""
    return domains.get(domain).read_answer or extraction.solver_answer


def grader_of(domain: str) -> Grader:
    """Compares the answers of a domain."""
    return Grader() if domains.get(domain).equal is None else DomainGrader(domain)


class DomainGrader(Grader):
    """Asks a domain's own `equal`, in the same killable workers; what fails there is not decided."""

    def __init__(self, domain: str, timeout_seconds: float = 2.0) -> None:
        super().__init__(timeout_seconds)
        self._domain = domain
        self._compared: dict[tuple[str, ...], Outcome] = {}

    def equivalent(self, pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
        asked = [tuple(sorted(pair)) for pair in pairs]
        with self._lock:
            if len(self._compared) > LARGEST_MEMO:
                self._compared.clear()
            fresh = sorted({pair for pair in asked if pair[0] != pair[1]} - self._compared.keys())
            if fresh:
                outcomes = self._pool.run([("equal", self._domain, *pair) for pair in fresh])
                self._compared.update(zip(fresh, outcomes, strict=True))
            return [pair[0] == pair[1] or self._verdict_of(self._compared[pair]) for pair in asked]

    def _verdict_of(self, outcome: Outcome) -> bool | None:
        if outcome.kind == "done":
            return bool(outcome.value)
        self.timeouts += outcome.kind == "timeout"
        self.failures += outcome.kind != "timeout"
        return None

    def groups(self, counts: Sequence[Counter[str]]) -> list[list[Counter[str]]]:
        """The answers to each question in groups: each joins the first one all of whose answers it equals."""
        ordered = [sorted(count, key=lambda text: (-count[text], len(text), text)) for count in counts]
        pairs = [pair for answers in ordered for pair in combinations(answers, 2)]
        verdicts = dict(zip(pairs, self.equivalent(pairs), strict=True))
        grouped = []
        for count, answers in zip(counts, ordered, strict=True):
            groups: list[Counter[str]] = []
            for answer in answers:
                home = next((group for group in groups if all(verdicts[o, answer] for o in group)), None)
                if home is None:
                    groups.append(home := Counter())
                home[answer] = count[answer]
            grouped.append(groups)
        return grouped
