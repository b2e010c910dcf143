"""The state diagram of docs/architecture.md, drawn from the table of legal steps.

python -m docs.ledger.diagram    writes it between the two marks of docs/architecture.md
"""

from __future__ import annotations

from pathlib import Path

from prefect_seedance.ledger.rules import MAY_FOLLOW

PAGE = Path(__file__).parents[1] / "architecture.md"
BEGIN, END = "<!-- states -->", "<!-- /states -->"


def diagram() -> str:
    """The table as Mermaid, every step an arrow."""
    arrows = [
        f"    {before or '[*]'} --> {after}" for before, steps in MAY_FOLLOW.items() for after in sorted(steps, key=str)
    ]
    arrows += [f"    {before} --> [*]" for before, steps in MAY_FOLLOW.items() if not steps]
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, "```"])


def with_diagram(page: str) -> str:
    """*page* with the diagram between its marks. Raises `ValueError` where it has none."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the page holds no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{diagram()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_diagram(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
