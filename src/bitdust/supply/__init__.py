"""Customers and suppliers: contracts, hiring, quotas, and the objects kept for each other.

``SupplierService`` keeps other people's objects in a ``FragmentStore``; ``CustomerService`` keeps
this node's own suppliers hired; ``SupplierClient`` gives objects to suppliers and gets them back.
The rules (``contracts``, ``family``, ``quota``, ``rules``, ``names``, ``messages``) are pure.
"""

from bitdust.supply.charter import (
    MAX_CHARTER,
    MAX_MEMBERS,
    WRITER,
    Charter,
    FormerMember,
    Permit,
    ShareMember,
    share_prefix,
    writer_prefix,
)
from bitdust.supply.charterclient import ask_charter, ask_family, give_charter
from bitdust.supply.charters import verify_charter
from bitdust.supply.client import SupplierClient
from bitdust.supply.contracts import Contract
from bitdust.supply.customer import CustomerService
from bitdust.supply.family import Family, Member
from bitdust.supply.index import ObjectRow, ObjectState
from bitdust.supply.messages import Entry, Refusal
from bitdust.supply.names import MAX_NAME, check_object_name
from bitdust.supply.ports import NetworkPort
from bitdust.supply.publishing import published_suppliers
from bitdust.supply.quota import Usage
from bitdust.supply.reconcile import Reconciled
from bitdust.supply.rules import Rates, Terms
from bitdust.supply.store import MAX_OBJECT, FragmentStore
from bitdust.supply.supplier import SupplierService
from bitdust.supply.supplierlist import granted_bytes
from bitdust.supply.views import percent_text, size_text
from bitdust.supply.wire import NUMBERS, Phase

__all__ = [
    "MAX_CHARTER",
    "MAX_MEMBERS",
    "MAX_NAME",
    "MAX_OBJECT",
    "NUMBERS",
    "WRITER",
    "Charter",
    "Contract",
    "CustomerService",
    "Entry",
    "Family",
    "FormerMember",
    "FragmentStore",
    "Member",
    "NetworkPort",
    "ObjectRow",
    "ObjectState",
    "Permit",
    "Phase",
    "Rates",
    "Reconciled",
    "Refusal",
    "ShareMember",
    "SupplierClient",
    "SupplierService",
    "Terms",
    "Usage",
    "ask_charter",
    "ask_family",
    "check_object_name",
    "give_charter",
    "granted_bytes",
    "percent_text",
    "published_suppliers",
    "share_prefix",
    "size_text",
    "verify_charter",
    "writer_prefix",
]
