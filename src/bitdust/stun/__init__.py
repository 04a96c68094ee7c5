"""STUN: finding the address under which others see this machine, and telling it to others.

``messages`` is pure; ``service`` sends and answers datagrams.

Source: RFC 8489.
"""

from bitdust.stun.messages import (
    Address,
    binding_answer,
    binding_request,
    read_answer,
    read_request,
)
from bitdust.stun.service import LAYER_STUN as LAYER_STUN
from bitdust.stun.service import Finding, StunResponder, find_address, judge

__all__ = [
    "Address",
    "Finding",
    "StunResponder",
    "binding_answer",
    "binding_request",
    "find_address",
    "judge",
    "read_answer",
    "read_request",
]
