"""The blocks where Prefect and saved blocks look for them: `prefect block register -m prefect_seedance.blocks`."""

from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore

__all__ = ["RunpodCredentials", "SpendingLimits", "VideoStore"]
