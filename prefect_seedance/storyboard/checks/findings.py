"""What the checks of one storyboard find: problems, warnings, and the shots that can't be asked for."""

from __future__ import annotations

from prefect_seedance.storyboard.documents import Loc
from prefect_seedance.storyboard.hints import Hints
from prefect_seedance.storyboard.schema import Outline, shot_name


class Findings:
    """What was found in *outline* so far; it begins with what was wrong when the file was read.

    A shot is its number in the board, from 0. `blocked` says for which shots there can be no request, and why; the
    first reason counts.
    """

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.problems, self.warnings = list(outline.problems), list(outline.warnings)
        self.hints = Hints()
        # Where the variables themselves could not be read, a {name} without a value is no mistake of its own.
        self.variables_known = not any(loc[:1] == ("variables",) for loc in outline.broken)
        self.blocked: dict[int, str] = {}
        summary = {problem.shot: problem.message for problem in reversed(outline.problems)}
        for loc in outline.broken:
            if len(loc) > 1 and loc[0] == "shots":
                name = shot_name(outline.board.shots, int(loc[1]))
                self.block(int(loc[1]), summary.get(name, "what holds for all its siblings is wrong"))

    def problem(self, loc: Loc, message: str) -> None:
        """Note what is wrong at *loc*, unless it was found to be wrong already when it was read."""
        if not self.outline.is_broken(loc):
            self.problems.append(self.outline.note(loc, message))
        if len(loc) > 1 and loc[0] == "shots":
            self.block(int(loc[1]), message)

    def warn(self, loc: Loc, message: str) -> None:
        self.warnings.append(self.outline.note(loc, message))

    def block(self, number: int, why: str) -> None:
        self.blocked.setdefault(number, why)
