"""Customers and suppliers: contracts, hiring, quotas, and the objects kept for each other."""

from bitdust.supply.contracts import Contract
from bitdust.supply.family import Family, Member
from bitdust.supply.index import ObjectState
from bitdust.supply.quota import Usage
from bitdust.supply.reconcile import Reconciled
from bitdust.supply.store import FragmentStore
from bitdust.supply.wire import NUMBERS, Phase

__all__ = [
    "NUMBERS",
    "Contract",
    "Family",
    "FragmentStore",
    "Member",
    "ObjectState",
    "Phase",
    "Reconciled",
    "Usage",
]
