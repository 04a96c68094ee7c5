"""What the services of a node do when they are switched on and off; a part of the composition root.

Each class brings one thing up on the node that owns it and takes it down again. The order, and when
it happens, are ``bitdust.services``' business.
"""

from bitdust.wiring.holdings import Holdings
from bitdust.wiring.identities import Moves, bring_identity_back, make_identity
from bitdust.wiring.parts import service_parts
from bitdust.wiring.serverless import AnyNames
from bitdust.wiring.storing import RECOVERING

__all__ = [
    "RECOVERING",
    "AnyNames",
    "Holdings",
    "Moves",
    "bring_identity_back",
    "make_identity",
    "service_parts",
]
