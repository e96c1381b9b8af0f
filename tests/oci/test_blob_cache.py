"""The cache of blobs: its files are whole, and it stays within its size."""

import os
import threading
import time
from pathlib import Path

import pytest

from ftl_operator import disk_cache
from ftl_operator.errors import Reason, RegistryError
from ftl_operator.keyed_lock import KeyedLock
from ftl_operator.oci import blob_cache
from ftl_operator.oci.blob_cache import BlobCache
from ftl_operator.oci.descriptor import Descriptor
from ftl_operator.oci.reference import Digest, Repository
from tests.support.registries import digest_of

HERE = Repository("r.dev", "acme/weather")


def described(raw: bytes) -> Descriptor:
    return Descriptor("application/wasm", Digest(digest_of(raw)), len(raw))


def age(path: Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def test_the_least_recently_used_blobs_go_first(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, max_bytes=250)
    raws = [bytes([n]) * 100 for n in range(3)]
    first, second = (cache.store(HERE, described(raw), [raw], "x") for raw in raws[:2])
    age(first, blob_cache.IN_USE_SECONDS + 20)
    age(second, blob_cache.IN_USE_SECONDS + 10)
    third = cache.store(HERE, described(raws[2]), [raws[2]], "x")
    assert not first.exists()
    assert second.exists()
    assert third.read_bytes() == raws[2]


def test_a_blob_in_use_stays_even_if_the_cache_is_too_large(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, max_bytes=50)
    raws = [bytes([n]) * 100 for n in range(2)]
    first = cache.store(HERE, described(raws[0]), [raws[0]], "x")
    age(first, blob_cache.IN_USE_SECONDS + 10)
    assert cache.find(HERE, described(raws[0])) == first
    cache.store(HERE, described(raws[1]), [raws[1]], "x")
    assert first.exists()


def test_temporary_files_of_the_dead_are_removed(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, max_bytes=1000)
    cache.store(HERE, described(b"a"), [b"a"], "x")
    dead, alive = (tmp_path / "sha256" / f".incoming-{name}" for name in ("dead", "alive"))
    for path in (dead, alive):
        path.write_bytes(b"half")
    age(dead, disk_cache.STALE_SECONDS + 10)
    cache.store(HERE, described(b"b"), [b"b"], "x")
    assert not dead.exists()
    assert alive.exists()


def test_what_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    def breaking():
        yield b"half"
        raise RegistryError("gone")

    cache = BlobCache(tmp_path, max_bytes=1000)
    with pytest.raises(RegistryError, match="gone"):
        cache.store(HERE, described(b"half and half"), breaking(), "x")
    assert list((tmp_path / "sha256").iterdir()) == []
    assert cache.find(HERE, described(b"half and half")) is None


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "sha256").write_text("a file where the folder should be")
    with pytest.raises(RegistryError, match="the blob cache cannot be written") as caught:
        BlobCache(tmp_path, max_bytes=1000).store(HERE, described(b"a"), [b"a"], "x")
    assert caught.value.reason is Reason.REGISTRY_UNAVAILABLE


def test_reading_checks_the_digest_and_the_limit(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, max_bytes=1000)
    path = cache.store(HERE, described(b"manifest"), [b"mani", b"fest"], "x")
    assert cache.read(HERE, Digest(digest_of(b"manifest")), 8) == b"manifest"
    assert cache.read(HERE, Digest(digest_of(b"manifest")), 7) is None
    assert cache.read(HERE, Digest(digest_of(b"other")), 8) is None
    path.chmod(0o600)
    path.write_bytes(b"manifesT")
    assert cache.read(HERE, Digest(digest_of(b"manifest")), 8) is None


def test_many_writers_of_one_blob_do_not_disturb_each_other(tmp_path: Path) -> None:
    cache, raw = BlobCache(tmp_path, max_bytes=1 << 20), os.urandom(200_000)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            path = cache.store(
                HERE, described(raw), (raw[i : i + 1000] for i in range(0, len(raw), 1000)), "x"
            )
            assert path.read_bytes() == raw
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list((tmp_path / "sha256").iterdir())) == 1


def test_turns_are_per_key_and_leave_no_locks_behind() -> None:
    turns, order = KeyedLock(), []
    entered, release = threading.Event(), threading.Event()

    def hold() -> None:
        with turns.hold("a"):
            entered.set()
            release.wait(10)
            order.append("first")

    def follow() -> None:
        with turns.hold("a"):
            order.append("second")

    first, second = threading.Thread(target=hold), threading.Thread(target=follow)
    first.start()
    assert entered.wait(10)
    second.start()
    with turns.hold("b"):
        order.append("other")
    release.set()
    first.join(10)
    second.join(10)
    assert order == ["other", "first", "second"]
    assert turns._held == {}


def test_what_one_repository_gave_is_not_found_for_another(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, max_bytes=1000)
    cache.store(HERE, described(b"private"), [b"private"], "x")
    other = Repository("evil.dev", "acme/weather")
    assert cache.find(other, described(b"private")) is None
    assert cache.read(other, described(b"private").digest, 100) is None
    assert cache.find(HERE, described(b"private")) is not None
