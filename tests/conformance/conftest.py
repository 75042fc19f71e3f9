# SPDX-License-Identifier: Apache-2.0
"""The outside judges share the integration tests' harness and fixtures."""
import importlib.util
import pathlib
import sys

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"
sys.path.insert(0, str(INTEGRATION))
_spec = importlib.util.spec_from_file_location("integration_fixtures", INTEGRATION / "conftest.py")
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
pytest_collection_modifyitems = _fixtures.pytest_collection_modifyitems
start_proxy = _fixtures.start_proxy


@pytest.fixture
def running():
    """running(Process) -> the same; ended behind the test, newest first."""
    started = []

    def start(process):
        started.append(process)
        return process

    yield start
    failures = []
    for process in reversed(started):
        try:
            process.stop()
        except AssertionError as e:  # it was killed; the others have to end too
            failures.append(str(e))
    assert not failures, "\n".join(failures)
