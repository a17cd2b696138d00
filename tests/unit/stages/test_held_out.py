"""Problems of the evaluation are known again in whatever order their terms stand."""

from data.benchmarks import load, problem_key, problem_keys
from data.config import BaseModelConfig, TinyModelConfig
from data.tiny.arithmetic import Chain, parse

TINY = BaseModelConfig(name="tiny", prompt_style="tiny", tiny=TinyModelConfig(solver_terms=6))
OTHER = BaseModelConfig(name="some/model")


def test_every_held_out_problem_and_every_reordering_of_it_has_a_held_out_key() -> None:
    keys = problem_keys(load("arithmetic", TINY), TINY)
    for problem in load("arithmetic", TINY):
        chain = parse(problem.problem)
        assert chain is not None
        assert problem_key(problem.problem, TINY) in keys
        assert problem_key(Chain(chain.start, chain.steps[::-1]).question, TINY) in keys


def test_another_question_has_another_key() -> None:
    assert problem_key("37+5-8", TINY) == problem_key("37-8+5", TINY) == problem_key("5+37-8", TINY)
    assert problem_key("37+5-8", TINY) != problem_key("37+5+8", TINY)


def test_text_is_compared_without_spaces_and_letter_case() -> None:
    assert problem_key("What  is\n2+2?", OTHER) == problem_key("what is 2+2?", OTHER)
    assert problem_key("What is 2+2?", OTHER) != problem_key("What is 2+3?", OTHER)
