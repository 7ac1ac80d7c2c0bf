"""A folder of files served on a port of 127.0.0.1, by a process of its own: nginx where it is installed, else aiohttp.

with photo_server(Path("photographs/files"), scratch) as (address, kind):
    ...          # "http://127.0.0.1:40123", "nginx"
"""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_NGINX = """
daemon off; worker_processes 1; pid {scratch}/nginx.pid; error_log {scratch}/error.log; {user}
events {{ worker_connections 2048; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
    types {{ image/jpeg jpg; }}
    client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy; fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
    server {{ listen 127.0.0.1:{port}; root "{folder}"; }}
}}
"""
_AIOHTTP = """
import sys
from aiohttp import web
app = web.Application()
app.router.add_static("/", sys.argv[1])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), print=None, access_log=None)
"""


@contextlib.contextmanager
def photo_server(folder: Path, scratch: Path) -> Iterator[tuple[str, str]]:
    """Its address, and which server it is. Ended on the way out."""
    port = _free_port()
    scratch.mkdir(parents=True, exist_ok=True)
    if nginx := shutil.which("nginx"):
        settings = scratch / "nginx.conf"
        user = "user root;" if _is_root() else ""  # its workers would else be nobody, who may not read the folder
        settings.write_text(_NGINX.format(scratch=scratch, port=port, folder=folder, user=user), encoding="utf-8")
        command, kind = [nginx, "-c", str(settings), "-e", str(scratch / "error.log")], "nginx"
    else:
        command, kind = [sys.executable, "-c", _AIOHTTP, str(folder), str(port)], "aiohttp"
    with subprocess.Popen(command) as process:
        try:
            _wait(port)
            yield f"http://127.0.0.1:{port}", kind
        finally:
            process.terminate()


def _is_root() -> bool:
    return Path("/proc/self").stat().st_uid == 0


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _wait(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit("the server of photographs did not start")
