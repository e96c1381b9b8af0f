"""An app that does not answer the probe does not delay the probes of other apps."""

import threading

import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.api.conditions import true, unknown
from ftl_operator.cluster.cache import Cache
from ftl_operator.controller.observer import Observer
from ftl_operator.errors import Reason, WaitingError
from ftl_operator.settings import Settings
from tests.support.specs import ftlapp

SILENT = unknown("no answer", Reason.NOT_VERIFIED)
NEW = unknown("not yet")


class Probe:
    """Hangs in apps that are silent."""

    def __init__(self):
        self.hang, self.hangs = threading.Event(), threading.Semaphore(0)
        self.is_silent = True

    def ask(self, url, token, *, expected, is_public):
        if self.is_silent:
            self.hangs.release()
            self.hang.wait(30)
        return true("it answers", Reason.TOOLS_VERIFIED)


def app(namespace):
    document = ftlapp()
    return FtlApp.parse({**document, "metadata": {**document["metadata"], "namespace": namespace}})


@pytest.mark.parametrize(("before", "most"), [(SILENT, 1), (NEW, 2)])
def test_apps_that_do_not_answer_leave_room_for_others(before, most):
    probe = Probe()
    observer = Observer(Settings(workers=8), None, Cache(), probe)
    hostile, good = app("hostile"), app("good")
    asking = [threading.Thread(target=observer.verify, args=(hostile, before, [])) for _ in range(most)]
    try:
        for thread in asking:
            thread.start()
            assert probe.hangs.acquire(timeout=10)
        with pytest.raises(WaitingError):
            observer.verify(hostile, before, [])
        probe.is_silent = False
        assert observer.verify(good, NEW, []) == true("it answers", Reason.TOOLS_VERIFIED)
    finally:
        probe.hang.set()
        for thread in asking:
            thread.join(10)
    probe.is_silent = False
    assert observer.verify(hostile, before, []) == true("it answers", Reason.TOOLS_VERIFIED)
