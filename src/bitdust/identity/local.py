"""This node's own identity: made, published, kept up to date, backed up, recovered, erased.

Source: BitDust API, third generation, ``identity_create``, ``identity_backup``,
``identity_recover``, ``identity_erase``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import structlog

from bitdust.clock import Clock
from bitdust.crypto import DEFAULT_KEY_SIZE, KEY_SIZES, PrivateKey, lock_key
from bitdust.errors import (
    AlreadyExists,
    BitdustError,
    IdentityServerError,
    KeyProblem,
    NameTaken,
)
from bitdust.identity.backup import compose_backup, parse_backup
from bitdust.identity.document import (
    MAX_REVISION,
    MAX_SOURCES,
    IdentityDocument,
    sign_document,
)
from bitdust.identity.identityhome import (
    keep_recovered_key,
    read_home,
    read_note,
    refuse_second,
    remove_document,
    remove_note,
    source_idurls,
    store_document,
    store_note,
    take_or_make_key,
)
from bitdust.identity.masterkey import erase_master_key
from bitdust.identity.nameclient import NameClient
from bitdust.identity.rotation import extras_after, former_sources, next_sources
from bitdust.identity.secretfile import write_new_secret, write_secret
from bitdust.identity.survey import Survey, ask_servers
from bitdust.ids import IDURL, GlobalID, check_username

MAX_CANDIDATES = 16
"""Other identity servers asked in one rotation."""


class LocalIdentity:
    """The person this node belongs to. Made by ``create``, ``load`` or ``recover``.

    Args:
        home: the node's home directory.
        key: the master key.
        document: the current document, signed by ``key``.
        client: how name servers are reached.
        clock: wall clock for dates.
        pool: where key operations and file writes run.
    """

    def __init__(
        self,
        home: Path,
        key: PrivateKey,
        document: IdentityDocument,
        *,
        client: NameClient,
        clock: Clock,
        pool: Executor,
    ) -> None:
        self._home = home
        self._key = key
        self._document = document
        self._client = client
        self._clock = clock
        self._pool = pool
        self._changing = asyncio.Lock()
        self._pending = set(document.sources)
        self._floor = 0
        self._log = structlog.get_logger().bind(component="identity")

    @property
    def key(self) -> PrivateKey:
        """The master key."""
        return self._key

    @property
    def document(self) -> IdentityDocument:
        """The current document."""
        return self._document

    @property
    def idurl(self) -> IDURL:
        """The address."""
        return self._document.idurl

    @property
    def global_id(self) -> GlobalID:
        """The address as ``alice@host``."""
        return self._document.global_id

    @property
    def node_id(self) -> bytes:
        """Fingerprint of the master key, 32 bytes."""
        return self._document.node_id

    @property
    def other_names(self) -> tuple[GlobalID, ...]:
        """Names of this person besides the present one: on other sources, and from before."""
        places = (*self._document.sources[1:], *former_sources(self._document))
        return tuple(place.global_id for place in places)

    @property
    def pending(self) -> tuple[IDURL, ...]:
        """Sources not known to serve the current document yet; ``publish`` tries them again."""
        return tuple(source for source in self._document.sources if source in self._pending)

    @classmethod
    async def create(
        cls,
        home: Path,
        username: str,
        servers: Sequence[str],
        *,
        client: NameClient,
        clock: Clock,
        pool: Executor,
        key_size: int = DEFAULT_KEY_SIZE,
        passphrase: str | None = None,
        contacts: Iterable[str] = (),
        certificate: str = "",
        dht_key: bytes = b"",
        version: str = "",
        dht_key_of: Callable[[PrivateKey], bytes] | None = None,
    ) -> LocalIdentity:
        """Make a key, register ``username`` and write both to the home.

        A private key that an unfinished call or ``erase`` left in the home is taken again, so that
        a name registered with it is not lost.

        Args:
            servers: name servers as ``host`` or ``host:port``; those away are left out as long as
                one answers.
            key_size: bits, one of ``KEY_SIZES``.
            passphrase: locks the key file.
            contacts, certificate, dht_key, version: for the document.
            dht_key_of: gives the DHT key of a master key; the document is then in the DHT, too, and
                needs no server.

        Raises:
            AlreadyExists: the home has an identity.
            InvalidInput, KeyProblem: a bad name, list of servers or key size.
            NameTaken: the name belongs to somebody else on one of the servers.
            IdentityServerError: no server answers.
        """
        on_servers = dht_key_of is None or bool(servers)
        sources = source_idurls(username, servers) if on_servers else ()
        check_username(username)
        if key_size not in KEY_SIZES:
            raise KeyProblem(
                f"no RSA key of {key_size} bits is made", hint=f"use one of {KEY_SIZES}"
            )
        refuse_second(home)
        loop = asyncio.get_running_loop()
        key = await loop.run_in_executor(pool, take_or_make_key, home, key_size, passphrase)
        if dht_key_of is not None:
            dht_key = dht_key_of(key)
            sources = (*sources[: MAX_SOURCES - 1], IDURL.in_dht(dht_key, username))
        survey = await ask_servers(client, pool, sources, key.public)
        if survey.strangers:
            place = survey.strangers[0]
            raise NameTaken(f"the name {username} is taken on {place.host}:{place.port}")
        usable = [source for source in sources if source not in survey.away]
        if not usable:
            where = ", ".join(servers) or "the DHT"
            raise IdentityServerError(f"no identity server answers ({where})")
        document = sign_document(
            key,
            sources=usable,
            contacts=contacts,
            certificate=certificate,
            dht_key=dht_key,
            revision=_next_revision(survey.newest),
            now=clock.now(),
            version=version,
        )
        identity = cls(home, key, document, client=client, clock=clock, pool=pool)
        # Published first: a name that was not got must leave no identity behind.
        await identity.publish()
        await loop.run_in_executor(pool, store_document, home, identity.document)
        return identity

    @classmethod
    async def load(
        cls,
        home: Path,
        *,
        client: NameClient,
        clock: Clock,
        pool: Executor,
        passphrase: str | None = None,
    ) -> LocalIdentity:
        """Read the identity of a home.

        Raises:
            NoIdentity: there is none.
            WrongPassphrase: the key is locked and the passphrase missing or wrong.
            IntegrityError, KeyProblem: a damaged file, named in the message.
        """
        loop = asyncio.get_running_loop()
        key, document = await loop.run_in_executor(pool, read_home, home, passphrase)
        return cls(home, key, document, client=client, clock=clock, pool=pool)

    @classmethod
    async def recover(
        cls,
        home: Path,
        text: str,
        *,
        client: NameClient,
        clock: Clock,
        pool: Executor,
        known_idurl: IDURL | None = None,
        passphrase: str | None = None,
        lock_key: bool = True,
        version: str = "",
        dht_key_of: Callable[[PrivateKey], bytes] | None = None,
    ) -> LocalIdentity:
        """Bring an identity back from its backup on a fresh home.

        When no name server answers, the key and the address are enough: a new document is made,
        with the present time as its revision, which is above all that were counted up one by one.
        It says nothing about where the node listens; ``update`` does.

        Args:
            text: the content of the backup file.
            known_idurl: the address, if the file names none or an outdated one.
            passphrase: opens a locked backup.
            lock_key: whether it locks the key file here, too.
            dht_key_of: gives the DHT key of a master key; the newest document is looked for in the
                DHT, too, which knows where somebody moved after the backup.

        Raises:
            AlreadyExists: the home has an identity, or another private key.
            InvalidInput, KeyProblem, IntegrityError: no proper backup.
            KeyProblem: the key is not that of the identity served at the address.
            WrongPassphrase: the backup is locked and the passphrase is missing or wrong.
        """
        backup = parse_backup(text, known_idurl)
        refuse_second(home)
        loop = asyncio.get_running_loop()
        key = await loop.run_in_executor(pool, PrivateKey.from_pem, backup.key_text, passphrase)
        dht_key = dht_key_of(key) if dht_key_of is not None else b""
        in_dht = [IDURL.in_dht(dht_key, backup.idurls[0].username)] if dht_key else []
        places: Sequence[IDURL] = list(dict.fromkeys([*backup.idurls, *in_dht]))
        survey = await ask_servers(client, pool, places, key.public)
        newest = survey.newest
        if newest is not None:
            # The backup may be older than the last move.
            survey = await ask_servers(client, pool, newest.sources, key.public)
            newest = max(newest, survey.newest or newest, key=lambda found: found.revision)
        elif survey.strangers:
            raise KeyProblem(
                f"this is not the private key of the identity served at {survey.strangers[0]}",
                hint="check that the IDURL and the key in the backup belong together",
            )
        places = newest.sources if newest else backup.idurls
        sources = [source for source in places if source not in survey.strangers]
        if not sources:
            raise NameTaken(f"the name {places[0].username} was given to another key meanwhile")
        revision = _next_revision(newest)
        if newest is None or survey.away:
            revision = max(revision, min(int(clock.now()), MAX_REVISION))
        document = sign_document(
            key,
            sources=sources,
            revision=revision,
            now=clock.now(),
            version=version,
            dht_key=dht_key or (newest.dht_key if newest else b""),
            extras=newest.extras if newest else (),
        )
        lock = passphrase if lock_key else None
        await loop.run_in_executor(pool, keep_recovered_key, home, key, lock)
        identity = cls(home, key, document, client=client, clock=clock, pool=pool)
        await loop.run_in_executor(pool, store_document, home, document)
        try:
            await identity.publish()
        except (IdentityServerError, AlreadyExists) as exc:
            identity._log.warning("recovered identity not published yet", reason=str(exc))
        return identity

    async def publish(self) -> tuple[IDURL, ...]:
        """Send the current document to all its sources.

        When a server holds a higher revision of this key, as after working from an old copy of the
        home, the document is signed again above that one.

        Returns:
            the sources that serve it now; the others stay in ``pending``.

        Raises:
            NameTaken: the name belongs to another key on one of the servers.
            IdentityServerError: no server took it.
        """
        async with self._changing:
            return await self._publish()

    async def publish_in_dht(self) -> int:
        """Put the document where those find it who know the key, or an address that is gone.

        When a higher revision stands there, as after working from an old copy of the home, the
        document is signed again above that one.

        Returns:
            The revision that stands there now.

        Raises:
            IdentityServerError: the DHT does not take it now.
        """
        async with self._changing:
            if not self._document.dht_key:
                return self._document.revision
            place = IDURL.in_dht(self._document.dht_key, self._document.name)
            try:
                await self._client.publish(place, self._document.to_xml(), self._key)
            except AlreadyExists:
                survey = await ask_servers(self._client, self._pool, [place], self._key.public)
                if survey.newest is None or survey.newest.revision < self._document.revision:
                    raise IdentityServerError("the DHT holds something else") from None
                revision = _next_revision(survey.newest)
                await self._replace(self._sign_again(self._document, revision))
                await self._client.publish(place, self._document.to_xml(), self._key)
            return self._document.revision

    async def update(
        self,
        *,
        contacts: Iterable[str] | None = None,
        certificate: str | None = None,
        dht_key: bytes | None = None,
        version: str | None = None,
    ) -> IdentityDocument:
        """Change what the document says; without a change, nothing happens.

        The new revision is kept in the home first. Servers that are away stay in ``pending``.

        Returns:
            the document now in force.

        Raises:
            InvalidInput: a value that no reader would take.
            LocalFileError, DiskFull: it could not be kept; nothing changed.
        """
        async with self._changing:
            old = self._document
            new = replace(
                old,
                contacts=old.contacts if contacts is None else tuple(contacts),
                certificate=old.certificate if certificate is None else certificate,
                dht_key=old.dht_key if dht_key is None else dht_key,
                version=old.version if version is None else version,
            )
            if new == old:
                return old
            await self._replace(self._sign_again(new, _next_revision(old)))
            try:
                await self._publish()
            except (IdentityServerError, AlreadyExists) as exc:
                self._log.warning("identity not published yet", reason=str(exc))
            return self._document

    async def survey(self) -> Survey:
        """Ask all sources what they serve."""
        document = self._document
        return await ask_servers(
            self._client, self._pool, document.sources, self._key.public, document
        )

    async def find_sources(
        self,
        servers: Sequence[str],
        *,
        move: bool,
        dead: Collection[IDURL] = (),
        fewest: int = 1,
        most: int = MAX_SOURCES,
    ) -> tuple[IDURL, ...]:
        """Choose the next sources and register at the first of them; nothing else changes.

        ``take_sources`` goes on from there. Until then a crash leaves nothing but a name on one
        more server.

        Args:
            servers: others that may be used, ``host`` or ``host:port``, the best first.
            move: leave the present address even if it is served.
            dead: sources to be given up, unless they answer now.
            fewest, most: how many sources there shall be.

        Returns:
            The sources; the present ones when there is nothing to change.

        Raises:
            InvalidName: a bad server.
            IdentityServerError: no server can take the address.
            NameTaken: wherever a server answers, the name belongs to somebody else.
        """
        async with self._changing:
            old = self._document
            others = [server for server in dict.fromkeys(servers) if server][:MAX_CANDIDATES]
            fresh = [
                place
                for server in others
                for place in source_idurls(old.name, [server])
                if all((place.host, place.port) != (old.host, old.port) for old in old.sources)
            ]
            survey = await ask_servers(
                self._client, self._pool, (*old.sources, *dict.fromkeys(fresh)), self._key.public
            )
            usable = [*survey.own, *survey.free]
            gone = {place for place in dead if place in survey.away} | {*survey.strangers}
            # the DHT does not die, it is only out of reach
            gone = {place for place in gone if not place.is_serverless}
            chosen = next_sources(
                old.sources,
                [place for place in dict.fromkeys(fresh) if place in usable],
                move=move,
                lost=gone,
                away=survey.away,
                fewest=fewest,
                most=min(most, MAX_SOURCES),
            )
            if not chosen:
                if survey.strangers and not survey.away:
                    raise NameTaken(f"the name {old.name} is taken on the other identity servers")
                raise IdentityServerError("no other identity server answers")
            if chosen == old.sources or chosen[0] == old.idurl:
                return chosen
            newest = max(survey.newest or old, old, key=lambda known: known.revision)
            offered = self._moved(chosen, _next_revision(newest))
            try:
                await self._client.publish(chosen[0], offered.to_xml(), self._key)
            except AlreadyExists as exc:
                if isinstance(exc, NameTaken):
                    raise
                raise IdentityServerError(exc.message, hint="try again") from exc
            self._floor = offered.revision
            return chosen

    async def take_sources(self, sources: Sequence[IDURL]) -> IdentityDocument:
        """Make ``sources`` the own ones, in the home first; ``publish`` brings them to servers.

        From here on ``unfinished`` tells of it, after a restart too, until ``finish_rotation``.

        Returns:
            The document that was in force before.

        Raises:
            LocalFileError, DiskFull: it could not be kept; nothing changed.
        """
        async with self._changing:
            old = self._document
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._pool, store_note, self._home, old)
            revision = max(old.revision, self._floor) + 1
            await self._replace(self._moved(tuple(sources), revision))
            return old

    async def unfinished(self) -> IdentityDocument | None:
        """The document before a change of sources that is not completed, None if there is none."""
        loop = asyncio.get_running_loop()
        before = await loop.run_in_executor(self._pool, read_note, self._home)
        if before is None or before.sources == self._document.sources:
            return None
        return before

    async def finish_rotation(self) -> None:
        """All that had to follow the change of sources has followed.

        Raises:
            LocalFileError: the note of it cannot be removed.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, remove_note, self._home)

    def _moved(self, sources: tuple[IDURL, ...], revision: int) -> IdentityDocument:
        extras = extras_after(self._document, sources)
        return self._sign_again(replace(self._document, sources=sources, extras=extras), revision)

    async def backup_text(self, passphrase: str | None = None) -> str:
        """The backup: IDURLs and private key, locked if a passphrase is given. A secret."""
        key_text = self._key.to_pem()
        if passphrase is not None:
            loop = asyncio.get_running_loop()
            key_text = await loop.run_in_executor(self._pool, lock_key, key_text, passphrase)
        return compose_backup(self._document.sources, key_text)

    async def backup(
        self, path: Path, *, passphrase: str | None = None, overwrite: bool = False
    ) -> Path:
        """Write the backup to a file that only its owner can read.

        Raises:
            AlreadyExists: the file exists and ``overwrite`` was not given.
            LocalFileError, DiskFull: it cannot be written.
        """
        text = await self.backup_text(passphrase)
        write = write_secret if overwrite else write_new_secret
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, write, path, text.encode("ascii"))
        return path

    async def erase(self, *, erase_private_key: bool = False) -> None:
        """Remove the document from the home, and the master key if told. Servers keep serving it.

        Raises:
            LocalFileError: a file cannot be removed.
        """
        async with self._changing:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._pool, remove_document, self._home)
            if erase_private_key:
                await loop.run_in_executor(self._pool, erase_master_key, self._home)

    async def _publish(self) -> tuple[IDURL, ...]:
        failures = await self._offer()
        if any(_is_outdated(failure) for failure in failures.values()):
            survey = await ask_servers(
                self._client, self._pool, self._document.sources, self._key.public
            )
            if survey.newest and survey.newest.revision >= self._document.revision:
                self._log.info("identity revision was behind", served=survey.newest.revision)
                revision = _next_revision(survey.newest)
                await self._replace(self._sign_again(self._document, revision))
                failures = await self._offer()
        self._pending = set(failures)
        for failure in failures.values():
            if isinstance(failure, NameTaken):
                raise failure
        if len(failures) == len(self._document.sources):
            raise IdentityServerError(
                "no identity server took the document: "
                + "; ".join(failure.message for failure in failures.values())
            )
        return tuple(source for source in self._document.sources if source not in failures)

    async def _offer(self) -> dict[IDURL, BitdustError]:
        """Send to every source; the failures by source."""
        xml = self._document.to_xml()

        async def offer(source: IDURL) -> BitdustError | None:
            try:
                await self._client.publish(source, xml, self._key)
            except (IdentityServerError, AlreadyExists) as exc:
                return exc
            return None

        answers = await asyncio.gather(*map(offer, self._document.sources))
        pairs = zip(self._document.sources, answers, strict=True)
        return {source: answer for source, answer in pairs if answer is not None}

    def _sign_again(self, document: IdentityDocument, revision: int) -> IdentityDocument:
        return sign_document(
            self._key,
            sources=document.sources,
            contacts=document.contacts,
            certificate=document.certificate,
            dht_key=document.dht_key,
            revision=revision,
            now=self._clock.now(),
            version=document.version,
            extras=document.extras,
        )

    async def _replace(self, document: IdentityDocument) -> None:
        """Keep a document in the home, then take it as the current one."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, store_document, self._home, document)
        self._document = document
        self._pending = set(document.sources)


def _is_outdated(failure: BitdustError) -> bool:
    return isinstance(failure, AlreadyExists) and not isinstance(failure, NameTaken)


def _next_revision(document: IdentityDocument | None) -> int:
    return document.revision + 1 if document else 1
