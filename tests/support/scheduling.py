"""Which worker of `make test` takes which tests, and in what order: the longest first, or the others wait for them.

A file is run by one worker, for its fixtures. Two kinds go another way: files that need a Prefect server share four,
since a start costs five seconds of a processor; and tests that mostly wait, with servers of their own, go one by one.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

ON_ONE_PREFECT_SERVER = (
    ("test_approval.py", "test_campaign_flows.py", "test_tasks.py", "test_shown.py"),
    ("test_deployments.py", "test_flows.py", "test_single_tasks.py", "test_saved_blocks.py", "test_pools.py"),
    ("test_render_command.py", "test_shared_quotas.py"),
    ("test_inbox.py", "test_inbox_strangers.py", "test_narration.py", "test_events.py"),
)
WAITING = ("test_s3.py", "test_uploads.py", "test_seen_otherwise.py", "test_poll.py")
"""They mostly wait, beside what computes. A worker that comes to one has left the folder with the Prefect server, which
ends."""

ONE_BY_ONE = ("test_server_dies.py", "test_property.py")
LONG = ("test_package.py", "test_crash.py", "test_readme.py", "test_many_workers.py", "test_page_server.py")

FIRST = [*(file for files in ON_ONE_PREFECT_SERVER for file in files), *WAITING, *ONE_BY_ONE, *LONG]


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0].rpartition("/")[2]


class LongestFirst(LoadFileScheduling):  # type: ignore[misc]
    """Hands out what the module says."""

    def _split_scope(self, nodeid: str) -> str:
        file = file_of(nodeid)
        if file in ONE_BY_ONE:
            return nodeid
        return next((files[0] for files in ON_ONE_PREFECT_SERVER if file in files), nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst:
    config.option.loadscopereorder = False
    return LongestFirst(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {file: rank for rank, file in enumerate(FIRST)}
    items.sort(key=lambda item: ranks.get(file_of(item.nodeid), len(ranks)))
