"""The mission's rubric: an edit is judged on the one of five aspects that is its pair's category."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from editbench.errors import UsageError
from editbench.records import Pair
from editbench.rubrics.chinese import CHINESE
from editbench.rubrics.english import ENGLISH
from editbench.rubrics.headlines import CATEGORY_MEAN, ITEM_MEAN, Headline
from editbench.rubrics.readers import read_number
from editbench.rubrics.rubric import Question, Reading, Rubric, Shown, quote
from editbench.rubrics.wording import Wording

JudgeSees = Literal["all", "edit"]

_ALIASES = {"物理": "physical", "环境": "environmental", "社会": "social", "因果": "causal", "指代": "referential"}
CATEGORIES = tuple(_ALIASES.values())
_DIGITS = tuple("0123456789")
_MAX_NAMED = 5


@dataclass(kw_only=True)
class FiveAspects(Rubric):
    """One question a pair, in its language, about the aspect that is its category; the reply is one number.

    The aspects: physical, environmental, social, causal, referential. Each is made of five criteria of 5 ± 3 points, so
    a judge that keeps to them scores from 2.000 to 8.000.
    """

    judge_sees: JudgeSees = "all"
    """`all`: sources, edited image, instruction, and the rationale where there is one; `edit`: edited image and
    instruction."""
    digits: bool = False
    """Ask for one digit from 0 to 9, as `--expected` needs; 10 would be two tokens."""

    _versions: ClassVar[tuple[str, str]] = ("aspects-1", "digit-1")
    _max_pixels: ClassVar[int] = 1024 * 1024
    groups: ClassVar[Mapping[str, Sequence[str]]] = {"": CATEGORIES}

    @property
    def version(self) -> str:
        """`aspects-1`, or `digit-1` for one digit."""
        return self._versions[self.digits]

    @property
    def scale(self) -> tuple[float, float]:
        """0 to 10, or 0 to 9 for one digit."""
        return (0.0, 9.0) if self.digits else (0.0, 10.0)

    @property
    def dimensions(self) -> Mapping[str, tuple[float, float]]:
        """`score` alone."""
        return {"score": self.scale}

    @property
    def headlines(self) -> Sequence[Headline]:
        """The mean of the categories' means, then the mean of all pairs."""
        return CATEGORY_MEAN.on(self.scale), ITEM_MEAN.on(self.scale)

    def check(self, pairs: Sequence[Pair]) -> None:
        """Each category must be one of the five, in English or Chinese, in upper or lower case.

        Raises:
            UsageError: the others, with the number of their pairs.
        """
        unknown = Counter(pair.category for pair in pairs if self.category(pair.category) not in CATEGORIES)
        if unknown:
            named = [f"{category!r} ({number} pairs)" for category, number in unknown.most_common(_MAX_NAMED)]
            more = [f"{len(unknown) - _MAX_NAMED} more"] if len(unknown) > _MAX_NAMED else []
            known = ", ".join(f"{english} ({chinese})" for chinese, english in _ALIASES.items())
            raise UsageError(
                f"the rubric {self.version} has no aspect for the category {', '.join(named + more)}; it judges "
                f"{known}. For categories of your own give another rubric: --rubric FromFile"
            )

    def category(self, text: str) -> str:
        """The aspect's English name for its English or Chinese name in any case; any other text as it is."""
        wanted = text.strip().casefold()
        return _ALIASES.get(wanted, wanted if wanted in CATEGORIES else text)

    def calls(self, pair: Pair) -> Sequence[Question]:
        """One call, `score`."""
        sees_all = self.judge_sees == "all"
        rationale = quote(pair.rationale or "") if sees_all else ""
        wording, category = wording_of(pair), self.category(pair.category)
        lines = ["", "<instruction>", quote(pair.instruction), "</instruction>"]
        if rationale:
            lines += ["<rationale>", rationale, "</rationale>"]
        closing = wording.closing_digit if self.digits else wording.closing
        lines.append(closing.format(name=wording.aspects[category].name))
        num_sources = len(pair.sources)
        before: list[str | Shown] = []
        if sees_all:
            for number, shown in enumerate(self._sources(pair), start=1):
                label = wording.source_label if num_sources == 1 else wording.numbered_label.format(number=number)
                before += [label if number == 1 else "\n" + label, shown]
        edited_label = "\n" + wording.edited_label if before else wording.edited_label
        system = wording.system(
            category,
            num_sources=num_sources if sees_all else 0,
            has_rationale=bool(rationale),
            one_digit=self.digits,
        )
        return (self._question(system, (*before, edited_label, self._edit(), "\n".join(lines))),)

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """One number on the scale and nothing else; see `read_number`."""
        low, high = self.scale
        return read_number(reply, "score", low=low, high=high)

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The score itself."""
        return {"value": readings.get("score")}

    def _question(self, system: str, parts: tuple[str | Shown, ...]) -> Question:
        digits = _DIGITS if self.digits else ()
        return Question(name="score", parts=parts, gives=("score",), system=system, digits=digits)

    def _sources(self, pair: Pair) -> list[Shown]:
        names = ["source", *(f"source_{number}" for number in range(2, len(pair.sources) + 1))]
        return [Shown(picture=name, max_pixels=self._max_pixels) for name in names]

    def _edit(self) -> Shown:
        return Shown(picture="edit", max_pixels=self._max_pixels)


def wording_of(pair: Pair) -> Wording:
    """The texts in the pair's language; English where there are none in it."""
    return CHINESE if pair.language == "zh" else ENGLISH
