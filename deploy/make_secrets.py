"""Make the secrets of docker-compose.yml, once: `python3 deploy/make_secrets.py [FOLDER]`.

Passwords are drawn anew; Redis gets their hashes only. Needs nothing but Python.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

_FOLDER = Path(__file__).resolve().parent / "secrets"

# Nobody may flush, dump, configure or look into other people's connections; INFO is what `henji doctor` reads.
_USERS = """\
user default on nopass resetkeys resetchannels -@all +ping
user henji on #{henji} resetkeys ~risk:* ~henji:* ~replay:* resetchannels &risk:* &replay:* -@all +@read +@write \
+@transaction +@connection +@pubsub -@dangerous +info
user reader on #{reader} resetkeys ~risk:* resetchannels &risk:* -@all +@read +@transaction +@connection +@pubsub \
-@dangerous
"""


def main(arguments: Sequence[str]) -> int:
    """Write the files; those that exist stay as they are, and then nothing is written.

    Parameters
    ----------
    arguments
        The folder, or none for `deploy/secrets`.

    Returns
    -------
    int
        Exit code: 0, or 2 when there are secrets already.
    """
    folder = Path(arguments[0]) if arguments else _FOLDER
    henji, reader = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    gateway, console = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    files = {
        "redis_users": _USERS.format(henji=_hash(henji), reader=_hash(reader)),
        "redis_password": henji,
        "redis_reader_password": reader,
        "intake_tokens": f"gateway:{gateway}\nconsole:control:{console}\n",
        "intake_token": gateway,
        "console_token": console,
        "grafana_password": secrets.token_urlsafe(32),
    }
    there = [name for name in files if (folder / name).exists()]
    if there:
        print(f"{folder}: expected no secrets yet, got {', '.join(there)}; remove them all to make new ones")
        return 2
    # The containers' users, who are nobody here, must read the files; the folder keeps everybody else out.
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, text in files.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o444)
    print(f"{folder}: made {', '.join(files)}")
    return 0


def _hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
