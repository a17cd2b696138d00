"""Problems of the evaluation are known again in whatever order their terms stand."""

from data import domains
from data.benchmarks import load
from data.config import BaseModelConfig
from data.tiny.arithmetic import Chain, parse
from data.tiny.settings import TinyModelConfig

TINY = BaseModelConfig(name="tiny", tiny=TinyModelConfig(solver_terms=6))
problem_key = domains.get("arithmetic").key
plain_key = domains.get("mathematics").key


def test_every_held_out_problem_and_every_reordering_of_it_has_a_held_out_key() -> None:
    keys = {problem_key(problem.problem) for problem in load("arithmetic", TINY)}
    for problem in load("arithmetic", TINY):
        chain = parse(problem.problem)
        assert chain is not None
        assert problem_key(problem.problem) in keys
        assert problem_key(Chain(chain.start, chain.steps[::-1]).question) in keys


def test_another_question_has_another_key() -> None:
    assert problem_key("37 a+5 b-8") == problem_key("37 a-8 b+5") == problem_key("5 a+37 b-8")
    assert problem_key("37 a+5 b-8") != problem_key("37 a+5 b+8")


def test_text_is_compared_without_spaces_and_letter_case() -> None:
    assert plain_key("What  is\n2+2?") == plain_key("what is 2+2?")
    assert plain_key("What is 2+2?") != plain_key("What is 2+3?")
