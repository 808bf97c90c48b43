"""The private hooks of dependencies that the project uses exist, so that an upgrade fails with one clear message."""

from __future__ import annotations

import inspect
import logging
import os
import sys
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpcore
import pytest
import uvicorn
from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import BaseJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState


def parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters of a method, without `self`."""
    return list(inspect.signature(function).parameters)[1:]


# httpcore, in monitor/http.


def test_httpcore_limits_the_header_section_by_a_class_attribute() -> None:
    """HTTP11Connection passes MAX_INCOMPLETE_EVENT_SIZE of its class to h11 (monitor/http/http11.py)."""
    origin = httpcore.URL("http://host.test").origin

    class Limited(httpcore.HTTP11Connection):
        MAX_INCOMPLETE_EVENT_SIZE = 1234

    h11_connection: Any = vars(Limited(origin, httpcore.NetworkStream()))["_h11_state"]
    assert isinstance(httpcore.HTTP11Connection.MAX_INCOMPLETE_EVENT_SIZE, int)
    assert h11_connection._max_incomplete_event_size == 1234


@pytest.mark.parametrize(
    "method,expected", [("read", ["max_bytes", "timeout"]), ("write", ["buffer", "timeout"]), ("close", [])]
)
def test_httpcore_calls_a_network_stream_with_these_parameters(method: str, expected: list[str]) -> None:
    """The streams of monitor/http/stream.py override these methods of NetworkStream."""
    assert parameters(getattr(httpcore.NetworkStream, method)) == expected


def test_httpcore_logs_headers_under_this_name() -> None:
    """The logger that monitor/http/http11.py disables is the one of HTTP11Connection's module."""
    module_names = httpcore.HTTP11Connection.handle_request.__globals__
    assert module_names["logger"] is logging.getLogger("httpcore.http11")


# uvicorn, in monitor/web.


def test_uvicorn_has_the_protocol_class() -> None:
    """H11Protocol takes these arguments (monitor/web/connections.py)."""
    assert parameters(H11Protocol.__init__) == ["config", "server_state", "app_state", "_loop"]


@pytest.mark.parametrize(
    "method",
    ["connection_made", "data_received", "connection_lost", "on_response_complete", "_unset_keepalive_if_required"],
)
def test_uvicorn_has_the_methods_of_the_protocol_class(method: str) -> None:
    """H11Protocol defines each method that the web server overrides or calls."""
    assert method in vars(H11Protocol)


@pytest.mark.parametrize("attribute", ["cycle", "transport", "loop", "app_state"])
def test_uvicorn_has_the_attributes_of_the_protocol_class(attribute: str) -> None:
    """H11Protocol sets each attribute that the web server reads."""
    assert f"self.{attribute}" in inspect.getsource(H11Protocol.__init__)


def test_uvicorn_marks_a_complete_response() -> None:
    """RequestResponseCycle has the flag that distinguishes a pending response from a complete one."""
    assert "self.response_complete = True" in inspect.getsource(RequestResponseCycle)


def test_uvicorn_collects_the_tasks_of_pending_responses() -> None:
    """ServerState has the set of tasks for which the web server waits before it stops."""
    assert ServerState().tasks == set()


def test_uvicorn_accepts_the_settings_of_the_web_server() -> None:
    """Config has the limit of the header section and `load`, which the web server calls without uvicorn's server."""
    config = uvicorn.Config("none", http="h11", h11_max_incomplete_event_size=1234, log_config=None)
    assert config.h11_max_incomplete_event_size == 1234
    assert parameters(uvicorn.Config.load) == []


# APScheduler, in monitor/monitoring/scheduler.py.


@pytest.mark.parametrize(
    "owner,method,expected",
    [
        (BackgroundScheduler, "_process_jobs", []),
        (BackgroundScheduler, "wakeup", []),
        (BaseExecutor, "_do_submit_job", ["job", "run_times"]),
        (BaseExecutor, "_run_job_success", ["job_id", "events"]),
        (Job, "_modify", ["changes"]),
        (BaseJobStore, "get_all_jobs", []),
        (BaseJobStore, "update_job", ["job"]),
    ],
)
def test_apscheduler_has_these_methods(owner: type, method: str, expected: list[str]) -> None:
    """The scheduler overrides or calls each of these methods with these parameters."""
    assert parameters(getattr(owner, method)) == expected


class IdleExecutor(BaseExecutor):  # type: ignore[misc]  # APScheduler 3 is untyped
    """An executor that counts a submitted job and does not run it."""

    def _do_submit_job(self, job: Job, run_times: list[datetime]) -> None:
        pass


@pytest.fixture
def paused() -> BackgroundScheduler:
    """Provide a scheduler whose thread is not running."""
    return BackgroundScheduler(timezone=UTC)


def test_apscheduler_has_its_stores_and_their_lock(paused: BackgroundScheduler) -> None:
    """`_jobstores` is a dictionary by alias, and `_jobstores_lock` is reentrant, as `_process_jobs` takes it again."""
    assert paused._jobstores == {}
    with paused._jobstores_lock, paused._jobstores_lock:
        pass


def test_apscheduler_gives_an_executor_its_scheduler(paused: BackgroundScheduler) -> None:
    """`BaseExecutor.start` sets `_scheduler`, and the executor wakes it after each run."""
    executor = IdleExecutor()
    executor.start(paused, "default")
    assert executor._scheduler is paused


def test_apscheduler_frees_the_instance_of_a_run(paused: BackgroundScheduler) -> None:
    """`_run_job_success` ends the run that `submit_job` counted, so that the job may run again."""
    executor = IdleExecutor()
    executor.start(paused, "default")
    job = paused.add_job(lambda: None, max_instances=1, id="job")
    executor.submit_job(job, [])
    assert executor._instances["job"] == 1
    executor._run_job_success("job", [])
    assert "job" not in executor._instances


def test_apscheduler_replaces_a_run_time_without_a_wakeup(paused: BackgroundScheduler) -> None:
    """`Job._modify` sets the next run time of a job."""
    job = paused.add_job(lambda: None, next_run_time=datetime.now(UTC))
    later = datetime.now(UTC) + timedelta(days=1)
    job._modify(next_run_time=later)
    assert job.next_run_time == later


# asyncio, in monitor/web.


def test_asyncio_sizes_the_buffer_of_a_tls_connection_by_a_class_attribute() -> None:
    """monitor/web/connections.py makes it smaller."""
    assert isinstance(SSLProtocol.max_size, int)


# coverage and pytest-cov, in tests/conftest.py.


@pytest.mark.no_cover
def test_a_test_with_the_mark_no_cover_is_not_measured() -> None:
    """Neither this process nor one that it starts is measured, also in a worker of xdist."""
    assert sys.gettrace() is None
    assert not [name for name in os.environ if name.startswith("COVERAGE_PROCESS")]
