"""What a process imports from which emulators, decoders and commands without Prefect are forked."""

import httpx

import prefect_seedance.cli.app
import prefect_seedance.cli.campaign_commands
import prefect_seedance.cli.plan_command
import prefect_seedance.cli.run_direct
import prefect_seedance.cli.upkeep_commands
import prefect_seedance.emulator.server
import prefect_seedance.storage.s3
import prefect_seedance.video.clips
import prefect_seedance.video.decoding
import prefect_seedance.video.hearing  # noqa: F401
from prefect_seedance.production.review import template
from prefect_seedance.runpod.connections import certificates

httpx.Client(verify=certificates()).close()  # the certificates are kept, and what httpx imports late is there
template()
