"""Words and names that the reading of answers knows."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


FUNCTIONS = words(
    "sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan log ln lg exp gcd lcm max min "
    "sqrt abs floor ceil"
)
FUNCTION_ALIASES = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "cosec": "csc", "tg": "tan", "ctg": "cot",
}  # fmt: skip
CONSTANTS = {"pi": "pi", "inf": "inf", "infty": "inf", "infinity": "inf", "oo": "inf"}
GREEK = words(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho "
    "varrho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell"
)
DECORATIONS = words("vec hat bar overline tilde widehat overrightarrow underline dot angle triangle")
# Commands that begin a factor, beside functions, Greek letters and decorations.
STARTERS = words(
    "{ frac sqrt pi infty binom lfloor lceil langle emptyset mathbb begin sum prod int lim oint iint det "
    "partial nabla"
)
# Pairs of letters that are words, not products of two variables.
SHORT_WORDS = words(
    "no on of or so to up us we it is in if he go do by be at as an am my me hi ox ok oh ha ho"
)
JOINERS = words("and or")
# Commands of statements that are compared as they are written.
TEXTUAL = words(
    "equiv pmod bmod mod pod implies iff Rightarrow Leftrightarrow mapsto forall exists perp "
    "parallel sim simeq cong propto subset subseteq supset supseteq notin ll gg nmid"
)
NOT_NOUNS = words(
    "and or if for when where with by at from to mod is are not no pm am so such that approximately about "
    "because since than more less only but then else each of"
)
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
