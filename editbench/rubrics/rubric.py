"""What a judge is asked and how its answer is read: pure, versioned, one version per wording.

A rubric's texts, its scale, its image policy and its reading are one measure: change any of them and it takes a new
name in RUBRICS, so that scores of two wordings are never averaged.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

from editbench.records import Language, Pair
from editbench.rubrics.chinese import CHINESE
from editbench.rubrics.english import ENGLISH
from editbench.rubrics.reply import Reading, is_settled, read_number
from editbench.rubrics.wording import Wording

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["RUBRICS", "WORDINGS", "JudgeSees", "Question", "Reading", "Rubric", "is_settled", "quote"]

JudgeSees = Literal["all", "edit"]
"""`all`: source, edited image, instruction, and the rationale where there is one; `edit`: the short form,
edited image and instruction."""

WORDINGS: dict[Language, Wording] = {"en": ENGLISH, "zh": CHINESE}

# Qwen, Llama and Phi write <|…|>, DeepSeek the same with full-width bars
MARKER = re.compile(r"<[|｜][^<>]{0,64}[|｜]>")
# A list of every family's <image>, </s>, <tool_call>, [INST] would never be complete: no bracket, no marker.
# The wide and small forms go too, for tokenizers that normalise by NFKC.
BRACKETS = str.maketrans("<＜﹤>＞﹥[［]］", "‹‹‹›››(())")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a judge gets: a system text, then texts and pictures of one user turn in their order."""

    system: str
    content: "tuple[str | Image, ...]"
    """Pictures at their own size; the judge scales them by the rubric's `max_pixels`."""


class Form(Protocol):
    """How a rubric writes its question."""

    def __call__(
        self, pair: Pair, source: "Image", edited: "Image", wording: Wording, judge_sees: JudgeSees
    ) -> Question:
        """Write the question, with the pair's own texts quoted."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Rubric:
    """One version of the measure: what is asked, how large the pictures are, how the reply is read."""

    version: str
    """Its name in RUBRICS, recorded in each Score."""
    max_pixels: int
    """The most pixels of one picture that the judge's processor may keep: it scales larger ones down with their
    aspect ratio and leaves the others, but for rounding to its patches."""
    form: Form
    low: float = 0.0
    """The least value."""
    high: float = 10.0
    """The greatest value."""
    digits: tuple[str, ...] = ()
    """The replies, of one token each, whose probabilities make an expected score; none: it can't be scored so."""
    least_mass: float = 0.5
    """An expected score needs this probability on the digits together: below it the judge meant to say else."""

    def question(
        self, pair: Pair, source: "Image", edited: "Image", *, language: Language, judge_sees: JudgeSees
    ) -> Question:
        """Ask about an edit, on the aspect that is the pair's category.

        Args:
            pair: its instruction and rationale are hostile data and are passed through `quote`.
            source: the decoded source image; left out when the judge sees the edit only.
            edited: the decoded edited image.
            language: of the rubric's own texts; the instruction is in the run's language already.
            judge_sees: which of the material is shown.

        """
        return self.form(pair, source, edited, WORDINGS[language], judge_sees)

    def read(self, reply: str, *, truncated: bool = False) -> Reading:
        """Give the reply's value, `low` to `high`, or its failure; grammar and kinds in `read_number`."""
        return read_number(reply, low=self.low, high=self.high, truncated=truncated)

    def expect(self, probabilities: Sequence[float]) -> Reading:
        """Give the mean of the digits under a judge's own distribution over them, or the failure.

        Args:
            probabilities: one a digit, each of the judge's next token; together `mass`, 1 at most.

        """
        mass = sum(probabilities)
        if not mass >= self.least_mass:
            told = f"only {mass:.3f} of the probability is on {self.digits[0]} to {self.digits[-1]}"
            return Reading(failure="unreadable", detail=told)
        mean = sum(float(digit) * p for digit, p in zip(self.digits, probabilities, strict=True)) / mass
        return Reading(value=round(mean, 4))


def quote(text: str) -> str:
    """Make hostile text into one line of data that cannot change the shape of a prompt.

    Chat markers `<|…|>` become a space and every other angle or square bracket a look-alike, so the text can neither
    close the tags round it nor stand for a special token or a picture; all white space becomes single spaces, so it
    cannot begin a line; controls, format characters (bidi, zero-width, tags, U+E0000 and up) and lone surrogates go.

    Source: markers of the judge's own template inside the judged text flip two thirds of otherwise right verdicts
    (Escaped Markup, analemma.ai); shape can be defended here, a judge's obedience cannot.
    """
    line = " ".join(text.split())
    line = "".join(char for char in line if unicodedata.category(char) not in {"Cc", "Cf", "Cs"})
    return " ".join(MARKER.sub(" ", line).translate(BRACKETS).split())


def _aspects(
    pair: Pair, source: "Image", edited: "Image", wording: Wording, judge_sees: JudgeSees, *, one_digit: bool = False
) -> Question:
    sees_all = judge_sees == "all"
    rationale = quote(pair.rationale or "") if sees_all else ""
    lines = ["", "<instruction>", quote(pair.instruction), "</instruction>"]
    if rationale:
        lines += ["<rationale>", rationale, "</rationale>"]
    lines += [
        (wording.closing_digit if one_digit else wording.closing).format(name=wording.aspects[pair.category].name)
    ]
    before = (wording.source_label, source, "\n" + wording.edited_label) if sees_all else (wording.edited_label,)
    return Question(
        system=wording.system(pair.category, sees_source=sees_all, has_rationale=bool(rationale), one_digit=one_digit),
        content=(*before, edited, "\n".join(lines)),
    )


def _brief(
    pair: Pair, source: "Image", edited: "Image", wording: Wording, judge_sees: JudgeSees, *, one_digit: bool = False
) -> Question:
    pictures = (source, edited) if judge_sees == "all" else (edited,)
    return Question(
        system=(wording.brief_system_digit if one_digit else wording.brief_system).format(
            short=wording.aspects[pair.category].short
        ),
        content=(*pictures, wording.brief_instruction + quote(pair.instruction)),
    )


_DIGITS = tuple("0123456789")

RUBRICS: dict[str, Rubric] = {
    rubric.version: rubric
    for rubric in (
        # Five criteria an aspect, each 5 ± 3: a judge that keeps to them scores from 2.000 to 8.000
        Rubric(version="aspects-1", max_pixels=1024 * 1024, form=_aspects),
        # For small judges and quick looks: few words, small pictures, never the rationale
        Rubric(version="brief-1", max_pixels=256 * 256, form=_brief),
        # The same two for expected scores: "10" would be two tokens, so the whole part is asked for and ends at 9
        Rubric(
            version="digit-1",
            max_pixels=1024 * 1024,
            form=partial(_aspects, one_digit=True),
            high=9.0,
            digits=_DIGITS,
        ),
        Rubric(
            version="brief-digit-1",
            max_pixels=256 * 256,
            form=partial(_brief, one_digit=True),
            high=9.0,
            digits=_DIGITS,
        ),
    )
}
"""By name: `aspects-1` is the detailed form, `brief-1` a line of text for small judges and quick looks;
`digit-1` and `brief-digit-1` ask the same for one digit, from 0 to 9."""
