"""What README.md does by hand in its sections 2 to 4, for compose.yaml: bucket, blocks, work pool, deployments.

Only what is missing is made. Limits, schedules and whatever else a person has changed stay so when all is started
again.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import s3fs
import yaml
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from pydantic import SecretStr

from prefect_seedance import RunpodCredentials, SpendingLimits, VideoStore

POOL = "seedance"
OF_THIS_MACHINE = ("s3://seedance/films", "http://s3:9000")
"""Store and endpoint of compose.yaml's own S3 server."""
DEPLOYMENTS = Path(__file__).with_name("prefect.yaml")


async def main() -> None:
    store = store_of({name: value for name, value in os.environ.items() if value})
    if store.endpoint_url:
        make_bucket(store)
    await once(RunpodCredentials.from_environment())
    await once(store)
    await once(SpendingLimits(per_day=50, per_month=500, approve_above=10))
    missing = await missing_deployments()
    if missing:
        names = [word for name in missing for word in ("--name", name)]
        await asyncio.to_thread(
            subprocess.run, ["prefect", "--no-prompt", "deploy", "--prefect-file", str(DEPLOYMENTS), *names], check=True
        )


def store_of(environment: Mapping[str, str]) -> VideoStore:
    """The bucket that SEEDANCE_STORE names, with its own endpoint; else that of compose.yaml's server."""
    url, endpoint_url = OF_THIS_MACHINE
    if "SEEDANCE_STORE" in environment:
        url, endpoint_url = environment["SEEDANCE_STORE"], environment.get("SEEDANCE_S3_ENDPOINT")
    return VideoStore(
        url=url,
        key=environment["AWS_ACCESS_KEY_ID"],
        secret=SecretStr(environment["AWS_SECRET_ACCESS_KEY"]),
        endpoint_url=endpoint_url,
        region=environment.get("AWS_DEFAULT_REGION"),
    )


def make_bucket(store: VideoStore) -> None:
    files = s3fs.S3FileSystem(endpoint_url=store.endpoint_url)  # with the keys of the environment
    bucket = store.url.removeprefix("s3://").partition("/")[0]
    if not files.exists(bucket):
        files.mkdir(bucket)


async def once(block: Block) -> None:
    """Save *block* as `seedance`, where none of its kind has that name."""
    try:
        await type(block).aload("seedance")
    except ValueError:
        await block.asave("seedance")


async def missing_deployments() -> list[str]:
    """The names of prefect.yaml that nobody has deployed yet; makes the work pool, which they need."""
    wanted = {one["name"]: one["entrypoint"] for one in yaml.safe_load(DEPLOYMENTS.read_text())["deployments"]}
    async with get_client() as api:
        if POOL not in {pool.name for pool in await api.read_work_pools()}:
            await api.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        of_these_names = DeploymentFilter(name=DeploymentFilterName(any_=list(wanted)))
        there = {(one.name, one.entrypoint) for one in await api.read_deployments(deployment_filter=of_these_names)}
    return [name for name, entrypoint in wanted.items() if (name, entrypoint) not in there]


if __name__ == "__main__":
    asyncio.run(main())
