"""The service graph: what depends on what, and bringing it up and down while the node runs.

What each service does is wired in ``bitdust.wiring``; here are the names, the planning and
the running.
"""

from bitdust.services.graph import Graph, Plan, Spec
from bitdust.services.known import SPECS, known_services
from bitdust.services.runner import Part, ServiceRunner, State
from bitdust.services.traffic import INCOMING, OUTGOING, Packet, ServicePort, Traffic

__all__ = [
    "INCOMING",
    "OUTGOING",
    "SPECS",
    "Graph",
    "Packet",
    "Part",
    "Plan",
    "ServicePort",
    "ServiceRunner",
    "Spec",
    "State",
    "Traffic",
    "known_services",
]
