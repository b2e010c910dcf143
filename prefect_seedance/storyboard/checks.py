"""The rules of a storyboard: from what somebody wrote to requests, or to everything that has to be corrected first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from prefect_seedance.catalog.endpoints import Catalog, Model
from prefect_seedance.catalog.options import PROBLEMS_OF, first_offered
from prefect_seedance.catalog.pricing import estimate
from prefect_seedance.errors import BadInput
from prefect_seedance.keys import key_of
from prefect_seedance.models import LastFrame, Problem, Request
from prefect_seedance.sources.images import SHORTEST_SIDE, PictureSource, sides_after_crop
from prefect_seedance.storyboard.chains import Before, circles, in_order, waiting_for
from prefect_seedance.storyboard.documents import Loc
from prefect_seedance.storyboard.schema import Outline, ShotSpec, near, shot_name
from prefect_seedance.storyboard.texts import (
    LONGEST_PROMPT,
    LONGEST_TITLE,
    VARIABLE,
    file_name,
    filled,
    id_problem,
    joined,
    text_problem,
    title_of,
    unset,
)
from prefect_seedance.text import printable, without_credentials

MOST_SHOTS = 5_000
Pictures = Mapping[str, PictureSource | BadInput]


@dataclass(frozen=True)
class BoardShot:
    """One shot as it would be asked for. `request` is None where it is blocked, and `problem` says why."""

    id: str
    take: int
    line: int | None
    prompt: str
    request: Request | None
    key: str | None
    estimated_usd: Decimal
    continue_from: str | None
    image: PictureSource | None
    last_image: PictureSource | None
    problem: str | None = None


@dataclass(frozen=True)
class Board:
    """A storyboard that was read and checked. Nothing of it may be submitted while it has problems."""

    title: str
    shots: tuple[BoardShot, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    file: str


def picture_places(outline: Outline) -> Iterator[str]:
    """Where the pictures of *outline* are, as far as the variables in their paths have values."""
    for shot in outline.board.shots[:MOST_SHOTS]:
        for place in (shot.image, shot.last_image):
            if place and not unset(place, outline.board.variables):
                yield filled(place, outline.board.variables)


def check(outline: Outline, catalog: Catalog, pictures: Pictures) -> Board:
    """*outline* as requests with their keys and prices, and everything that is wrong in the order of the file."""
    rules = _Rules(outline, catalog, pictures)
    rules.check_header()
    shots = rules.check_shots() if len(outline.board.shots) <= MOST_SHOTS else ()
    title = title_of(outline.board.title, outline.board.variables)
    problems, warnings = (_by_place(found, outline.file) for found in (rules.problems, rules.warnings))
    return Board(title, shots, problems, warnings, outline.file)


class _Rules:
    """One reading of one board. A shot is its number in the board; `blocked` says for which there is no request."""

    def __init__(self, outline: Outline, catalog: Catalog, pictures: Pictures) -> None:
        self.problems, self.warnings = list(outline.problems), list(outline.warnings)
        self.outline, self.catalog, self.pictures = outline, catalog, pictures
        self.board, self.shots, self.variables = outline.board, outline.board.shots, outline.board.variables
        self.style = filled(self.board.style, self.variables)[:LONGEST_PROMPT]
        self.variables_known = not any(loc[:1] == ("variables",) for loc in outline.broken)
        self.blocked: dict[int, str] = {}
        summary = {problem.shot: problem.message for problem in reversed(outline.problems)}
        for loc in outline.broken:
            if len(loc) > 1 and loc[0] == "shots":
                name = shot_name(self.shots, int(loc[1]))
                self.blocked[int(loc[1])] = summary.get(name, "what holds for all its siblings is wrong")

    def problem(self, loc: Loc, message: str) -> None:
        """Note what is wrong at *loc*, unless it was found to be wrong already when it was read."""
        if not self.outline.is_broken(loc):
            self.problems.append(self.outline.note(loc, message))
        if len(loc) > 1 and loc[0] == "shots":
            self.blocked.setdefault(int(loc[1]), message)

    def check_header(self) -> None:
        title = title_of(self.board.title, self.variables)
        if not title:
            self.problem(("title",), "the title is empty; productions are kept under it, so give one")
        if len(title) > LONGEST_TITLE:
            self.problem(("title",), f"the title has {len(title):,} characters; shorten it to {LONGEST_TITLE}")
        self.check_names(("title",), self.board.title)
        self.check_text(("style",), self.board.style)
        for name in self.variables:
            if not VARIABLE.fullmatch(f"{{{name}}}"):
                message = f"`{printable(name)}` can't be a variable; use letters, digits and underscores"
                self.problem(("variables", name), message)
        if not self.shots:
            self.problem(("shots",), "there are no shots; add at least one with `id:` and `prompt:`")
        if len(self.shots) > MOST_SHOTS:
            message = f"there are {len(self.shots):,} shots; the most is {MOST_SHOTS:,}, so split the storyboard"
            self.problem(("shots",), message)
        self.check_defaults()

    def check_defaults(self) -> None:
        defaults = self.board.defaults
        if not (model := self.catalog.get(defaults.model)):
            self.problem(("defaults", "model"), self.unknown_model(defaults.model))
            return
        for field, misfit in PROBLEMS_OF.items():
            value = getattr(defaults, field)
            if value is not None and (message := misfit(value, model)):
                self.problem(("defaults", field), message)

    def unknown_model(self, slug: str) -> str:
        meant = near(slug, self.catalog) or "; known are " + ", ".join(self.catalog)
        return f"model `{printable(slug)}` is not in the catalog{meant}"

    def check_names(self, loc: Loc, text: str) -> None:
        """Report each {name} in *text* that has no value."""
        if not self.variables_known:
            return
        for name in unset(text, self.variables):
            remedy = near(name, self.variables) or "; add it to `variables:`, or write it without braces"
            self.problem(loc, f"`{{{printable(name)}}}` has no value{remedy}")

    def check_text(self, loc: Loc, text: str) -> None:
        self.check_names(loc, text)
        if message := text_problem(filled(text, self.variables), str(loc[-1])):
            self.problem(loc, message)

    def check_shots(self) -> tuple[BoardShot, ...]:
        self.check_ids()
        shots = [self.shot(number) for number in range(len(self.shots))]
        before = self.links()
        for circle in circles(before):
            self.report_circle(circle)
        for number in in_order(before):
            link = before[number]
            if link is not None:
                shots[number] = _continued(shots[number], shots[link])
        self.warn_of_drift(before)
        waiting = waiting_for(before, self.blocked)
        for root, followers in waiting.items():
            self.report_waiting(root, followers)
        for number, why in self.blocked.items():
            shots[number] = replace(shots[number], request=None, key=None, estimated_usd=Decimal(0), problem=why)
        return tuple(shots)

    def warn_of_drift(self, before: Before) -> None:
        """Warn of long chains: each shot begins with a generated picture, so they grow softer and stranger."""
        length: dict[int, int] = {}
        for number in in_order(before):
            link = before[number]
            length[number] = 1 if link is None else length.get(link, 1) + 1
            if length[number] == self.outline.board.max_chain + 1:
                message = (
                    f"more than {self.outline.board.max_chain} shots continue one another here, and the picture drifts "
                    "from shot to shot; begin anew with an `image`, or raise `max_chain:`"
                )
                self.warnings.append(self.outline.note(("shots", number, "continue_from"), message))

    def check_ids(self) -> None:
        first: dict[str, int] = {}
        for number, shot in enumerate(self.shots):
            loc = ("shots", number, "id")
            if message := id_problem(shot.id):
                self.problem(loc, message)
                continue
            other = first.setdefault(file_name(shot.id), number)
            if other == number:
                continue
            line = self.outline.note(("shots", other, "id"), "").line
            where = f"first on line {line}" if line else f"first for shot {other + 1}"
            if shot.id == self.shots[other].id:
                self.problem(loc, f"id `{shot.id}` is used twice, {where}; give each shot an id of its own")
            else:
                message = (
                    f"id `{shot.id}` makes the same file name as `{self.shots[other].id}`, {where}; choose another"
                )
                self.problem(loc, message)

    def shot(self, number: int) -> BoardShot:
        """The shot without its chain: where it continues from another, its first frame and its key come later."""
        spec, at = self.shots[number], ("shots", number)
        if not spec.prompt.strip():
            self.problem((*at, "prompt"), "the prompt is empty; say what the clip shows")
        self.check_text((*at, "prompt"), spec.prompt)
        prompt = joined(filled(spec.prompt, self.variables), self.style)
        shot = BoardShot(
            id=spec.id.strip() or f"#{number + 1}",
            take=spec.take,
            line=self.outline.note(at, "").line,
            prompt=prompt,
            request=None,
            key=None,
            estimated_usd=Decimal(0),
            continue_from=spec.continue_from,
            image=None,
            last_image=None,
        )
        shot = replace(shot, image=self.picture(number, "image"), last_image=self.picture(number, "last_image"))
        if not (model := self.model(number)):
            return shot
        if len(prompt) > model.longest_prompt:
            message = f"the prompt has {len(prompt):,} characters with the style; {model.slug} may cut what is beyond "
            self.warnings.append(self.outline.note((*at, "prompt"), f"{message}{model.longest_prompt:,}"))
        asked = {field: self.value(number, field, model) for field in PROBLEMS_OF}
        self.check_pictures(number, model)
        if model.tier_of(asked["size"]):
            self.check_crop((*at, "image"), shot.image, asked["size"])
            self.check_crop((*at, "last_image"), shot.last_image, asked["size"])
        return shot if number in self.blocked else self.priced(number, shot, model, asked)

    def model(self, number: int) -> Model | None:
        slug = self.shots[number].model
        model = self.catalog.get(slug or self.board.defaults.model)
        if model is None and slug:
            self.problem(("shots", number, "model"), self.unknown_model(slug))
        elif model is None or (not slug and self.outline.is_broken(("defaults", "model"))):
            self.blocked.setdefault(number, "the model of the defaults is wrong")
        return model

    def value(self, number: int, field: str, model: Model) -> Any:
        """The value of *field*: that of the shot, else of the defaults, else the usual one of *model*.

        A value that the model does not offer blocks the shot.
        """
        spec, default = self.shots[number], getattr(self.board.defaults, field)
        own, misfit = getattr(spec, field), PROBLEMS_OF[field]
        if own is not None:
            if message := misfit(own, model):
                self.problem(("shots", number, field), message)
            return own
        if self.outline.is_broken(("defaults", field)):
            self.blocked.setdefault(number, f"the {field} of the defaults is wrong")
        if default is None or (field == "fps" and spec.model and not model.fps):
            return first_offered(field, model)
        if message := misfit(default, model):
            if spec.model:
                self.problem(("shots", number, "model"), f"{message}; it comes from the defaults, so give one here")
            self.blocked.setdefault(number, message)
        return default

    def picture(self, number: int, field: str) -> PictureSource | None:
        spec, loc = self.shots[number], ("shots", number, field)
        place: str | None = getattr(spec, field)
        if place is None:
            return None
        self.check_names(loc, place)
        if unset(place, self.variables):
            return None
        place = filled(place, self.variables)
        if not place:
            self.problem(loc, "the path is empty; name a picture or leave it out")
            return None
        source = self.pictures[place]
        if isinstance(source, BadInput):
            self.problem(loc, f"picture {printable(without_credentials(place))}: {source}")
            return None
        return source.cropped() if (self.board.defaults.crop if spec.crop is None else spec.crop) else source

    def check_crop(self, loc: Loc, source: PictureSource | None, size: str) -> None:
        if source is None or not source.picture.crop:
            return
        wide, high = sides_after_crop(source.picture.width, source.picture.height, size)
        if min(wide, high) < SHORTEST_SIDE:
            cut = f"cropped to {size} it has only {wide}x{high} pixels of at least {SHORTEST_SIDE}; use a larger one"
            self.problem(loc, f"picture {printable(source.picture.source)}: {cut}")

    def check_pictures(self, number: int, model: Model) -> None:
        spec, at = self.shots[number], ("shots", number)
        if spec.image is not None and spec.continue_from is not None:
            self.problem(
                (*at, "image"), "it has both `image` and `continue_from`, but one first frame; keep one of them"
            )
        first = "image" if spec.image is not None else "continue_from" if spec.continue_from is not None else None
        if model.image == "none" and first:
            self.problem((*at, first), f"{model.slug} takes no picture; remove `{first}` or choose another model")
        if model.image == "required" and not first:
            message = f"{model.slug} needs a picture to begin with; add `image` or `continue_from`"
            self.problem((*at, "image"), message)
        if spec.last_image is not None and not model.last_image_key:
            message = f"{model.slug} takes no last frame; remove `last_image` or choose another model"
            self.problem((*at, "last_image"), message)

    def priced(self, number: int, shot: BoardShot, model: Model, asked: dict[str, Any]) -> BoardShot:
        request = Request(
            model=model.slug,
            prompt=shot.prompt,
            take=shot.take,
            image=shot.image and shot.image.picture,
            last_image=shot.last_image and shot.last_image.picture,
            **asked,
        )
        try:
            usd = estimate(request, model)
        except ValueError as error:
            self.problem(("shots", number), f"it has no price: {error}; add one to the catalog")
            return shot
        return replace(shot, request=request, key=key_of(request), estimated_usd=usd)

    def links(self) -> list[int | None]:
        """For each shot the one that it continues from."""
        by_id: dict[str, int] = {}
        for number, shot in enumerate(self.shots):
            by_id.setdefault(shot.id, number)
        found: list[int | None] = []
        for number, shot in enumerate(self.shots):
            link = None if shot.continue_from is None else by_id.get(shot.continue_from)
            if shot.continue_from is not None and (link is None or link == number):
                self.report_link(number, shot, by_id)
                link = None
            found.append(link)
        return found

    def report_link(self, number: int, shot: ShotSpec, by_id: dict[str, int]) -> None:
        loc = ("shots", number, "continue_from")
        if shot.continue_from in by_id:
            self.problem(loc, "it continues from itself; name another shot, or remove `continue_from`")
        else:
            meant = near(str(shot.continue_from), by_id) or "; name the id of a shot of this storyboard"
            self.problem(loc, f"there is no shot `{printable(shot.continue_from)}` to continue from{meant}")

    def report_circle(self, circle: list[int]) -> None:
        names = [f"`{shot_name(self.shots, number)}`" for number in [*circle, circle[0]]]
        way = " → ".join(names if len(names) < 10 else [*names[:8], "…", names[-1]])
        message = f"these shots continue from one another in a circle: {way}; let one of them begin afresh"
        self.problem(("shots", circle[0], "continue_from"), message)
        for number in circle:
            self.blocked.setdefault(number, message)

    def report_waiting(self, root: int, followers: list[int]) -> None:
        """One message for all shots that a blocked one keeps waiting, however long the chain."""
        name = shot_name(self.shots, root)
        others = [f"`{shot_name(self.shots, number)}`" for number in followers[1:4]]
        if len(followers) > 4:
            others.append(f"{len(followers) - 4} more")
        also = f"; so do {', '.join(others)}" if others else ""
        message = f"it continues from `{name}`, which is blocked, so correct that one{also}"
        self.problem(("shots", followers[0], "continue_from"), message)
        for number in followers:
            self.blocked.setdefault(number, f"it continues from `{name}`, which is blocked")


def _continued(shot: BoardShot, before: BoardShot) -> BoardShot:
    if shot.request is None or before.key is None:
        return shot
    request = shot.request.model_copy(update={"image": LastFrame(of=before.key)})
    return replace(shot, request=request, key=key_of(request))


def _by_place(problems: list[Problem], file: str) -> tuple[Problem, ...]:
    """*problems* in reading order: those of other files and of the whole board first, then by line of *file*."""
    return tuple(sorted(problems, key=lambda problem: (problem.line or 0) if problem.file == file else 0))
