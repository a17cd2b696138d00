"""Words and names that the reading of answers knows."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


INVERSES = {
    **{name: f"arc{name}" for name in ("sin", "cos", "tan", "cot", "sec", "csc")},
    **{name: f"ar{name}" for name in ("sinh", "cosh", "tanh", "coth", "sech", "csch")},
}
FUNCTIONS = words("log ln lg exp gcd lcm max min sqrt abs floor ceil") | {*INVERSES, *INVERSES.values()}
FUNCTION_ALIASES = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "cosec": "csc", "tg": "tan", "ctg": "cot",
    **{f"arc{name[2:]}": name for name in INVERSES.values() if not name.startswith("arc")},
    **{f"a{name[2:]}": name for name in INVERSES.values() if not name.startswith("arc")},
}  # fmt: skip
# Letters that name a function where a bracket follows: f(x) is no product.
UNKNOWN_FUNCTIONS = words("f g F G P")
CONSTANTS = {"pi": "pi", "inf": "inf", "infty": "inf", "infinity": "inf", "oo": "inf"}
GREEK = words(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho "
    "varrho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell "
    "hbar"
)
DECORATIONS = {
    **{name: name for name in words("hat overline vec tilde underline dot ddot angle triangle")},
    "bar": "overline", "widehat": "hat", "widetilde": "tilde", "overrightarrow": "vec",
}  # fmt: skip
# Commands that begin a factor, beside functions, Greek letters and decorations.
STARTERS = words("{ frac sqrt pi infty binom lfloor lceil langle emptyset mathbb begin sum prod int lim oint")
# Pairs of letters that are words, not products of two variables.
SHORT_WORDS = words(
    "no on of or so to up us we it is in if he go do by be at as an am my me hi ox ok oh ha ho"
)
JOINERS = words("and or")
# Words whose case does not matter even where they are short and in capitals.
SPELT_IN_CAPITALS = words("YES NO TRUE FALSE NONE DNE EVEN ODD BOTH ZERO ONE TWO")
NOT_NOUNS = words(
    "and or if for when where with by at from to mod is are not no pm am so such that approximately about "
    "because since than more less only but then else each of minus plus divided squared"
)
SCALES = {
    "dozen": "12", "hundred": "10^{2}", "thousand": "10^{3}", "million": "10^{6}", "billion": "10^{9}",
    "trillion": "10^{12}",
}  # fmt: skip
# Placeholders of prompts, lower case, letters only.
PLACEHOLDER_ANSWERS = words(
    "finalanswer answer youranswer youranswerhere youranswerforthequestion thefinalanswer answerhere "
    "finalanswerhere yourfinalanswer theanswer insertanswer insertanswerhere textfinalanswer textanswer"
)
PLACEHOLDER_QUESTIONS = words(
    "question thequestion yourquestion yourquestionhere questiontext questionhere thequestiontext "
    "thefullproblemstatement fullproblemstatement problemstatement theproblemstatement "
    "thefullproblemstatementononeormorelines insertquestionhere problem theproblem yourproblem "
    "yourproblemhere thefulltextofthequestion thefullquestion fullquestion newquestion"
)


def is_word(letters: str) -> bool:
    """Whether a run of letters is a word rather than a product of variables: "cat", not "xyz"."""
    if len(letters) < 2 or letters in FUNCTIONS or letters in FUNCTION_ALIASES or letters in CONSTANTS:
        return False
    if len(letters) == 2:
        return letters.lower() in SHORT_WORDS or letters.isupper()
    return letters[0].isupper() or any(vowel in letters.lower() for vowel in "aeiou") or len(letters) > 4
