"""Prompt texts of a public benchmark, read from the user's own copy of its repository and never run."""

import ast
import hashlib
import json
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from editbench.errors import UsageError
from editbench.records import Pair
from editbench.rubrics.rubric import Rubric, quote

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptFile:
    """Where a benchmark's repository keeps its prompts."""

    repository: str
    """What to clone, such as `https://github.com/stepfun-ai/Step1X-Edit`."""
    path: str
    """Of the file below the repository: `.py` (string variables of the module) or `.json` (an object of strings)."""
    function: str = ""
    """The variables are this function's; empty: the module's."""
    sha256: str = ""
    """The first digits of the known file's hash; empty: none is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompts:
    """The prompt texts of one file, by the name of their variable or key."""

    path: Path
    sha256: str
    """Of the file's bytes."""
    texts: Mapping[str, str]
    official: PromptFile

    def raw(self, *names: str) -> str:
        """The texts of these variables as they stand in the file, joined by line breaks.

        Raises:
            UsageError: the file has no such text; names those that it has.
        """
        if missing := [name for name in names if name not in self.texts]:
            there = ", ".join(self.texts) or "no text at all"
            raise UsageError(f"{self.path}: there is no plain text named {', '.join(missing)}; there is {there}")
        return "\n".join(self.texts[name] for name in names)

    def replaced(self, *names: str, placeholder: str, by: str) -> str:
        """The texts with a placeholder such as `<instruction>` replaced, by `str.replace`.

        Raises:
            UsageError: the file has no such text, or the text has no such placeholder.
        """
        text = self.raw(*names)
        if placeholder not in text:
            raise UsageError(f"{self.path}: {', '.join(names)}: the placeholder {placeholder} does not stand there")
        return text.replace(placeholder, by)

    def formatted(self, *names: str, fields: Mapping[str, str]) -> str:
        """The texts with `{field}` filled in and `{{` made `{`, by `str.format`.

        Raises:
            UsageError: the file has no such text, or the text is no format or asks for another field.
        """
        text = self.raw(*names)
        try:
            return text.format(**fields)
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            known = ", ".join(f"{{{name}}}" for name in fields)
            raise UsageError(
                f"{self.path}: {', '.join(names)}: cannot be filled in ({type(error).__name__}: {error}); "
                f"it may hold {known}, and other braces must be doubled"
            ) from error

    def notes(self) -> Iterator[str]:
        """A sentence where the file is not the known one."""
        if self.official.sha256 and not self.sha256.startswith(self.official.sha256):
            yield (
                f"The prompts are not the known official ones: sha256 of {self.official.path} begins with "
                f"{self.sha256[:12]}, the known one with {self.official.sha256}."
            )


@dataclass(frozen=True, kw_only=True)
class OfficialRubric(Rubric):
    """A rubric whose prompts come from the user's copy of an official repository."""

    prompts: str = ""
    """The official repository's folder, or the prompt file itself. What is read decides; the place does not."""

    neutral: ClassVar[frozenset[str]] = frozenset({"prompts"})
    counts: ClassVar[Mapping[str, int]] = {}
    """How many pairs each category has, in each language; empty: not known."""
    prompt_files: ClassVar[tuple[PromptFile, ...]]
    """Of the benchmark; the first is meant where a setting names a file and not a folder."""

    def texts(self, number: int = 0) -> Prompts:
        """The prompts of one of the benchmark's files.

        Raises:
            UsageError: there is no such file, or it cannot be read.
        """
        return load(self.prompts, self.prompt_files[number])

    def files(self) -> Mapping[str, str]:
        """The sha256 of each prompt file, by its official path."""
        every = [self.texts(number) for number in range(len(self.prompt_files))]
        return {prompts.official.path: prompts.sha256 for prompts in every}

    def notes(self) -> Sequence[str]:
        """Which prompt files are not the known ones."""
        return [note for number in range(len(self.prompt_files)) for note in self.texts(number).notes()]

    def check(self, pairs: Sequence[Pair]) -> None:
        """Make every question once, collect what is missing, and say where the counts are not the official ones.

        Raises:
            UsageError: the prompt files cannot be read, or a pair lacks what its questions need; a line each.
        """
        self.files()
        defects: dict[str, None] = {}
        for pair in pairs:
            try:
                self.calls(pair)
            except UsageError as error:
                defects[str(error)] = None
        if defects:
            raise UsageError("\n".join(defects))
        if other := self.other_counts(pairs):
            shown = ", ".join(other[:6]) + (f" and {len(other) - 6} more" if len(other) > 6 else "")
            log.warning("Not the whole official benchmark: %s.", shown)

    def other_counts(self, pairs: Sequence[Pair]) -> list[str]:
        """The categories with another number of pairs than the official benchmark has in each language that is there,
        such as `add: 2 of 95 (en)`.
        """
        found = Counter((self.category(pair.category), pair.language) for pair in pairs)
        return [
            f"{category}: {found[category, language]} of {number} ({language})"
            for language in sorted({language for _, language in found})
            for category, number in self.counts.items()
            if found[category, language] != number
        ]


