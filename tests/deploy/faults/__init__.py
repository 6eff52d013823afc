"""Every kind of fault there is."""

from collections.abc import Sequence

from tests.deploy.faults import network, processes, references, workloads
from tests.deploy.faults.planting import Fault

FAULTS: Sequence[Fault] = (*references.FAULTS, *network.FAULTS, *processes.FAULTS, *workloads.FAULTS)
