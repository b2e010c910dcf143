"""What the process that forks commands as flows imports: Prefect, as the command line has it."""

from prefect_seedance.cli.prefect_settings import prepare_prefect

prepare_prefect()

import prefect_seedance.cli.run_flows  # noqa: E402
import prefect_seedance.flows.campaign  # noqa: E402
import prefect_seedance.flows.collect_finished  # noqa: E402
import prefect_seedance.flows.image_sequence_animation  # noqa: E402
import prefect_seedance.flows.process_inbox  # noqa: E402
import prefect_seedance.flows.storyboard_to_shots  # noqa: E402, F401
