"""Every operation as a typed method; the blocking form.

Written by ``python -m bitdust.client.generate``; do not edit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any


class Operations(ABC):
    """The operations of a node. All raise the errors of ``bitdust.errors``."""

    @abstractmethod
    def ask(self, method: str, arguments: dict[str, Any]) -> Any:
        """Call an operation with JSON values and give its result; None stands for "not given"."""

    def process_stop(self) -> None:
        """Stop the node."""
        self.ask("process_stop", {})

    def process_restart(self) -> dict[str, bool]:
        """Stop the node and start it again.

        Returns:
            `restarted`, true.
        """
        result: dict[str, bool] = self.ask("process_restart", {})
        return result

    def process_health(self) -> None:
        """Answer if the node is running."""
        self.ask("process_health", {})

    def process_info(self) -> dict[str, Any]:
        """Show in short how the node is doing.

        Returns:
            `version`, `home`, `identity`, `config`, `key`, `contact`, `event`, `service`,
            `automats`, `group`, `stream` (queues) and, while they are on, `network` and `dht`,
            with counts.
        """
        result: dict[str, Any] = self.ask("process_info", {})
        return result

    def process_debug(self) -> None:
        """Stop at a breakpoint and open the Python debugger in the terminal of the node."""
        self.ask("process_debug", {})

    def config_get(self, key: str) -> dict[str, Any] | list[dict[str, Any]]:
        """Show one setting, or what is below a branch of the settings.

        Args:
            key: path of the setting, such as `services/supplier/donated-space`, or of a branch.

        Returns:
            The option: `key`, `label`, `type`, `value`, `default`, `readonly`, `info`,
            `effective`, and `min`, `max` or `possible_values` where there are any. For a branch,
            the list of what is directly below it, with `key` and `childs` for each further
            branch.
        """
        result: dict[str, Any] | list[dict[str, Any]] = self.ask("config_get", {"key": key})
        return result

    def config_set(self, key: str, value: Any) -> dict[str, Any]:
        """Change one setting.

        Args:
            key: path of the setting.
            value: the new value; sizes take units, such as `8 GB`.

        Returns:
            The option as `config_get` shows it, with `old_value`.
        """
        result: dict[str, Any] = self.ask("config_set", {"key": key, "value": value})
        return result

    def configs_list(
        self, *, sort: bool = False, include_info: bool = True
    ) -> list[dict[str, Any]]:
        """List all settings.

        Args:
            sort: accepted for older clients; the list is always in alphabetical order.
            include_info: with the help text of each.

        Returns:
            A list of options as `config_get` shows them.
        """
        result: list[dict[str, Any]] = self.ask(
            "configs_list", {"sort": sort, "include_info": include_info}
        )
        return result

    def configs_tree(self) -> dict[str, Any]:
        """Show all settings as a tree.

        Returns:
            Objects nested by the parts of the keys; the leaves are options as `config_get` shows
            them.
        """
        result: dict[str, Any] = self.ask("configs_tree", {})
        return result

    def identity_get(self, *, include_xml_source: bool = False) -> dict[str, Any]:
        """Show your identity.

        Args:
            include_xml_source: with the signed XML document as `xml`.

        Returns:
            `name`, `idurl`, `global_id`, `sources`, `contacts`, `date`, `version`, `revision`,
            `publickey` and more.
        """
        result: dict[str, Any] = self.ask(
            "identity_get", {"include_xml_source": include_xml_source}
        )
        return result

    def identity_create(
        self, username: str, *, preferred_servers: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Make a private key and an identity, and register it on identity servers.

        Args:
            username: name of the person: lower-case letters, digits, `_` and `-`.
            preferred_servers: identity servers to use, `host` or `host:port`; those of the
                settings `services/identity-propagate/…` if not given. None is needed when
                `services/identity-propagate/serverless-enabled` is on.

        Returns:
            The identity as `identity_get` shows it, with `xml`.
        """
        result: dict[str, Any] = self.ask(
            "identity_create", {"username": username, "preferred_servers": preferred_servers}
        )
        return result

    def identity_backup(
        self, destination_filepath: str, *, overwrite: bool = False, passphrase: str | None = None
    ) -> dict[str, Any]:
        """Write a backup of your private key to a file.

        Args:
            destination_filepath: the file to make, readable by its owner only.
            overwrite: replace the file if it is there.
            passphrase: the private key in the file is encrypted under it; a line end after it
                does not count. Without the passphrase the file is of no use to anybody.

        Returns:
            `local_path`.
        """
        result: dict[str, Any] = self.ask(
            "identity_backup",
            {
                "destination_filepath": destination_filepath,
                "overwrite": overwrite,
                "passphrase": passphrase,
            },
        )
        return result

    def identity_recover(
        self,
        private_key_source: str,
        *,
        known_idurl: str | None = None,
        passphrase: str | None = None,
    ) -> dict[str, Any]:
        """Bring your identity back from its backup.

        Args:
            private_key_source: what the backup file holds: IDURLs, then the private key as PEM
                text.
            known_idurl: your IDURL, if the backup does not name it or it has changed.
            passphrase: opens a backup that was encrypted; a line end after it does not count. The
                key file on this machine is not locked by it; `bitdust passphrase` does that.

        Returns:
            The identity as `identity_get` shows it, with `xml`.
        """
        result: dict[str, Any] = self.ask(
            "identity_recover",
            {
                "private_key_source": private_key_source,
                "known_idurl": known_idurl,
                "passphrase": passphrase,
            },
        )
        return result

    def identity_rotate(self) -> dict[str, Any]:
        """Move your identity to another identity server, even if the present ones are well.

        Returns:
            The identity as `identity_get` shows it, with `old_sources` and `rotated`.
        """
        result: dict[str, Any] = self.ask("identity_rotate", {})
        return result

    def identity_erase(self, *, erase_private_key: bool = False) -> None:
        """Remove the identity from this machine; all network services are stopped first.

        Args:
            erase_private_key: remove the private key too. Without a backup of it, everything that
                is stored is lost.
        """
        self.ask("identity_erase", {"erase_private_key": erase_private_key})

    def identity_cache_list(self) -> list[dict[str, Any]]:
        """List the identities of other people that are kept on this machine.

        Returns:
            A list of identities as `identity_get` shows them.
        """
        result: list[dict[str, Any]] = self.ask("identity_cache_list", {})
        return result

    def key_get(self, key_id: str, *, include_private: bool = False) -> dict[str, Any]:
        """Show one key.

        Args:
            key_id: such as `photos$alice@server-a.com`; the alias alone names a key of your own.
            include_private: with the private half as PEM text.

        Returns:
            `key_id`, `alias`, `label`, `creator`, `size`, `public`, `private`, `is_public` and
            more.
        """
        result: dict[str, Any] = self.ask(
            "key_get", {"key_id": key_id, "include_private": include_private}
        )
        return result

    def keys_list(
        self, *, sort: bool = False, include_private: bool = False
    ) -> list[dict[str, Any]]:
        """List all keys on this machine, the master key first.

        Args:
            sort: accepted for older clients; the list is always sorted by key id.
            include_private: with the private halves as PEM text.

        Returns:
            A list of keys as `key_get` shows them.
        """
        result: list[dict[str, Any]] = self.ask(
            "keys_list", {"sort": sort, "include_private": include_private}
        )
        return result

    def key_create(
        self,
        key_alias: str,
        *,
        key_size: int | None = None,
        label: str = "",
        active: bool = True,
        include_private: bool = False,
    ) -> dict[str, Any]:
        """Make a new RSA key.

        Args:
            key_alias: name of the key: lower-case letters, digits, `_`, `-` and `.`.
            key_size: 1024, 2048, 3072 or 4096 bits; the setting `personal/private-key-size` if
                not given.
            label: what the key is for, in your words.
            active: whether services use it.
            include_private: with the private half as PEM text in the answer.

        Returns:
            The key as `key_get` shows it.
        """
        result: dict[str, Any] = self.ask(
            "key_create",
            {
                "key_alias": key_alias,
                "key_size": key_size,
                "label": label,
                "active": active,
                "include_private": include_private,
            },
        )
        return result

    def key_label(self, key_id: str, label: str) -> dict[str, Any]:
        """Give a key another label.

        Args:
            key_id: the key.
            label: the new label.

        Returns:
            The key as `key_get` shows it.
        """
        result: dict[str, Any] = self.ask("key_label", {"key_id": key_id, "label": label})
        return result

    def key_erase(self, key_id: str) -> None:
        """Forget a key and erase its file.

        Args:
            key_id: the key; the master key goes with the identity only.
        """
        self.ask("key_erase", {"key_id": key_id})

    def key_share(
        self,
        key_id: str,
        trusted_user_id: str,
        *,
        include_private: bool = False,
        timeout: float = 10,
    ) -> dict[str, Any]:
        """Hand a key to another person.

        Args:
            key_id: one of your keys, or one that its owner gave you.
            trusted_user_id: who gets it; must be online.
            include_private: with the private half, otherwise the public one only.
            timeout: seconds, connecting included.

        Returns:
            `key_id`, `global_id`, `idurl`, `include_private`, and `known`: whether they had it
            before.
        """
        result: dict[str, Any] = self.ask(
            "key_share",
            {
                "key_id": key_id,
                "trusted_user_id": trusted_user_id,
                "include_private": include_private,
                "timeout": timeout,
            },
        )
        return result

    def key_audit(
        self, key_id: str, untrusted_user_id: str, *, is_private: bool = False, timeout: float = 10
    ) -> dict[str, Any]:
        """Have another person prove that they hold a key, without showing it.

        Args:
            key_id: a key whose public half you hold as well.
            untrusted_user_id: who shall prove it; must be online.
            is_private: ask for the private half, otherwise for the public one.
            timeout: seconds, connecting included.

        Returns:
            `key_id`, `global_id`, `idurl`, `is_private` and `audited`, which is true.
        """
        result: dict[str, Any] = self.ask(
            "key_audit",
            {
                "key_id": key_id,
                "untrusted_user_id": untrusted_user_id,
                "is_private": is_private,
                "timeout": timeout,
            },
        )
        return result

    def friends_list(self) -> list[dict[str, Any]]:
        """List your friends.

        Returns:
            A list of `global_id`, `idurl`, `idhost`, `username`, `alias`, `contact_status`
            (`online` or `offline`), `contact_state`, and of the connection `id`, `name` and
            `state`.
        """
        result: list[dict[str, Any]] = self.ask("friends_list", {})
        return result

    def friend_add(self, trusted_user_id: str, *, alias: str = "") -> dict[str, Any]:
        """Make somebody your friend, or give a friend another alias.

        Args:
            trusted_user_id: the person.
            alias: what you call them; they can be named so wherever a person is meant.

        Returns:
            The friend as `friends_list` shows it.
        """
        result: dict[str, Any] = self.ask(
            "friend_add", {"trusted_user_id": trusted_user_id, "alias": alias}
        )
        return result

    def friend_remove(self, user_id: str) -> dict[str, Any]:
        """Strike somebody off the list of your friends.

        Args:
            user_id: the friend.
        """
        result: dict[str, Any] = self.ask("friend_remove", {"user_id": user_id})
        return result

    def user_ping(self, user_id: str, *, timeout: float = 15, retries: int = 2) -> dict[str, Any]:
        """Ask a person's node for a sign of life, connecting to it first where needed.

        Args:
            user_id: the person.
            timeout: seconds for one attempt.
            retries: further attempts after a failed one.

        Returns:
            `global_id`, `idurl`, `seconds` until the answer of the attempt that succeeded, and
            `attempts`.
        """
        result: dict[str, Any] = self.ask(
            "user_ping", {"user_id": user_id, "timeout": timeout, "retries": retries}
        )
        return result

    def user_status(self, user_id: str) -> dict[str, Any]:
        """Show whether a person is connected to this node now.

        Args:
            user_id: the person.

        Returns:
            `global_id`, `idurl`, `contact_state` (`CONNECTED`, `PING?` or `OFFLINE`),
            `contact_status` (`online` or `offline`), and `since` (seconds since 1970, 0 when it
            was never tried).
        """
        result: dict[str, Any] = self.ask("user_status", {"user_id": user_id})
        return result

    def user_status_check(self, user_id: str, *, timeout: float = 5) -> dict[str, Any]:
        """Show whether a person is online; only who is not connected is asked.

        Args:
            user_id: the person.
            timeout: seconds for the question.

        Returns:
            As `user_status`.
        """
        result: dict[str, Any] = self.ask(
            "user_status_check", {"user_id": user_id, "timeout": timeout}
        )
        return result

    def friend_invite(self, *, alias: str = "", hours: float = 24) -> dict[str, Any]:
        """Make a code with which one other person can become your friend.

        Args:
            alias: what you will call whoever accepts.
            hours: how long it is good.

        Returns:
            `code`, `inviter` (your address), `expires` (seconds since 1970).
        """
        result: dict[str, Any] = self.ask("friend_invite", {"alias": alias, "hours": hours})
        return result

    def friend_accept(self, code: str, *, alias: str = "", timeout: float = 15) -> dict[str, Any]:
        """Become friends with the person who gave you a code.

        Args:
            code: as `friend_invite` made it; case, blanks and dashes do not matter.
            alias: what you will call them.
            timeout: seconds, connecting included.

        Returns:
            The friend as `friends_list` shows it.
        """
        result: dict[str, Any] = self.ask(
            "friend_accept", {"code": code, "alias": alias, "timeout": timeout}
        )
        return result

    def message_send(
        self,
        recipient_id: str,
        data: Any,
        *,
        ping_timeout: float = 30,
        message_ack_timeout: float = 15,
    ) -> dict[str, Any]:
        """Write to a person.

        Args:
            recipient_id: the person.
            data: a JSON object of at most 64 KiB, such as `{"message": "Hello"}`. A text stands
                for `{"message": text}`. The receiver gets it with `msg_type` and `action` added.
            ping_timeout: seconds to reach the person.
            message_ack_timeout: seconds more for the acknowledgement.

        Returns:
            `consumed`, true when a program was listening at the other end; `message_id`; `state`:
            `delivered`, `waiting` or `failed`; `recipient`.
        """
        result: dict[str, Any] = self.ask(
            "message_send",
            {
                "recipient_id": recipient_id,
                "data": data,
                "ping_timeout": ping_timeout,
                "message_ack_timeout": message_ack_timeout,
            },
        )
        return result

    def message_receive(
        self,
        consumer_callback_id: str,
        *,
        direction: str = "incoming",
        message_types: str = "private_message,group_message",
        polling_timeout: float = 60.0,
        received: str | None = None,
    ) -> list[dict[str, Any]]:
        """Wait for messages.

        Args:
            consumer_callback_id: name of the listener, the caller's choice.
            direction: `incoming`, `outgoing`, or `any` for both.
            message_types: `private_message`, `group_message`, separated by commas.
            polling_timeout: seconds to wait; an empty list is the answer when nothing came.
            received: `message_id` of the last message that you have. What was handed over after
                it is handed over again, so that nothing is lost when an answer did not reach you.

        Returns:
            A list of `data`, `recipient`, `sender`, `time`, `message_id`, `dir`, `type`,
            `conversation_id` and, in a group, `sequence`.
        """
        result: list[dict[str, Any]] = self.ask(
            "message_receive",
            {
                "consumer_callback_id": consumer_callback_id,
                "direction": direction,
                "message_types": message_types,
                "polling_timeout": polling_timeout,
                "received": received,
            },
        )
        return result

    def message_history(
        self,
        *,
        recipient_id: str | None = None,
        sender_id: str | None = None,
        message_type: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Show what was said with a person or in a group.

        Args:
            recipient_id: the person, both directions are shown; or the key id of a group. All
                conversations when not given.
            sender_id: messages of this person only.
            message_type: `private_message` or `group_message`; both when not given.
            offset: how many of the newest messages to pass over.
            limit: how many to show.

        Returns:
            A list, oldest first, of `doc`: `conversation_id`, `direction` (`in` or `out`),
            `payload` with `data`, `message_id`, `msg_type` and `time`, `sender` and `recipient`
            with `glob_id`, `state` (`waiting`, `sent`, `delivered`, `failed`) and, in a group,
            `sequence`.
        """
        result: list[dict[str, Any]] = self.ask(
            "message_history",
            {
                "recipient_id": recipient_id,
                "sender_id": sender_id,
                "message_type": message_type,
                "offset": offset,
                "limit": limit,
            },
        )
        return result

    def message_search(
        self, text: str, *, recipient_id: str | None = None, offset: int = 0, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Find messages by their words.

        Args:
            text: words, all of which must be there; each may be the beginning of one.
            recipient_id: the person or group to search in; everywhere when not given.
            offset: how many of the newest to pass over.
            limit: how many to show.

        Returns:
            As `message_history`, newest first.
        """
        result: list[dict[str, Any]] = self.ask(
            "message_search",
            {"text": text, "recipient_id": recipient_id, "offset": offset, "limit": limit},
        )
        return result

    def message_conversations_list(
        self,
        *,
        message_types: str = "private_message,group_message",
        offset: int = 0,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """List conversations, the one with the newest message first.

        Args:
            message_types: `private_message`, `group_message`, separated by commas.
            offset: how many to pass over.
            limit: how many to show.

        Returns:
            A list of `conversation_id`, `key_id`, `type`, `label`, `started`, `last_updated`,
            `last_message_id`, `events`, and for a person `id`, `name` and `state` of the
            connection.
        """
        result: list[dict[str, Any]] = self.ask(
            "message_conversations_list",
            {"message_types": message_types, "offset": offset, "limit": limit},
        )
        return result

    def broadcast_send_message(self, payload: Any) -> dict[str, Any]:
        """Say something to everybody who can be reached.

        Args:
            payload: a JSON object of at most 4 KiB.

        Returns:
            `message_id`, and `nodes`, how many it is handed to first.
        """
        result: dict[str, Any] = self.ask("broadcast_send_message", {"payload": payload})
        return result

    def groups_list(
        self, *, only_active: bool = False, include_mine: bool = True, include_granted: bool = True
    ) -> list[dict[str, Any]]:
        """List the groups you made and those you were invited to.

        Args:
            only_active: only those that are connected.
            include_mine: those that you made.
            include_granted: those of other people.

        Returns:
            A list of groups as `group_info` shows them.
        """
        result: list[dict[str, Any]] = self.ask(
            "groups_list",
            {
                "only_active": only_active,
                "include_mine": include_mine,
                "include_granted": include_granted,
            },
        )
        return result

    def group_create(
        self, *, creator_id: str | None = None, key_size: int | None = None, label: str = ""
    ) -> dict[str, Any]:
        """Make a group.

        Args:
            creator_id: yourself; nobody can make a group in the name of others.
            key_size: bits of its key; the setting `personal/private-key-size` if not given.
            label: what the group is for, in your words.

        Returns:
            The key as `key_get` shows it, with its id as `group_key_id`.
        """
        result: dict[str, Any] = self.ask(
            "group_create", {"creator_id": creator_id, "key_size": key_size, "label": label}
        )
        return result

    def group_info(self, group_key_id: str) -> dict[str, Any]:
        """Show one group.

        Args:
            group_key_id: of the group.

        Returns:
            `group_key_id`, `alias`, `label`, `creator`, `state` (`CONNECTED`, `DISCONNECTED` or
            `CLOSED`), `active`, `active_broker_id`, `active_queue_id`, `last_sequence_id` (-1
            when the stream is empty), `members`, `brokers`, `generation` (how often its creator
            went on with other brokers), `forked` (not everybody saw the same stream), `errors`
            and more.
        """
        result: dict[str, Any] = self.ask("group_info", {"group_key_id": group_key_id})
        return result

    def group_info_dht(self, *, group_creator_id: str | None = None) -> list[dict[str, Any]] | None:
        """Read from the DHT who keeps the groups of a person, of those you are in.

        Args:
            group_creator_id: who made the groups; yourself if not given.

        Returns:
            A list of `group_key_id`, `broker_idurl`, `position`, `customer_idurl`, `epoch`,
            `revision` and `timestamp`, None when nothing is published.
        """
        result: list[dict[str, Any]] | None = self.ask(
            "group_info_dht", {"group_creator_id": group_creator_id}
        )
        return result

    def group_join(self, group_key_id: str) -> dict[str, Any]:
        """Take part in a group, from now on and after every restart.

        Args:
            group_key_id: of the group; yours, or one that somebody shared with you.

        Returns:
            The group as `group_info` shows it.
        """
        result: dict[str, Any] = self.ask("group_join", {"group_key_id": group_key_id})
        return result

    def group_leave(self, group_key_id: str, *, erase_key: bool = False) -> dict[str, Any]:
        """Take part in a group no more; you can join it again.

        Args:
            group_key_id: of the group.
            erase_key: also erase its key here, so that only a new invitation brings you back.
                What was written stays in your history.

        Returns:
            The group, with the state `CLOSED`.
        """
        result: dict[str, Any] = self.ask(
            "group_leave", {"group_key_id": group_key_id, "erase_key": erase_key}
        )
        return result

    def group_reconnect(self, group_key_id: str, *, force: bool = False) -> dict[str, Any]:
        """Look for the brokers of a group anew.

        Args:
            group_key_id: of the group.
            force: go on without the brokers that cannot be reached; for the creator alone.

        Returns:
            The group as `group_info` shows it.
        """
        result: dict[str, Any] = self.ask(
            "group_reconnect", {"group_key_id": group_key_id, "force": force}
        )
        return result

    def group_share(
        self, group_key_id: str, trusted_user_id: str, *, timeout: float = 30
    ) -> dict[str, Any]:
        """Invite a person to a group; any member may.

        Args:
            group_key_id: of the group.
            trusted_user_id: whom to invite.
            timeout: seconds to reach that person.
        """
        result: dict[str, Any] = self.ask(
            "group_share",
            {"group_key_id": group_key_id, "trusted_user_id": trusted_user_id, "timeout": timeout},
        )
        return result

    def group_remove(self, group_key_id: str, user_id: str) -> dict[str, Any]:
        """Remove a person from a group of yours; they read nothing of what is written afterwards.

        Args:
            group_key_id: of the group.
            user_id: whom to remove.
        """
        result: dict[str, Any] = self.ask(
            "group_remove", {"group_key_id": group_key_id, "user_id": user_id}
        )
        return result

    def message_send_group(self, group_key_id: str, data: Any) -> dict[str, Any]:
        """Write to a group.

        Args:
            group_key_id: of the group.
            data: a JSON object of at most 64 KiB, such as `{"message": "Hello"}`. A text stands
                for `{"message": text}`.

        Returns:
            `message_id`, `state` (`sent` when the brokers have it, else `waiting`),
            `sequence_id`: its place in the stream, None while it waits.
        """
        result: dict[str, Any] = self.ask(
            "message_send_group", {"group_key_id": group_key_id, "data": data}
        )
        return result

    def queue_keepers_list(self) -> list[dict[str, Any]]:
        """List the streams of other people's groups that this node keeps as a broker.

        Returns:
            A list of `stream`, `role` (`leader`, `follower` or `candidate`), `length`, `bytes`
            and `members`, the number that is attached here; empty when this node is no broker.
        """
        result: list[dict[str, Any]] = self.ask("queue_keepers_list", {})
        return result

    def queue_peddlers_list(self) -> list[dict[str, Any]]:
        """List the streams that this node orders now, as the leading broker.

        Returns:
            Those of `queue_keepers_list` whose `role` is `leader`.
        """
        result: list[dict[str, Any]] = self.ask("queue_peddlers_list", {})
        return result

    def files_sync(self) -> dict[str, Any]:
        """Exchange the catalog with the suppliers now.

        Returns:
            What was sent and received.
        """
        result: dict[str, Any] = self.ask("files_sync", {})
        return result

    def files_list(
        self,
        *,
        remote_path: str | None = None,
        key_id: str | None = None,
        recursive: bool = True,
        all_customers: bool = False,
        include_uploads: bool = False,
        include_downloads: bool = False,
    ) -> list[dict[str, Any]]:
        """List files and folders of the catalog.

        Args:
            remote_path: only what is in this folder.
            key_id: only what belongs to this key.
            recursive: with everything in sub-folders.
            all_customers: with the catalogs of others that are shared with you.
            include_uploads: with the running and waiting uploads of each item.
            include_downloads: with the running downloads of each item.

        Returns:
            A list of items: `remote_path`, `path_id`, `name`, `path`, `type` (`file` or `dir`),
            `size`, `latest`, `versions` and more. Beside it stands `revision`, the state of the
            catalog.
        """
        result: list[dict[str, Any]] = self.ask(
            "files_list",
            {
                "remote_path": remote_path,
                "key_id": key_id,
                "recursive": recursive,
                "all_customers": all_customers,
                "include_uploads": include_uploads,
                "include_downloads": include_downloads,
            },
        )
        return result

    def file_exists(self, remote_path: str) -> dict[str, Any]:
        """Say whether a file or folder is in the catalog.

        Args:
            remote_path: `key$user@host:path`, or an item id such as `0/0/1`; a path without a key
                is meant under your master key.

        Returns:
            `exist` and `path_id`.
        """
        result: dict[str, Any] = self.ask("file_exists", {"remote_path": remote_path})
        return result

    def file_info(
        self, remote_path: str, *, include_uploads: bool = True, include_downloads: bool = True
    ) -> dict[str, Any]:
        """Describe one file or folder of the catalog.

        Args:
            remote_path: `key$user@host:path`, or an item id such as `0/0/1`.
            include_uploads: with its running and waiting uploads.
            include_downloads: with its running downloads.

        Returns:
            The item as `files_list` shows it, with its `versions`, `uploads` and `downloads`.
        """
        result: dict[str, Any] = self.ask(
            "file_info",
            {
                "remote_path": remote_path,
                "include_uploads": include_uploads,
                "include_downloads": include_downloads,
            },
        )
        return result

    def file_create(
        self,
        remote_path: str,
        *,
        as_folder: bool = False,
        exist_ok: bool = False,
        force_path_id: str | None = None,
    ) -> dict[str, Any]:
        """Create an item in the catalog, without any data yet.

        Args:
            remote_path: `key$user@host:path`; missing folders on the way are created.
            as_folder: a folder and not a file.
            exist_ok: no error when it is there already.
            force_path_id: the item id it must get, such as `0/0/1`.

        Returns:
            `path_id`, `key_id`, `path`, `remote_path`, `global_id`, `customer`, `created` and
            `type`.
        """
        result: dict[str, Any] = self.ask(
            "file_create",
            {
                "remote_path": remote_path,
                "as_folder": as_folder,
                "exist_ok": exist_ok,
                "force_path_id": force_path_id,
            },
        )
        return result

    def file_delete(self, remote_path: str) -> dict[str, Any]:
        """Remove a file, a folder with everything in it, or one version, from catalog and
        suppliers.

        Args:
            remote_path: `key$user@host:path`, an item id, or one version such as
                `master$alice@server-a.com:0/1/F20160424013912PM`.

        Returns:
            `path_id`, `path`, `remote_path`, `global_id` and `customer`.
        """
        result: dict[str, Any] = self.ask("file_delete", {"remote_path": remote_path})
        return result

    def files_uploads(
        self, *, include_running: bool = True, include_pending: bool = True
    ) -> dict[str, Any]:
        """List running and waiting uploads.

        Args:
            include_running: with those that run.
            include_pending: with those that wait for their turn.

        Returns:
            `running` and `pending`, each a list; a running one has `version`, `key_id`,
            `source_path`, `bytes_processed`, `total_size`, `progress`, `block_number`, `eccmap`
            and more.
        """
        result: dict[str, Any] = self.ask(
            "files_uploads",
            {"include_running": include_running, "include_pending": include_pending},
        )
        return result

    def file_upload_start(
        self,
        local_path: str,
        remote_path: str,
        *,
        wait_result: bool = False,
        open_share: bool = False,
    ) -> dict[str, Any]:
        """Upload a file or a folder as a new version.

        Args:
            local_path: the file or folder on this machine.
            remote_path: where it goes in the catalog.
            wait_result: answer only when it is stored at the suppliers, or failed.
            open_share: open the share the path belongs to first.

        Returns:
            `remote_path`, `key_id`, `source_path`, `path_id` and `version`.
        """
        result: dict[str, Any] = self.ask(
            "file_upload_start",
            {
                "local_path": local_path,
                "remote_path": remote_path,
                "wait_result": wait_result,
                "open_share": open_share,
            },
        )
        return result

    def file_upload_stop(self, remote_path: str) -> list[str]:
        """Stop an upload that runs or waits.

        Args:
            remote_path: what is being uploaded.

        Returns:
            The ids of the versions that were stopped.
        """
        result: list[str] = self.ask("file_upload_stop", {"remote_path": remote_path})
        return result

    def file_read(self, remote_path: str, *, offset: int = 0, size: int = 65536) -> dict[str, Any]:
        """Read a range of a stored file; only the pieces that hold it are fetched from the
        suppliers.

        Args:
            remote_path: `key$user@host:path`, an item id, or one version such as
                `master$alice@server-a.com:0/1/F20160424013912PM`; the newest version if none is
                named.
            offset: where the range begins, in bytes.
            size: bytes wanted, 4194304 at the most.

        Returns:
            `remote_path`, `path_id`, `version`, `offset`, `size` (what is there of the range),
            `total` (of the whole file), `data` in base64, and `completed`: whether the file ends
            there. On the command line, `bitdust file read` writes the bytes themselves, of the
            whole file if no size is given.
        """
        result: dict[str, Any] = self.ask(
            "file_read", {"remote_path": remote_path, "offset": offset, "size": size}
        )
        return result

    def files_downloads(self) -> list[dict[str, Any]]:
        """List running downloads.

        Returns:
            A list with `backup_id`, `key_id`, `bytes_processed`, `total_size`, `progress`,
            `block_number`, `eccmap` and more.
        """
        result: list[dict[str, Any]] = self.ask("files_downloads", {})
        return result

    def file_download_start(
        self,
        remote_path: str,
        *,
        destination_path: str | None = None,
        wait_result: bool = False,
        open_share: bool = True,
    ) -> dict[str, Any]:
        """Download a file or folder from the suppliers; what is at the destination is overwritten.

        Args:
            remote_path: `key$user@host:path`, an item id, or one version such as
                `master$alice@server-a.com:0/1/F20160424013912PM`; the newest version if none is
                named.
            destination_path: folder to put it into; the setting `paths/restore`, else your home
                folder, if not given.
            wait_result: answer only when it is complete and checked, or failed.
            open_share: open the share the path belongs to first.

        Returns:
            `downloaded`, `key_id`, `backup_id`, `local_path`, `path_id` and `remote_path`.
        """
        result: dict[str, Any] = self.ask(
            "file_download_start",
            {
                "remote_path": remote_path,
                "destination_path": destination_path,
                "wait_result": wait_result,
                "open_share": open_share,
            },
        )
        return result

    def file_download_stop(self, remote_path: str) -> list[dict[str, Any]]:
        """Stop a running download.

        Args:
            remote_path: what is being downloaded.

        Returns:
            A list of `backup_id` and `aborted`.
        """
        result: list[dict[str, Any]] = self.ask("file_download_stop", {"remote_path": remote_path})
        return result

    def file_explore(self, local_path: str) -> dict[str, Any]:
        """Show a local file in the file manager of the desktop the node runs on.

        Args:
            local_path: the file or folder on this machine.
        """
        result: dict[str, Any] = self.ask("file_explore", {"local_path": local_path})
        return result

    def shares_list(
        self, *, only_active: bool = False, include_mine: bool = True, include_granted: bool = True
    ) -> list[dict[str, Any]]:
        """List your shares and those that others let you into.

        Args:
            only_active: only those that are connected.
            include_mine: those that belong to you.
            include_granted: those of other people.

        Returns:
            A list of shares as `share_info` shows them.
        """
        result: list[dict[str, Any]] = self.ask(
            "shares_list",
            {
                "only_active": only_active,
                "include_mine": include_mine,
                "include_granted": include_granted,
            },
        )
        return result

    def share_info(self, key_id: str) -> dict[str, Any]:
        """Show one share.

        Args:
            key_id: of the share.

        Returns:
            `key_id`, `label`, `creator`, `state` (`CONNECTED` or `DISCONNECTED`), `active`,
            `suppliers`, `ecc_map`, `revision`, `members`, `problems` and more.
        """
        result: dict[str, Any] = self.ask("share_info", {"key_id": key_id})
        return result

    def share_create(
        self, *, owner_id: str | None = None, key_size: int | None = None, label: str = ""
    ) -> dict[str, Any]:
        """Make a share: a place in which you and others whom you let in read and write files.

        Args:
            owner_id: whose suppliers shall keep it, when they allow it; yours if not given.
            key_size: bits of its key; the setting `personal/private-key-size` if not given.
            label: what it is for, in your words.

        Returns:
            The key of the share as `key_get` shows it.
        """
        result: dict[str, Any] = self.ask(
            "share_create", {"owner_id": owner_id, "key_size": key_size, "label": label}
        )
        return result

    def share_delete(self, key_id: str) -> dict[str, Any]:
        """Leave a share for good and erase its key here.

        Args:
            key_id: of the share.

        Returns:
            The share as it was, now disconnected.
        """
        result: dict[str, Any] = self.ask("share_delete", {"key_id": key_id})
        return result

    def share_grant(
        self, key_id: str, trusted_user_id: str, *, timeout: float = 30.0
    ) -> dict[str, Any]:
        """Let somebody into a share: they read and write its files from then on.

        Args:
            key_id: of the share.
            trusted_user_id: whom.
            timeout: seconds for handing over the key.

        Returns:
            The share as `share_info` shows it.
        """
        result: dict[str, Any] = self.ask(
            "share_grant",
            {"key_id": key_id, "trusted_user_id": trusted_user_id, "timeout": timeout},
        )
        return result

    def share_revoke(self, key_id: str, user_id: str) -> dict[str, Any]:
        """Put somebody out of a share.

        Args:
            key_id: of the share.
            user_id: whom.

        Returns:
            The share as `share_info` shows it.
        """
        result: dict[str, Any] = self.ask("share_revoke", {"key_id": key_id, "user_id": user_id})
        return result

    def share_open(self, key_id: str) -> dict[str, Any]:
        """Open a share, and wait until it is connected or cannot be for now.

        Args:
            key_id: of the share.

        Returns:
            The share as `share_info` shows it.
        """
        result: dict[str, Any] = self.ask("share_open", {"key_id": key_id})
        return result

    def share_close(self, key_id: str) -> dict[str, Any]:
        """Close a share; it stays closed until it is opened.

        Args:
            key_id: of the share.

        Returns:
            The share as `share_info` shows it.
        """
        result: dict[str, Any] = self.ask("share_close", {"key_id": key_id})
        return result

    def share_history(
        self, *, key_id: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[dict[str, Any]]:
        """List what happened in your shares, the latest first.

        Args:
            key_id: only in this share.
            limit: rows of the page.
            offset: rows to pass over.

        Returns:
            A list of `time`, `date`, `key_id`, `who`, `what` (`created`, `granted`, `revoked`,
            `opened`, `closed`, `uploaded`, `deleted` or `refused`), `path`, `remote_path` and
            `detail`.
        """
        result: list[dict[str, Any]] = self.ask(
            "share_history", {"key_id": key_id, "limit": limit, "offset": offset}
        )
        return result

    def suppliers_list(
        self, *, customer_id: str | None = None, verbose: bool = False
    ) -> list[dict[str, Any]]:
        """List your suppliers, the nodes that store your data.

        Args:
            customer_id: list the suppliers of that person instead, as far as this node knows
                them.
            verbose: accepted for older clients; everything is always shown.

        Returns:
            A list of `position`, `idurl`, `global_id`, `supplier_state`, `connected`,
            `contact_state` and `contract`.
        """
        result: list[dict[str, Any]] = self.ask(
            "suppliers_list", {"customer_id": customer_id, "verbose": verbose}
        )
        return result

    def supplier_change(
        self,
        *,
        position: int | None = None,
        supplier_id: str | None = None,
        new_supplier_id: str | None = None,
    ) -> dict[str, Any]:
        """Replace one supplier by another; its fragments are rebuilt and given to the new one.

        Args:
            position: which one, as `suppliers_list` numbers them.
            supplier_id: which one, by name.
            new_supplier_id: who takes its place; somebody found through the DHT if not given.

        Returns:
            The new supplier as `suppliers_list` shows it.
        """
        result: dict[str, Any] = self.ask(
            "supplier_change",
            {"position": position, "supplier_id": supplier_id, "new_supplier_id": new_supplier_id},
        )
        return result

    def suppliers_ping(self) -> list[dict[str, Any]]:
        """Ask all suppliers for a sign of life and wait for their answers.

        Returns:
            The list of `suppliers_list` with `answered`.
        """
        result: list[dict[str, Any]] = self.ask("suppliers_ping", {})
        return result

    def suppliers_dht_lookup(self, *, customer_id: str | None = None) -> dict[str, Any]:
        """Look up in the DHT who the suppliers of a person are.

        Args:
            customer_id: the person; yourself if not given.

        Returns:
            `customer_idurl`, `publisher_idurl`, `ecc_map`, `suppliers` (IDURLs), `revision` and
            `timestamp`.
        """
        result: dict[str, Any] = self.ask("suppliers_dht_lookup", {"customer_id": customer_id})
        return result

    def customers_list(self, *, verbose: bool = False) -> list[dict[str, Any]]:
        """List your customers, the people whose data this node stores.

        Args:
            verbose: accepted for older clients; everything is always shown.

        Returns:
            A list of `position`, `idurl`, `global_id`, `contact_state`, `used` and `contract`.
        """
        result: list[dict[str, Any]] = self.ask("customers_list", {"verbose": verbose})
        return result

    def customer_reject(self, customer_id: str) -> dict[str, Any]:
        """Stop supporting a customer and remove their data from this machine.

        Args:
            customer_id: the customer.

        Returns:
            `idurl`, and `freed`, the number of bytes.
        """
        result: dict[str, Any] = self.ask("customer_reject", {"customer_id": customer_id})
        return result

    def customers_ping(self) -> list[dict[str, Any]]:
        """Ask all customers for a sign of life and wait for their answers.

        Returns:
            The list of `customers_list` with `answered`.
        """
        result: list[dict[str, Any]] = self.ask("customers_ping", {})
        return result

    def space_donated(self) -> dict[str, Any]:
        """Show how the space donated to others is used.

        Returns:
            `donated`, `consumed` (promised), `free`, `used`, `real`, each in bytes and as text,
            and the `customers`.
        """
        result: dict[str, Any] = self.ask("space_donated", {})
        return result

    def space_consumed(self) -> dict[str, Any]:
        """Show how the space at your suppliers is used.

        Returns:
            `needed`, `used`, `available`, each in bytes, as text and per supplier, `used_percent`
            and `suppliers_num`.
        """
        result: dict[str, Any] = self.ask("space_consumed", {})
        return result

    def space_local(self) -> dict[str, Any]:
        """Show how much of the local disk the node uses.

        Returns:
            `total`, `customers`, `temp`, `backups`, `disktotal` and `diskfree`, each in bytes and
            as text; `total_percent` and `diskfree_percent` of the disk.
        """
        result: dict[str, Any] = self.ask("space_local", {})
        return result

    def services_list(self, *, with_configs: bool = False) -> list[dict[str, Any]]:
        """List the services of the node.

        Args:
            with_configs: with the settings of each.

        Returns:
            A list of `index`, `id`, `name`, `state`, `enabled`, `installed`, `healthy`,
            `depends`, `config_path`, `since`, `reason` and `info`, each service after those that
            it needs; with `configs` where they were asked for. States are `ON`, `OFF`,
            `STARTING`, `STOPPING`, `DEPENDS_OFF`, `NOT_INSTALLED` and `CLOSED`.
        """
        result: list[dict[str, Any]] = self.ask("services_list", {"with_configs": with_configs})
        return result

    def service_info(self, service_name: str) -> dict[str, Any]:
        """Show one service.

        Args:
            service_name: such as `service_supplier`; `supplier` and `my-data` are understood as
                well.

        Returns:
            The service as `services_list` shows it, with `configs` and `dependents`.
        """
        result: dict[str, Any] = self.ask("service_info", {"service_name": service_name})
        return result

    def service_health(self, service_name: str) -> dict[str, Any]:
        """Tell whether a service is up and does its work.

        Args:
            service_name: such as `service_supplier`.

        Returns:
            True or false.
        """
        result: dict[str, Any] = self.ask("service_health", {"service_name": service_name})
        return result

    def service_start(self, service_name: str) -> dict[str, Any]:
        """Switch a service on, and start it at once.

        Args:
            service_name: such as `service_supplier`.

        Returns:
            The service as `services_list` shows it.
        """
        result: dict[str, Any] = self.ask("service_start", {"service_name": service_name})
        return result

    def service_stop(self, service_name: str) -> dict[str, Any]:
        """Switch a service off, and stop it at once.

        Args:
            service_name: such as `service_supplier`.

        Returns:
            The service as `services_list` shows it.
        """
        result: dict[str, Any] = self.ask("service_stop", {"service_name": service_name})
        return result

    def service_restart(self, service_name: str, *, wait_timeout: float = 10.0) -> dict[str, Any]:
        """Stop a service and start it again, with all that stand on it.

        Args:
            service_name: such as `service_supplier`.
            wait_timeout: seconds to wait; the restart goes on in the background after that.

        Returns:
            Two objects: `stopped` and `started`, each true or false.
        """
        result: dict[str, Any] = self.ask(
            "service_restart", {"service_name": service_name, "wait_timeout": wait_timeout}
        )
        return result

    def packets_list(self) -> list[dict[str, Any]]:
        """List requests that are under way between this node and others.

        Returns:
            A list of `direction`, `command`, `packet_id`, `transfer_id`, `label`, `target`,
            `proto`, `size` (-1 while it is unknown), `bytes_received`, `seconds` since it began,
            and for outgoing ones `description`, `response_timeout` and `items`.
        """
        result: list[dict[str, Any]] = self.ask("packets_list", {})
        return result

    def transfers_list(self) -> list[dict[str, Any]]:
        """List fragments that are on their way to and from suppliers.

        Returns:
            A list with one entry for each supplier: `idurl`, `global_id`, `position`, `outgoing`
            and `incoming`, each a list of `packet_id`, `owner_id`, `remote_id`, `customer`,
            `filename`, `size`, `created` and, for incoming ones, `requested` and
            `bytes_received`.
        """
        result: list[dict[str, Any]] = self.ask("transfers_list", {})
        return result

    def queues_list(self) -> list[dict[str, Any]]:
        """List queues: what waits for whom.

        Returns:
            A list of `queue_id` and `messages`, the number that wait.
        """
        result: list[dict[str, Any]] = self.ask("queues_list", {})
        return result

    def queue_consumers_list(self) -> list[dict[str, Any]]:
        """List those who take from queues.

        Returns:
            A list of `consumer_id`, `queues`, `commands`, `state` (`READ` while a call waits,
            else `READY`) and `consumed`.
        """
        result: list[dict[str, Any]] = self.ask("queue_consumers_list", {})
        return result

    def queue_producers_list(self) -> list[dict[str, Any]]:
        """List those who put into queues.

        Returns:
            A list of `producer_id`, `queues`, `state` and `produced`.
        """
        result: list[dict[str, Any]] = self.ask("queue_producers_list", {})
        return result

    def queue_streams_list(self) -> list[dict[str, Any]]:
        """List queues with those who take from them and put into them: events, and your groups.

        Returns:
            A list of `queue_id`, `active` (somebody waits), `consumers`, `producers` and
            `sequence_id`, the number of the last message that was taken, -1 before the first.
        """
        result: list[dict[str, Any]] = self.ask("queue_streams_list", {})
        return result

    def network_connected(self, *, wait_timeout: float = 5.0) -> dict[str, Any]:
        """Make sure that this node is connected to another one.

        Args:
            wait_timeout: seconds to wait.

        Returns:
            `connected`, the number of connections, and `service_network`, `service_gateway`,
            `service_p2p_hookups` and `service_proxy_transport`, each `started` or `disabled`.
        """
        result: dict[str, Any] = self.ask("network_connected", {"wait_timeout": wait_timeout})
        return result

    def network_info(
        self,
        *,
        suppliers: bool = True,
        customers: bool = True,
        cache: bool = True,
        tcp: bool = True,
        udp: bool = True,
        proxy: bool = True,
        dht: bool = True,
    ) -> dict[str, Any]:
        """Show the state of the network in detail.

        Args:
            suppliers: with your suppliers.
            customers: with your customers.
            cache: with the number of identities in the cache.
            tcp: with connections and streams over TCP.
            udp: accepted for older clients; there is no such transport in this version.
            proxy: accepted for older clients; there is no such transport in this version.
            dht: with the state of the DHT.

        Returns:
            `p2p_connector_state`, `network_connector_state`, `idurl`, `global_id`,
            `identity_sources`, `identity_contacts`, `identity_revision`, and the parts that were
            asked for.
        """
        result: dict[str, Any] = self.ask(
            "network_info",
            {
                "suppliers": suppliers,
                "customers": customers,
                "cache": cache,
                "tcp": tcp,
                "udp": udp,
                "proxy": proxy,
                "dht": dht,
            },
        )
        return result

    def network_status(
        self,
        *,
        suppliers: bool = False,
        customers: bool = False,
        cache: bool = False,
        tcp: bool = False,
        udp: bool = False,
        proxy: bool = False,
        dht: bool = False,
    ) -> dict[str, Any]:
        """Show the state of the network in short; the same as `network_info`, with less of it.

        Args:
            suppliers: with your suppliers.
            customers: with your customers.
            cache: with the number of identities in the cache.
            tcp: with connections and streams over TCP.
            udp: accepted for older clients; there is no such transport in this version.
            proxy: accepted for older clients; there is no such transport in this version.
            dht: with the state of the DHT.

        Returns:
            See `network_info`.
        """
        result: dict[str, Any] = self.ask(
            "network_status",
            {
                "suppliers": suppliers,
                "customers": customers,
                "cache": cache,
                "tcp": tcp,
                "udp": udp,
                "proxy": proxy,
                "dht": dht,
            },
        )
        return result

    def network_reconnect(self) -> dict[str, Any]:
        """Look for this machine's address anew, and make all connections again.

        Returns:
            `connections`, the number of nodes that are connected again.
        """
        result: dict[str, Any] = self.ask("network_reconnect", {})
        return result

    def network_disconnect(self) -> dict[str, Any]:
        """End all connections and stay away until `network_reconnect` is called."""
        result: dict[str, Any] = self.ask("network_disconnect", {})
        return result

    def network_stun(
        self, *, udp_port: int | None = None, dht_port: int | None = None
    ) -> dict[str, Any]:
        """Find out under which address other machines see this one.

        Args:
            udp_port: port to ask from; any free one if it is left out.
            dht_port: accepted for older clients; the DHT's own port is used.

        Returns:
            `result`, `ip`, `port`, `type` and `details`. The type is `open` (no address
            translation), `cone`, `symmetric`, or `unknown` after a single answer; `details` holds
            what each node said.
        """
        result: dict[str, Any] = self.ask(
            "network_stun", {"udp_port": udp_port, "dht_port": dht_port}
        )
        return result

    def network_configuration(self) -> dict[str, Any]:
        """Show which network this node belongs to, and how its services are set up.

        Returns:
            `name`, `label`, `maintainer`, `contact_email` and `current_network`, and one object
            of settings for each service that runs, such as `service_entangled_dht`. Addresses of
            known nodes and servers are objects of `host` and `udp_port` or `web_port`.
        """
        result: dict[str, Any] = self.ask("network_configuration", {})
        return result

    def connections_list(self, *, protocols: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """List open connections to other nodes.

        Args:
            protocols: only those of these transports, such as `tcp`.

        Returns:
            A list of `status`, `state`, `proto`, `host`, `global_id`, `idurl`, `bytes_sent` and
            `bytes_received`.
        """
        result: list[dict[str, Any]] = self.ask("connections_list", {"protocols": protocols})
        return result

    def streams_list(self, *, protocols: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """List data that is on its way to or from other nodes.

        Args:
            protocols: only those of these transports, such as `tcp`.

        Returns:
            A list of `proto`, `stream_id`, `type`, `bytes_current`, `bytes_total` and `progress`.
        """
        result: list[dict[str, Any]] = self.ask("streams_list", {"protocols": protocols})
        return result

    def packets_stats(self) -> dict[str, Any]:
        """Count what was sent and received since the node started.

        Returns:
            `in` and `out`, each with `total_packets`, `total_bytes`, `failed_packets` and
            `peers`; `misbehaviours` by kind of violation, `misbehaving_peers` by IDURL or remote
            address, and `refused_connections` by the bound that was reached.
        """
        result: dict[str, Any] = self.ask("packets_stats", {})
        return result

    def network_create(self, url: str) -> dict[str, Any]:
        """Learn the description of a network, so that it can be selected.

        Args:
            url: an `http` or `https` address, or the path of a file on this machine. The file
                holds a JSON object such as `network_configuration` shows.

        Returns:
            `name`, `label`, `maintainer`, and `ignored`, what the description says without
            effect.
        """
        result: dict[str, Any] = self.ask("network_create", {"url": url})
        return result

    def network_select(self, name: str) -> dict[str, Any]:
        """Move to another network.

        Args:
            name: of a network that `network_create` learned, or `mainline`.

        Returns:
            What `network_configuration` shows of the network.
        """
        result: dict[str, Any] = self.ask("network_select", {"name": name})
        return result

    def networks_list(self) -> list[dict[str, Any]]:
        """List the networks that can be selected.

        Returns:
            A list of `name`, `label`, `maintainer`, `contact_email` and `selected`.
        """
        result: list[dict[str, Any]] = self.ask("networks_list", {})
        return result

    def nickname_get(self) -> dict[str, Any]:
        """Show the nickname under which others find you.

        Returns:
            `nickname`; and `searches`, what your own searches met: nodes `asked`, endpoints
            `unreachable`, claims `refused`, `forged` and `unconfirmed`.
        """
        result: dict[str, Any] = self.ask("nickname_get", {})
        return result

    def nickname_set(self, nickname: str) -> dict[str, Any]:
        """Choose the nickname under which others find you.

        Args:
            nickname: up to 64 visible characters; case does not count.

        Returns:
            `result` (`registered`), `nickname`, `global_id` and `idurl`.
        """
        result: dict[str, Any] = self.ask("nickname_set", {"nickname": nickname})
        return result

    def user_search(self, nickname: str, *, attempts: int = 1) -> dict[str, Any]:
        """Find somebody by nickname.

        Args:
            nickname: case does not count.
            attempts: how often to look on the DHT before giving up.

        Returns:
            `result` (`exist` or `not exist`), `nickname`, `position`, `global_id` and `idurl`;
            the last two are empty and the position is -1 when nobody holds it.
        """
        result: dict[str, Any] = self.ask(
            "user_search", {"nickname": nickname, "attempts": attempts}
        )
        return result

    def user_observe(self, nickname: str, *, attempts: int = 3) -> list[Any]:
        """Find everybody who holds a nickname.

        Args:
            nickname: case does not count.
            attempts: how often to look on the DHT for more.

        Returns:
            A list of `result` (`exist`), `nickname`, `position`, `global_id` and `idurl`; at most
            32.
        """
        result: list[Any] = self.ask("user_observe", {"nickname": nickname, "attempts": attempts})
        return result

    def dht_node_find(self, *, node_id_64: str | None = None, layer_id: int = 0) -> dict[str, Any]:
        """Find the DHT nodes closest to an id, or to a random place.

        Args:
            node_id_64: 40 hexadecimal digits; a random place if not given.
            layer_id: 0 for all nodes, else the layer whose place is looked up when no id is
                given.

        Returns:
            `my_dht_id`, `lookup` and `closest_nodes`, a list of `dht_id` and `address`.
        """
        result: dict[str, Any] = self.ask(
            "dht_node_find", {"node_id_64": node_id_64, "layer_id": layer_id}
        )
        return result

    def dht_user_random(self, *, layer_id: int = 0, count: int = 1) -> list[str]:
        """Pick live nodes at random from those that serve a layer.

        Args:
            layer_id: such as 3 for suppliers.
            count: how many are wanted; fewer may be found.

        Returns:
            A list of IDURLs.
        """
        result: list[str] = self.ask("dht_user_random", {"layer_id": layer_id, "count": count})
        return result

    def dht_value_get(
        self,
        key: str,
        *,
        record_type: str = "skip_validation",
        layer_id: int = 0,
        use_cache_ttl: float | None = None,
        owner_id: str | None = None,
    ) -> dict[str, Any]:
        """Read a record of the DHT.

        Args:
            key: name of the record.
            record_type: what it must be, such as `nickname` or `suppliers`; anything if not
                given.
            layer_id: the layer it is in.
            use_cache_ttl: seconds for which an earlier read will do.
            owner_id: whose record it is, for types that belong to somebody; your own if not
                given.

        Returns:
            `read` (`success` or `failed`), `my_dht_id`, `key`, and `value` or `closest_nodes`.
        """
        result: dict[str, Any] = self.ask(
            "dht_value_get",
            {
                "key": key,
                "record_type": record_type,
                "layer_id": layer_id,
                "use_cache_ttl": use_cache_ttl,
                "owner_id": owner_id,
            },
        )
        return result

    def dht_value_set(
        self,
        key: str,
        value: Any,
        *,
        expire: float | None = None,
        record_type: str = "skip_validation",
        layer_id: int = 0,
    ) -> dict[str, Any]:
        """Write a record to the DHT, and keep it alive while this node runs.

        Args:
            key: name of the record.
            value: a JSON value.
            expire: seconds after which readers ignore it.
            record_type: what it is; types that belong to somebody are signed with your key.
            layer_id: the layer it goes to.

        Returns:
            `write` (`success` or `failed`), `my_dht_id`, `key`, `value` and `closest_nodes`.
        """
        result: dict[str, Any] = self.ask(
            "dht_value_set",
            {
                "key": key,
                "value": value,
                "expire": expire,
                "record_type": record_type,
                "layer_id": layer_id,
            },
        )
        return result

    def dht_local_db_dump(self) -> dict[str, Any]:
        """Show all records that this node keeps, announces or remembers.

        Returns:
            Lists of records by layer, each with `scope`, `key`, `type`, `revision`, `value` and
            more.
        """
        result: dict[str, Any] = self.ask("dht_local_db_dump", {})
        return result

    def automats_list(self) -> list[dict[str, Any]]:
        """List the state machines of the node.

        Returns:
            A list of `index`, `id`, `name`, `state`, `repr`, `timers` (what happens next by
            itself), `past` (the last ten states in which it was seen), `details` (whom it is
            about) and `events` (whether its changes are told).
        """
        result: list[dict[str, Any]] = self.ask("automats_list", {})
        return result

    def automat_info(
        self, *, index: int | None = None, automat_id: str | None = None
    ) -> dict[str, Any]:
        """Show one state machine.

        Args:
            index: its number.
            automat_id: or its id.

        Returns:
            The state machine as `automats_list` shows it.
        """
        result: dict[str, Any] = self.ask(
            "automat_info", {"index": index, "automat_id": automat_id}
        )
        return result

    def automat_events_start(
        self,
        *,
        index: int | None = None,
        automat_id: str | None = None,
        state_unchanged: bool = False,
    ) -> dict[str, Any]:
        """Tell by events how one state machine moves, until `automat_events_stop` is called.

        Args:
            index: its number.
            automat_id: or its id.
            state_unchanged: tell also of events after which it stands where it stood.

        Returns:
            The state machine as `automats_list` shows it.
        """
        result: dict[str, Any] = self.ask(
            "automat_events_start",
            {"index": index, "automat_id": automat_id, "state_unchanged": state_unchanged},
        )
        return result

    def automat_events_stop(
        self, *, index: int | None = None, automat_id: str | None = None
    ) -> dict[str, Any]:
        """Tell no longer how one state machine moves.

        Args:
            index: its number.
            automat_id: or its id.

        Returns:
            The state machine as `automats_list` shows it.
        """
        result: dict[str, Any] = self.ask(
            "automat_events_stop", {"index": index, "automat_id": automat_id}
        )
        return result

    def event_send(self, event_id: str, *, data: Any = None) -> dict[str, Any]:
        """Inject an event into the running node, as if it had happened there.

        Args:
            event_id: name of the event: lower-case letters, digits, `-`, `_` and `.`.
            data: a JSON object that goes with it.

        Returns:
            `event_id` and `created`, the moment in seconds since 1970.
        """
        result: dict[str, Any] = self.ask("event_send", {"event_id": event_id, "data": data})
        return result

    def event_listen(
        self, consumer_callback_id: str, *, polling_timeout: float = 60.0
    ) -> list[dict[str, Any]]:
        """Wait for events of the running node.

        Args:
            consumer_callback_id: name of the listener, the caller's choice.
            polling_timeout: seconds to wait; an empty list is the answer when nothing came.

        Returns:
            A list of `id`, `data` and `time`.
        """
        result: list[dict[str, Any]] = self.ask(
            "event_listen",
            {"consumer_callback_id": consumer_callback_id, "polling_timeout": polling_timeout},
        )
        return result

    def events_list(self) -> dict[str, int]:
        """Count the events since the node started.

        Returns:
            The number of times each event came, by its name.
        """
        result: dict[str, int] = self.ask("events_list", {})
        return result

    def enable_model_listener(self, model_name: str, *, request_all: bool = False) -> None:
        """Push every change of a model to all WebSocket clients from now on.

        Args:
            model_name: the model.
            request_all: push all its items now.
        """
        self.ask("enable_model_listener", {"model_name": model_name, "request_all": request_all})

    def disable_model_listener(self, model_name: str) -> None:
        """Push changes of a model no longer.

        Args:
            model_name: the model.
        """
        self.ask("disable_model_listener", {"model_name": model_name})

    def request_model_data(self, model_name: str) -> None:
        """Push all items of a model to all WebSocket clients once.

        Args:
            model_name: the model.
        """
        self.ask("request_model_data", {"model_name": model_name})

    def devices_list(self, *, sort: bool = False) -> list[dict[str, Any]]:
        """List the remote devices.

        Args:
            sort: by name; otherwise the oldest comes first.

        Returns:
            A list of `name`, `active` (it can come in now), `size` (bits of its key), `url` and
            `urls` where it comes in, `meta` (`routed`, `host` and `port_number` of a direct one,
            `full_access`, `client_public_key`, `label`, `created`, `paired`) and `instance`,
            which is null while it is not started: `id`, `index`, `name`, `state`,
            `client_connected`, `connections`, `pairing`, and `port_number`, or
            `connected_routers` and `active_routers`.
        """
        result: list[dict[str, Any]] = self.ask("devices_list", {"sort": sort})
        return result

    def device_info(self, name: str) -> dict[str, Any]:
        """Show one remote device.

        Args:
            name: of the device.

        Returns:
            The device as `devices_list` shows it. States of its instance are `WEB_SOCKET?` or
            `ROUTERS?` (it cannot come in yet), `CLIENT_PUB?` (it is not paired), `CLIENT_CODE?`
            (it is being paired) and `READY`.
        """
        result: dict[str, Any] = self.ask("device_info", {"name": name})
        return result

    def device_add(
        self,
        name: str,
        *,
        routed: bool = False,
        activate: bool = True,
        web_socket_host: str = "localhost",
        web_socket_port: int | None = None,
        full_access: bool = False,
    ) -> dict[str, Any]:
        """Prepare for a remote device; `device_authorization_generate` then pairs it.

        Args:
            name: 3 to 20 letters, digits, `_` and `-`, beginning with a letter.
            routed: it reaches this node through web socket routers, and not directly.
            activate: start it at once.
            web_socket_host: address of this machine where a direct device comes in; `0.0.0.0` for
                all.
            web_socket_port: its port; `interface/devices/web-socket-port` when not given, 0 for
                any.
            full_access: it may also copy private keys, back up or erase the identity, manage
                devices, and reach the node's own folder.

        Returns:
            The device as `device_info` shows it.
        """
        result: dict[str, Any] = self.ask(
            "device_add",
            {
                "name": name,
                "routed": routed,
                "activate": activate,
                "web_socket_host": web_socket_host,
                "web_socket_port": web_socket_port,
                "full_access": full_access,
            },
        )
        return result

    def device_start(self, name: str, *, wait_listening: bool = False) -> dict[str, Any]:
        """Let a remote device come in, now and whenever the node starts.

        Args:
            name: of the device.
            wait_listening: answer only when it can be reached.

        Returns:
            The device as `device_info` shows it.
        """
        result: dict[str, Any] = self.ask(
            "device_start", {"name": name, "wait_listening": wait_listening}
        )
        return result

    def device_stop(self, name: str) -> dict[str, Any]:
        """Let a remote device no longer come in; it stays paired, and its connections end.

        Args:
            name: of the device.

        Returns:
            The device as `device_info` shows it.
        """
        result: dict[str, Any] = self.ask("device_stop", {"name": name})
        return result

    def device_remove(self, name: str) -> None:
        """Forget a remote device; its connections end at once.

        Args:
            name: of the device.
        """
        self.ask("device_remove", {"name": name})

    def device_authorization_generate(
        self, name: str, *, start: bool = True, wait_listening: bool = False
    ) -> dict[str, Any]:
        """Begin to pair a remote device: make a code that is entered there.

        Args:
            name: of the device.
            start: start the device if it is not.
            wait_listening: answer only when it can be reached.

        Returns:
            The device as `device_info` shows it, and `authorization`: `client_code`, `expires`
            (seconds since 1970), `attempts`, `urls`, `link` (all of that as one text, for a QR
            picture) and `server_public_key`.
        """
        result: dict[str, Any] = self.ask(
            "device_authorization_generate",
            {"name": name, "start": start, "wait_listening": wait_listening},
        )
        return result

    def device_authorization_request(
        self, name: str, client_public_key: str, client_code: str
    ) -> dict[str, Any]:
        """Begin to pair a remote device whose key and code are known beforehand.

        Args:
            name: of the device, which is started.
            client_public_key: its X25519 key, 64 hexadecimal digits; no other can be paired.
            client_code: 6 to 32 letters and digits that the device shows or knows.

        Returns:
            As `device_authorization_generate`.
        """
        result: dict[str, Any] = self.ask(
            "device_authorization_request",
            {"name": name, "client_public_key": client_public_key, "client_code": client_code},
        )
        return result

    def device_authorization_client_code(self, name: str, client_code: str) -> None:
        """Begin to pair a remote device with a code that was chosen there.

        Args:
            name: of the device, which is started.
            client_code: 6 to 32 letters and digits.
        """
        self.ask("device_authorization_client_code", {"name": name, "client_code": client_code})

    def device_authorization_reset(
        self, name: str, *, start: bool = True, wait_listening: bool = False
    ) -> dict[str, Any]:
        """Forget the key of a remote device and end its connections at once.

        Args:
            name: of the device.
            start: start the device if it is not.
            wait_listening: answer only when it can be reached.

        Returns:
            The device as `device_info` shows it.
        """
        result: dict[str, Any] = self.ask(
            "device_authorization_reset",
            {"name": name, "start": start, "wait_listening": wait_listening},
        )
        return result

    def device_router_info(self) -> dict[str, Any]:
        """Show what this node passes on as a web socket router for other people's devices.

        Returns:
            `routes`: a list of `route_id`, `route_url`, `created`, `node_url`, `node_connected`,
            `node_bytes`, `node_updated`, `client_connected`, `client_bytes` and `client_updated`;
            and `nodes_bytes` and `clients_bytes` of all routes since the start.
        """
        result: dict[str, Any] = self.ask("device_router_info", {})
        return result
