"""A store that speaks as S3 does, and waiting for what a process writes to one."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest

from rope.files import AnyPath


@contextmanager
def store_of_s3() -> Iterator[str]:
    """The address of a bucket in a store of this process; child processes find it by the environment."""
    s3fs = pytest.importorskip("s3fs")
    server_of = pytest.importorskip("moto.server")
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in keys.items():
            environment.setenv(name, value)
        server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        server.start()
        host, port = server.get_host_and_port()
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        s3fs.S3FileSystem.clear_instance_cache()  # of servers that have stopped
        system = fsspec.filesystem("s3", skip_instance_cache=True)
        if not system.exists("bucket"):  # servers of one process share their buckets
            system.mkdir("bucket")
        try:
            yield "s3://bucket"
        finally:
            server.stop()


def wait_for_files(place: AnyPath, n_files: int, process: subprocess.Popen[bytes], patience_s: float = 120.0) -> None:
    """Return once a process has written so many files to a place; fail if it ends before, or takes too long.

    What the process does next must be slow or held back: it may not end before the caller disturbs it.
    """
    deadline = time.monotonic() + patience_s
    while (found := len(place.fs.find(place.path))) < n_files:
        assert process.poll() is None, process.communicate()[0].decode()
        assert time.monotonic() < deadline, f"{found} of {n_files} files after {patience_s:.0f} s"
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()[0].decode()
