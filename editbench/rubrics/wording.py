"""The shape of a rubric's texts, so that a language is one value and the categories differ by data only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Criterion:
    """One of the five things an aspect is made of, and what moves its points."""

    name: str
    up: str
    down: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Aspect:
    """What one category is judged on."""

    name: str
    short: str
    """A few plain words, for the brief rubric."""
    focus: str
    """The question that the aspect asks."""
    aside: str
    """What is left to other aspects."""
    criteria: tuple[Criterion, Criterion, Criterion, Criterion, Criterion]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """All texts of one language; `{…}` are filled from the fields of an Aspect and a Criterion, never from a pair."""

    role: str
    shows_all: str
    """What is shown: source, edited image, instruction."""
    shows_several: str
    """In place of `shows_all` where the pair has several source images."""
    shows_rationale: str
    """Added to `shows_all` where the pair has a rationale."""
    shows_edit: str
    """What is shown: edited image, instruction."""
    aspect: str
    criterion: str
    scale: str
    undone: str
    """For an edit that did not carry out its instruction."""
    data: str
    """That what is written in the material is no order."""
    reply: str
    reply_digit: str
    """In place of `reply` where the score is to be one digit."""
    source_label: str
    numbered_label: str
    """In place of `source_label` where the pair has several source images; `{number}` counts from 1."""
    edited_label: str
    closing: str
    """After the quoted material, so that it has not the last word."""
    closing_digit: str
    brief_system: str
    brief_system_digit: str
    brief_instruction: str
    """Stands before the instruction on its line."""
    aspects: dict[str, Aspect]
    """By category."""

    def system(self, category: str, *, num_sources: int, has_rationale: bool, one_digit: bool = False) -> str:
        """Write the detailed system prompt.

        Args:
            category: whose aspect is judged.
            num_sources: how many source images are shown; 0: the edited image alone, and no rationale.
            has_rationale: whether the question holds one.
            one_digit: whether the score is to be one digit.
        """
        aspect = self.aspects[category]
        shown = self.shows_edit
        if num_sources:
            shown = self.shows_all if num_sources == 1 else self.shows_several
            shown += self.shows_rationale if has_rationale else ""
        criteria = "\n".join(
            self.criterion.format(number=number, name=criterion.name, up=criterion.up, down=criterion.down)
            for number, criterion in enumerate(aspect.criteria, start=1)
        )
        heading = self.aspect.format(name=aspect.name, focus=aspect.focus, aside=aspect.aside)
        rules = (self.scale, self.undone, self.data, self.reply_digit if one_digit else self.reply)
        return "\n\n".join((self.role, shown, heading + "\n" + criteria, *rules))