def quote_lines(text: str) -> str:
    """Pass each line of a pair's text through `quote` and keep the line breaks.

    The official code sends these texts as they are, and rules, references and numbered turns may have several lines.
    What `quote` changes in a line (white space, brackets, control characters) is rare in them and keeps its meaning.
    """
    return "\n".join(quote(line) for line in re.split(r"\r\n|\r|\n", text))


@cache
def load(place: str, official: PromptFile) -> Prompts:
    """Read the prompts of one official file.

    Args:
        place: the file, or a folder: the official path below it, else the file's name at its top. A `.txt` file holds
            one text, named "".
        official: what is looked for.

    Raises:
        UsageError: no such file (says where it was looked for and what to clone), or it cannot be read.
    """
    path = _find(place, official)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: the prompts cannot be read: {error.strerror or error}") from error
    try:
        match path.suffix:
            case ".json":
                texts = texts_of_json(content)
            case ".txt":
                texts = {"": content.decode("utf-8-sig")}
            case _:
                texts = texts_of_module(content, official.function)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{path}: the prompts cannot be read: {error or type(error).__name__}") from error
    return Prompts(path=path, sha256=hashlib.sha256(content).hexdigest(), texts=texts, official=official)


def _find(place: str, official: PromptFile) -> Path:
    clone = f"git clone {official.repository}, then --rubric.init_args.prompts FOLDER"
    if not place:
        raise UsageError(f"--rubric.init_args.prompts: the prompts in {official.path} are needed: {clone}")
    given = Path(place).expanduser()
    if given.is_file():
        return given
    looked = list(dict.fromkeys((given / official.path, given / Path(official.path).name)))
    for path in looked:
        if path.is_file():
            return path
    places = " or ".join(str(path) for path in looked)
    raise UsageError(f"--rubric.init_args.prompts {place}: there is no file {places}: {clone}")


def texts_of_json(content: bytes) -> dict[str, str]:
    """The strings of a JSON object, by key.

    Raises:
        ValueError: it is not a JSON object.
    """
    found = json.loads(content.decode("utf-8-sig"))
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return {name: text for name, text in found.items() if isinstance(text, str)}


def texts_of_module(content: bytes, function: str = "") -> dict[str, str]:
    """The string variables of a Python module, or of a function in it, which is parsed and not run.

    A variable counts where the body assigns it, outside further functions, classes and branches, a string literal (also
    several side by side, or added) or another such variable. The last assignment holds; one of anything else, or
    anywhere else, takes the variable away, since its value is then not known without running the module.

    Raises:
        SyntaxError: it is not Python.
        ValueError: it holds null bytes.
    """
    with warnings.catch_warnings(action="ignore"):  # of an escape such as "\d" in the user's file
        body = ast.parse(content).body
    if function:
        found = (item.body for item in body if isinstance(item, ast.FunctionDef) and item.name == function)
        body = next(found, [])
    texts: dict[str, str] = {}
    for statement in body:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            targets, value = [], None
        text = None if value is None else _text(value, texts)
        for name in _bound(statement):
            texts.pop(name, None)
        for target in targets:
            if isinstance(target, ast.Name) and text is not None:
                texts[target.id] = text
    return texts


def _text(value: ast.expr, texts: Mapping[str, str]) -> str | None:
    if isinstance(value, ast.Constant):
        return value.value if isinstance(value.value, str) else None
    if isinstance(value, ast.Name):
        return texts.get(value.id)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        left, right = _text(value.left, texts), _text(value.right, texts)
        return None if left is None or right is None else left + right
    return None


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The module's names that a statement may set or delete."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
