"""The operator starts as any uid, without a user name, on a read-only root."""

import sys

import pytest

from tests.support import confined
from tests.support.empty_cluster import EmptyCluster


@pytest.fixture
def cluster():
    cluster = EmptyCluster()
    yield cluster
    cluster.close()


@pytest.mark.parametrize("uid", [confined.IMAGES_UID, confined.OPENSHIFTS_UID])
def test_the_operator_gets_ready_as_a_uid_that_nobody_knows(uid, tmp_path_factory, tmp_path, cluster):
    confined.demand(tmp_path_factory.mktemp("confined"))
    command = [sys.executable, "-B", "-m", "ftl_operator"]
    confined.run_operator(command, {"PATH": "/usr/bin:/bin"}, tmp_path, uid, cluster)
