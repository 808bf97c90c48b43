"""The change from one way of storing secrets to another: the drop-in of the units, and the values, which are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monitor.errors import InstallationError
from monitor.installation import systemd
from monitor.installation.files import write_atomically
from monitor.installation.stores import Store, Way, create_group

DIRECTORY = Path("/etc/tigr-monitor")
DROP_INS = Path("/etc/systemd/system/tigr-.service.d")  # of all units whose names begin with tigr-
STORES = {
    Way.ROOT_ONLY: Store(Way.ROOT_ONLY, DIRECTORY / "credentials"),
    Way.ENCRYPTED: Store(Way.ENCRYPTED, DIRECTORY / "encrypted"),
    Way.GROUP_READABLE: Store(Way.GROUP_READABLE, DIRECTORY / "secrets"),
}


@dataclass(frozen=True, slots=True)
class DropIn:
    """A file that changes the units for one of the ways. The folder `systemd` of the source code has the same files."""

    name: str
    content: str


_ENCRYPTED = """\
# For secrets that are encrypted with systemd-creds, each under the name of its credential. `tigr-monitor setup`
# installs this file in /etc/systemd/system/tigr-.service.d/, so that it also applies to tigr-monitor-check.

[Service]
LoadCredential=
LoadCredentialEncrypted=tigr:/etc/tigr-monitor/encrypted
"""
_REREAD = """\
# For secrets that change often: the service reads the files itself, so that a reload applies new ones without a
# restart. `tigr-monitor setup` installs this file in /etc/systemd/system/tigr-.service.d/, so that it also applies to
# tigr-monitor-check. Disadvantage: the group tigr-secrets can read the files too.

[Service]
LoadCredential=
SupplementaryGroups=tigr-secrets
Environment=TIGR_SECRETS_DIR=/etc/tigr-monitor/secrets
"""
FILES = {
    Way.ENCRYPTED: DropIn("encrypted-secrets.conf", _ENCRYPTED),
    Way.GROUP_READABLE: DropIn("reread-secrets.conf", _REREAD),
}


def store_in_use() -> Store:
    """Return the store of the installed service. Raises `InstallationError`."""
    store = systemd.unit(systemd.SERVICE).store
    if store is None:
        raise InstallationError(
            "the unit gets its secrets in none of the known ways; `systemctl cat tigr-monitor` shows it; choose one: "
            f"tigr-monitor setup --store {'|'.join(Way)}"
        )
    return store


def switch(old: Store | None, way: Way) -> Store:
    """Copy all values into the standard store of another way, change the units for it, and return it.

    The old files are removed when systemd uses the new ones. A switch that was interrupted can be repeated: until the
    drop-in is written, the old store is complete and in use. Raises `InstallationError`.
    """
    new = STORES[way]
    if old is not None and old.way is not way and old.directory == new.directory:
        old = switch(old, old.way)  # into its standard directory: files of two ways in one directory would mix
    if way is Way.GROUP_READABLE:
        create_group(new.group)
    new.prepare()
    keys = set() if old is None else old.stored()
    if old is not None:
        for key in sorted(keys):
            new.write(key, old.read(key))
    _write_drop_in(way)
    systemd.reload_units()
    for unit in (systemd.SERVICE, systemd.CHECK):
        if systemd.unit(unit).store != new:
            raise InstallationError(
                f"another drop-in of {unit} overrides the new one, so nothing was removed; find it, remove it, and "
                f"repeat the command: systemctl cat {unit}"
            )
    if old is not None and old.directory != new.directory:
        old.remove(keys)
    return new


def remove_remains(store: Store) -> list[Path]:
    """Remove secrets that `store`, which is in use, has too from the other standard stores; return their directories.

    An interrupted switch leaves them. Raises `InstallationError`.
    """
    remains = {}
    for other in STORES.values():
        if other.directory != store.directory and (keys := other.stored() & store.stored()):
            remains[other] = keys
    for other, keys in remains.items():
        other.remove(keys)
    return [other.directory for other in remains]


def _write_drop_in(way: Way) -> None:
    """Install the drop-in of a way, and remove those of the others."""
    try:
        if way in FILES:
            DROP_INS.mkdir(mode=0o755, parents=True, exist_ok=True)
            DROP_INS.chmod(0o755)
            write_atomically(DROP_INS / FILES[way].name, FILES[way].content.encode(), 0o644)
        for other, drop_in in FILES.items():
            if other is not way:
                (DROP_INS / drop_in.name).unlink(missing_ok=True)
    except OSError as error:
        raise InstallationError(f"cannot change the drop-ins in {DROP_INS}: {error.strerror}") from None
