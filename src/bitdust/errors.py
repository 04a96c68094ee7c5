"""The one error tree: every failure a caller may meet, with what to do next.

Each class fixes a ``code`` (stable, for programs), the HTTP status it would have in a REST API, the
exit code of the command line and whether trying again may help. An instance adds the message and
the hint, both for people; neither may ever hold a secret.
"""

from __future__ import annotations

from typing import ClassVar


class BitdustError(Exception):
    """Base of all documented failures.

    Args:
        message: what went wrong, one sentence without a trailing full stop.
        hint: what the person can do next; the class's ``default_hint`` when empty.
    """

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or self.code.replace("_", " "))
        self.hint = hint or self.default_hint

    @property
    def message(self) -> str:
        """The sentence for people, without the hint."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


# --- the caller's input -------------------------------------------------------------------------


class InvalidInput(BitdustError):
    """A parameter, file or message that cannot be taken as it is."""

    code = "invalid_input"
    http_status = 400
    exit_code = 2


class InvalidName(InvalidInput):
    """Text that is no user name, IDURL, global id, key id or remote path."""

    code = "invalid_name"


class InvalidSetting(InvalidInput):
    """A settings key that does not exist, or a value out of its type or range."""

    code = "invalid_setting"


class DamagedSettings(InvalidInput):
    """A settings file that cannot be read as its type; the file is left as it is."""

    code = "damaged_settings"


class NotFound(BitdustError):
    """The thing named does not exist here."""

    code = "not_found"
    http_status = 404
    exit_code = 3


class NotInCatalog(NotFound):
    """A remote path, item id or version that the catalog does not hold."""

    code = "not_in_catalog"
    default_hint = "list what is there with `bitdust file list`"


class AlreadyExists(BitdustError):
    """The thing to be made is there already."""

    code = "already_exists"
    http_status = 409
    exit_code = 4


class LocalFileError(BitdustError):
    """A local file or folder that is missing, unreadable or unwritable."""

    code = "local_file"
    http_status = 400
    exit_code = 5


class AccessDenied(BitdustError):
    """The caller did not prove that it may do this."""

    code = "access_denied"
    http_status = 403
    exit_code = 6


class NoContract(AccessDenied):
    """The customer has no contract with this supplier that allows the call."""

    code = "no_contract"


# --- this node's state --------------------------------------------------------------------------


class NoIdentity(BitdustError):
    """The call needs an identity and this node has none yet."""

    code = "no_identity"
    http_status = 409
    exit_code = 7
    default_hint = "create one with `bitdust identity create NAME` or recover one from its backup"


class NotRunning(BitdustError):
    """No daemon answers for this home."""

    code = "not_running"
    http_status = 503
    exit_code = 8
    default_hint = "start it with `bitdust daemon`"


class AlreadyRunning(BitdustError):
    """Another daemon holds this home."""

    code = "already_running"
    http_status = 409
    exit_code = 9
    default_hint = "stop it with `bitdust stop`, or choose another home with --home"


class PortInUse(BitdustError):
    """A port from the settings is taken by another program."""

    code = "port_in_use"
    http_status = 503
    exit_code = 10


class DiskFull(BitdustError):
    """The local disk has no room for what was asked."""

    code = "disk_full"
    http_status = 507
    exit_code = 11
    default_hint = "free some space and try again; nothing was lost"


class Stopped(BitdustError):
    """The job was stopped before its end."""

    code = "stopped"
    http_status = 409
    exit_code = 12


class ServiceOff(BitdustError):
    """A service the call needs is switched off or not up yet."""

    code = "service_off"
    http_status = 503
    exit_code = 8


# --- keys and cryptography ----------------------------------------------------------------------


class KeyProblem(BitdustError):
    """A key that is missing, malformed, or not the right one."""

    code = "key"
    http_status = 400
    exit_code = 13


class WrongPassphrase(KeyProblem):
    """The passphrase does not open the key file."""

    code = "wrong_passphrase"


class IntegrityError(BitdustError):
    """Bytes whose hash, tag or signature does not fit: damaged or forged."""

    code = "integrity"
    http_status = 500
    exit_code = 14


class FormatError(IntegrityError):
    """Foreign bytes that are not in the documented form."""

    code = "format"


# --- other nodes --------------------------------------------------------------------------------


class NetworkError(BitdustError):
    """Another node could not be reached or did not do its part."""

    code = "network"
    http_status = 502
    exit_code = 15
    retryable = True


class PeerUnreachable(NetworkError):
    """No connection to that node can be made now."""

    code = "peer_unreachable"
    default_hint = "it may be offline; the engine keeps trying by itself"


class DeadlineExceeded(NetworkError):
    """The other node did not answer in time."""

    code = "deadline"
    http_status = 504


class Misbehaviour(NetworkError):
    """The other node broke the protocol; the connection was dropped and counted."""

    code = "misbehaviour"
    retryable = False


class PeerRefused(NetworkError):
    """The other node answered with a refusal.

    Args:
        message: the reason in the other node's words, shortened.
        reason: its code, such as ``quota`` or ``no_contract``.
    """

    code = "peer_refused"
    retryable = False

    def __init__(self, message: str = "", *, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class Busy(NetworkError):
    """The other node has more work of this kind than it takes; later it may do it."""

    code = "busy"
    http_status = 503
    default_hint = "try again a little later"


class IdentityServerError(NetworkError):
    """An identity server is away or refused the document."""

    code = "identity_server"
    default_hint = (
        "try later when it is another person's; your own are named in "
        "`services/identity-propagate/known-servers`"
    )


class NameTaken(AlreadyExists):
    """The user name is registered to another key on that identity server."""

    code = "name_taken"
    default_hint = "choose another name or another identity server"


class DhtError(NetworkError):
    """The DHT did not give or take the record."""

    code = "dht"


# --- storage ------------------------------------------------------------------------------------


class TooFewSuppliers(BitdustError):
    """Not enough suppliers are hired or reachable for what was asked."""

    code = "too_few_suppliers"
    http_status = 503
    exit_code = 16
    retryable = True
    default_hint = "see `bitdust supplier list`; the upload can be started again when they are back"


class QuotaExceeded(BitdustError):
    """The space agreed with suppliers is used up; nothing stored before was touched."""

    code = "quota"
    http_status = 507
    exit_code = 17
    default_hint = "raise `services/customer/needed-space`, or delete versions no longer needed"


class DataUnavailable(BitdustError):
    """Fewer intact fragments can be reached than a block needs."""

    code = "data_unavailable"
    http_status = 503
    exit_code = 18
    retryable = True
    default_hint = "wait until more suppliers are online and start the download again"
