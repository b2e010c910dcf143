"""What a person says and is asked in the UI: blocks by name, and a form while a run is suspended."""

from __future__ import annotations

from typing import Any

from tests.support.prefect_server import RunningPrefect


def asked(server: RunningPrefect, run: str) -> str:
    """What the form in the UI shows; empty while it is still being saved."""
    keys = server.flow_run(run)["state"]["state_details"]["run_input_keyset"] or {}
    saved = [server.api.get(f"flow_runs/{run}/input/{keys.get(name)}") for name in ("schema", "description")]
    return str(saved[1].json()) if all(answer.is_success for answer in saved) else ""


def wait_until_asked(server: RunningPrefect, run: str, what: str) -> str:
    server.wait_for_state(run, "Suspended", asked=lambda: what in asked(server, run))
    return asked(server, run)


def references_to(name: str) -> dict[str, Any]:
    """Credentials and store that are saved under *name*, as parameters of a run."""
    return {
        "credentials": {"$ref": {"block_document_slug": f"runpod-credentials/{name}"}},
        "store": {"$ref": {"block_document_slug": f"video-store/{name}"}},
    }
