"""docs/first-film.md as a program: whoever types it has a film, and has paid what the page says."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

from tests.support.forked import path_to_commands
from tests.support.places import ROOT

PAGE = (ROOT / "docs" / "first-film.md").read_text(encoding="utf-8")
WAIT = "until grep -q http emulator.log; do sleep 0.1; done"
"""A person who types is slower than the emulator starts."""
LOOK_AT_THE_BILL = (
    "python -c 'import urllib.request as web; print(web.urlopen(\"http://127.0.0.1:8080/bill\").read())' > bill"
)


def test_the_first_film_is_made_as_its_page_says(tmp_path: Path) -> None:
    [board] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "board.yaml").write_text(board, encoding="utf-8")
    typed = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    said = _type("\n".join([typed[0], WAIT, *typed[1:-1], LOOK_AT_THE_BILL, typed[-1]]), tmp_path)
    assert "$0.36" in said
    assert "$0.48 spent, $0.00 reserved" in said
    assert len(list(tmp_path.glob("films/productions/*/*/film.mp4"))) == 2
    assert len(list((tmp_path / "films" / "clips").glob("*.mp4"))) == 4
    assert (tmp_path / "bill").read_text().count("job_id") == 4


def _type(script: str, folder: Path) -> str:
    """What all commands of *script* say, on a port of their own and with nothing left running."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = script.replace("8080", str(port)).replace("--latency 5", "--latency 0.3")
    ran = subprocess.run(
        ["bash", "-ec", f"trap 'kill $(jobs -p) 2> /dev/null' EXIT\n{script}"],
        env=os.environ | {"PATH": path_to_commands(), "HOME": str(folder)},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout
