"""PgBouncer in transaction mode before a test's cluster; TEST_PGBOUNCER names a binary that is not on the path."""

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager

from delivery.ops.leash import leashed
from tests.servers.folders import short_folder
from tests.servers.postgres import answers, server_user
from tests.servers.waiting import wait_until

PORT = 6432  # of the socket's name


def binary():
    return os.environ.get("TEST_PGBOUNCER") or shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def pgbouncer(postgres, *, server_connections):
    """Start it with so few connections to the server; yields its folder."""
    with short_folder("bouncer-") as folder:
        user = server_user()
        folder.chmod(0o755)
        if user:
            shutil.chown(folder, user)
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host={postgres.folder}\n[pgbouncer]\nlisten_addr=\nlisten_port={PORT}\n"
            f"unix_socket_dir={folder}\nauth_type=any\npool_mode=transaction\nmax_client_conn=500\n"
            f"default_pool_size={server_connections}\nserver_reset_query=\n"
        )
        config.write_text(config.read_text().replace("* = ", "* = user=postgres "))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                leashed([binary(), str(config)], signal=signal.SIGKILL, user=user),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: answers(folder, process, what="PgBouncer", port=PORT), what=f"PgBouncer (see {folder}/log)"
            )
            yield folder
        finally:
            process.kill()
            process.wait(timeout=10)
