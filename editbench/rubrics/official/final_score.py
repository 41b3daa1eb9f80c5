"""What RISEBench, RISEBench++ and UniREditBench share: three questions whose replies end in `Final Score: N`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from editbench.errors import UsageError
from editbench.records import Pair
from editbench.rubrics.headlines import Headline
from editbench.rubrics.official.prompts import OfficialRubric, quote_lines
from editbench.rubrics.readers import read_marker
from editbench.rubrics.rubric import Question, Reading, Shown

CONSISTENCY, REASONING, QUALITY = "consistency", "reasoning", "quality"
SCALE = (1.0, 5.0)
PERCENT = (0.0, 100.0)
MEAN = Headline(name="mean", scale=PERCENT, offset=-1.0, factor=25.0)
"""Of values from 1 to 5, in percent; each headline gives it a name and values."""
ACCURACY = Headline(name="accuracy", scale=PERCENT, values=("complete",), factor=100.0)
NAMES = {CONSISTENCY: "ApprConsistency", REASONING: "Reasoning", QUALITY: "VisualPlausibility"}
"""The official names of the three, of pairs all of whose replies could be read."""
FAILED_CALL = "Failed to obtain answer via API."
"""What the official code stores in place of a reply, so replies made by it may hold it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Which prompt and which pictures a call has."""

    prompt: str
    """The name of the variable in the official file."""
    pictures: tuple[str, ...]
    """In order; see `Shown.picture`."""
    raw: bool = False
    """The text is sent as it stands; otherwise `{instruct}` and `{reference}` are filled in."""


class FinalScore(OfficialRubric):
    """The common half: questions from routes, the reading of `Final Score: N`, the means beside the headline."""

    @property
    def scale(self) -> tuple[float, float]:
        """1 to 5."""
        return SCALE

    @property
    def dimensions(self) -> Mapping[str, tuple[float, float]]:
        """The three scores, each from 1 to 5."""
        return dict.fromkeys(NAMES, SCALE)

    def questions(self, routes: Mapping[str, Route], fields: Mapping[str, str]) -> Sequence[Question]:
        """A question for each route: the text, then the pictures, no side longer than 768 pixels, as JPEG."""
        prompts = self.texts()
        return [
            Question(
                name=name,
                parts=(
                    prompts.raw(route.prompt) if route.raw else prompts.formatted(route.prompt, fields=fields),
                    *(Shown(picture=picture, max_side=768, jpeg_quality=75) for picture in route.pictures),
                ),
                gives=(name,),
                max_new_tokens=4096,
            )
            for name, route in routes.items()
        ]

    def final_score(self, question: Question, reply: str, *, binary: bool = False) -> Reading:
        """Read the number after `Final Score`, whole, 1 to 5; of a binary question 0 is 1 and all above is 5."""
        if reply.strip() == FAILED_CALL:
            return Reading(failure="error", detail="the reply is what the official code stores for a failed call")
        (name,) = question.gives
        reading = read_marker(reply, "Final Score", name, low=0 if binary else 1, high=5, whole=True)
        if not binary or reading.numbers is None:
            return reading
        number = reading.numbers[name]
        note = (f"{number:g} counts as 1, as in the official code",) if number > 1 else ()
        return replace(reading, numbers={name: 4 * min(number, 1) + 1}, notes=reading.notes + note)

    def by_category(self, headline: Headline) -> Sequence[Headline]:
        """The same for each of the benchmark's categories, such as `accuracy: spatial_reasoning`."""

        def of(category: str) -> Headline:
            def belongs(pair: Pair) -> bool:
                return self.category(pair.category) == category

            return replace(headline, name=f"{headline.name}: {category}", where=belongs)

        return [of(category) for categories in self.groups.values() for category in categories]

    def means(self) -> Sequence[Headline]:
        """The official means of the three kinds of score, in percent; of quality without the pairs that have none."""

        def has_quality(pair: Pair) -> bool:
            return QUALITY in self.asked(pair)

        every = [replace(MEAN, name=f"Overall_{name}", values=(name,)) for name in NAMES.values()]
        return [*every[:2], replace(every[2], where=has_quality)]


def scores_of(names: Collection[str], readings: Mapping[str, float | None]) -> dict[str, float] | None:
    """The readings of these dimensions; None where one is missing."""
    found = {name: number for name in names if (number := readings.get(name)) is not None}
    return found if len(found) == len(names) else None


def named(scores: Mapping[str, float] | None) -> dict[str, float | None]:
    """The readings under their official names."""
    return {name: None if scores is None else scores.get(dimension) for dimension, name in NAMES.items()}


def halved(score: float, reasoning: float) -> float:
    """An edit without any of the reasoning loses half its score, down to 1."""
    return max(1.0, score * 0.5) if reasoning == 1 else score


def is_given(value: object) -> bool:
    """Whether a field has a value, in pandas' sense: neither None nor NaN."""
    return value is not None and value == value


def text_field(pair: Pair, name: str) -> str:
    """A text of the benchmark that a prompt needs.

    Raises:
        UsageError: the pair has none.
    """
    value = pair.fields.get(name)
    if not is_given(value):
        raise UsageError(f"{pair.pair_id}: there is no `{name}`, and its question needs it")
    return quote_lines(str(value))
