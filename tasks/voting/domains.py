"""How a domain's completions are read and its answers compared: by its own functions, or by rzero's."""

from __future__ import annotations

from collections.abc import Iterable

from data import domains
from data.domain import ReadAnswer, ReadProposal
from tasks.voting import extraction
from tasks.voting.equivalence import Grader, Reading
from tasks.voting.reading.forms import Form, Status


def proposal_reader(domain: str) -> ReadProposal:
    """Reads (question, answer, None) or (None, None, reason) out of a Challenger's completion."""
    return domains.get(domain).read_proposal or extraction.proposal


def answer_reader(domain: str) -> ReadAnswer:
    """Reads (answer, None) or (None, reason) out of a Solver's completion."""
    return domains.get(domain).read_answer or extraction.solver_answer


def grader_of(domain: str) -> Grader:
    """Compares the answers of a domain."""
    return Grader() if domains.get(domain).equal is None else DomainGrader(domain)


class DomainGrader(Grader):
    """Asks a domain's own `equal`, in the same killable workers; what raises there is not decided."""

    undecided = Grader.undecided | {"fault"}

    def __init__(self, domain: str, timeout_seconds: float = 2.0) -> None:
        super().__init__(timeout_seconds)
        self._domain = domain

    def readings(self, answers: Iterable[str]) -> dict[str, Reading]:
        return {answer: Reading(answer, Form(Status.HARD, answer)) for answer in answers}

    def _request(self, first: str, second: str) -> tuple[str, ...]:
        return ("equal", self._domain, first, second)
