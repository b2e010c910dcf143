"""What a process imports from which Prefect's own commands, servers, workers and runs are forked, and ours as flows."""

from contextlib import suppress
from importlib import import_module

NAMES = [
    *(f"prefect.cli.{name}" for name in ("deploy", "deployment", "global_concurrency_limit", "server", "work_pool")),
    *("prefect.cli.worker", "prefect.engine", "prefect.server.api.server", "prefect.workers.process"),
    *("prefect.runner._workspace_resolver", "prefect.runner._workspace_supervisor"),
    *(f"prefect_seedance.flows.{name}" for name in ("campaign", "campaign_shard", "collect_finished", "process_inbox")),
    *(f"prefect_seedance.flows.{name}" for name in ("image_sequence_animation", "storyboard_to_shots")),
    *("prefect_seedance.cli.run_flows", "tests.support.warm_commands"),
]

for name in NAMES:
    with suppress(ModuleNotFoundError):  # other versions of Prefect have other modules
        import_module(name)

import_module("prefect.plugins").load_prefect_collections()
