"""Engine servers beyond one box: Ray Serve places and scales them, one deployment a pool.

A replica runs an engine server as a child process and tells the board where it listens and what it
has to do. Audio never passes through Serve, which adds 2-40 ms to every frame of 50 streams: workers
find the servers by the roster and speak to them directly. Needs the extra ``cluster``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.capacity import policy, share
from appliance.capacity.roster import Board
from appliance.capacity.servepolicy import ServePolicy
from appliance.errors import UserError
from appliance.settings import Cluster

NAMESPACE = "ivr"
BOARD = "roster"
APP_PREFIX = "ivr-"
LOOK_BACK_S = 5.0
"""Over which a replica's load is taken: its greatest."""
TELL_EVERY_S = 1.0
HEALTH_EVERY_S = 5.0
HEALTH_TIMEOUT_S = 10.0
DRAIN_S = 50.0
"""The longest that a replica takes to end: 2 s until the workers know, then 10 s of an engine server,
35 s of a language model's that finishes its answers; and its keeper insists."""
OBJECT_STORE_BYTES = 80 << 20
"""Of a Ray of our own: nothing big passes through it (75 MiB is the least that Ray takes)."""
LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Set to 0, a Ray is of one machine: all its processes listen on 127.0.0.1. Else they listen on every
address, and who reaches them may run code here (CVE-2023-48022). Read when ``ray`` is imported, and
by the processes that it starts."""
TOKEN = "RAY_AUTH_MODE"
"""``token``: nobody is answered without the one in ``~/.ray/auth_token``, which Ray makes. A replica of
Serve listens on every address all the same, and unpickles what it is sent."""


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """One pool of engine servers, as Serve is to run it."""

    name: str
    """``stt.0``: stage and place among its ``run`` entries."""
    stage: str
    least: int
    most: int
    cpus: float
    gpus: float
    policy: dict[str, Any]
    """Of :class:`ServePolicy`."""
    arguments: tuple[Any, ...]
    """Of the replica's constructor, after the pool's name."""

    @property
    def app(self) -> str:
        """Name of its application in Serve."""
        return APP_PREFIX + self.name.replace(".", "-")


def connect(cluster: Cluster, *, log_to_driver: bool = True) -> None:
    """Join the Ray cluster of the settings, or start one on this machine. Raises UserError."""
    if not cluster.address:
        os.environ |= {LOOPBACK_ONLY: "0", TOKEN: "token"}
    ray = _ray()
    options: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": log_to_driver}
    if cluster.address:
        options["address"] = cluster.address
    else:
        options |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as e:
        raise UserError(
            f"Ray at {cluster.address or 'this machine'} cannot be joined: {e}. Is it running"
            " (`ray status`), with the same versions of Ray and Python? Setting: cluster.address."
        ) from e


def disconnect() -> None:
    """Leave the cluster; one that :func:`connect` started ends."""
    _ray().shutdown()


def open_board() -> Any:
    """The actor that replicas tell and the driver asks; it outlives the driver."""
    ray = _ray()
    actor = ray.remote(Board)
    return actor.options(
        name=BOARD,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
    ).remote()


def find_board() -> Any:
    """The board, for a replica. Raises ValueError when there is none."""
    return _ray().get_actor(BOARD, namespace=NAMESPACE)


def deploy(specs: Sequence[PoolSpec], replica: type, environment: dict[str, str]) -> None:
    """Have Serve run ``specs``, and no pool of ours besides. Blocks until it has taken them up.

    ``replica`` is the class of the deployments; ``environment`` of its processes.
    """
    from ray import serve

    # No proxy: nobody asks these deployments anything by HTTP.
    serve.start(proxy_location="Disabled")
    wanted = {spec.app for spec in specs}
    for name in _apps():
        if name not in wanted:
            serve.delete(name)
    for spec in specs:
        application = _deployment(spec, replica, environment).bind(spec.name, *spec.arguments)
        serve.run(application, name=spec.app, route_prefix=None)


def remove() -> None:
    """End all pools of ours, each server drained, and the board."""
    from ray import serve

    for name in _apps():
        serve.delete(name)
    if not serve.status().applications:
        serve.shutdown()
    ray = _ray()
    try:
        ray.kill(find_board())
    except ValueError:
        return


def facts() -> dict[str, Any]:
    """What Serve says of our pools: status, message, replicas by state."""
    from ray import serve

    found: dict[str, Any] = {}
    for name, app in serve.status().applications.items():
        if name.startswith(APP_PREFIX):
            for deployment in app.deployments.values():
                found[name] = {
                    "status": str(deployment.status.value),
                    "message": deployment.message,
                    "replicas": {str(k): v for k, v in deployment.replica_states.items()},
                }
    return found


def _apps() -> list[str]:
    from ray import serve

    return [name for name in serve.status().applications if name.startswith(APP_PREFIX)]


def _deployment(spec: PoolSpec, replica: type, environment: dict[str, str]) -> Any:
    from ray import serve
    from ray.serve.config import AutoscalingConfig

    variables = {
        **environment,
        "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": str(TELL_EVERY_S),
    }
    scaling = AutoscalingConfig(
        min_replicas=spec.least,
        max_replicas=spec.most,
        initial_replicas=spec.least,
        # The policy decides when, and remembers: Serve's own delays would only come on top.
        upscale_delay_s=0,
        downscale_delay_s=0,
        look_back_period_s=LOOK_BACK_S,
        metrics_interval_s=TELL_EVERY_S,
        aggregation_function="max",
        policy=_policy(spec),
    )
    deployment = serve.deployment(
        name="servers",
        autoscaling_config=scaling,
        ray_actor_options={
            "num_cpus": spec.cpus,
            "num_gpus": spec.gpus,
            "runtime_env": {"env_vars": variables},
        },
        health_check_period_s=HEALTH_EVERY_S,
        health_check_timeout_s=HEALTH_TIMEOUT_S,
        graceful_shutdown_timeout_s=DRAIN_S,
        graceful_shutdown_wait_loop_s=0.1,
    )
    return deployment(replica)


def _policy(spec: PoolSpec) -> Any:
    """Pickled with the modules that it uses: Serve's controller need not have them."""
    from ray import cloudpickle
    from ray.serve.config import AutoscalingPolicy

    modules = (policy, share)  # and the policy's own, which Ray adds
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return AutoscalingPolicy(policy_function=ServePolicy, policy_kwargs=spec.policy)
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _ray() -> Any:
    """Raises UserError where Ray is not installed."""
    try:
        import ray
    except ImportError as e:
        raise UserError(
            f"Ray is not installed in {sys.executable} ({e}). In an environment of its own:"
            ' pip install "ivr-appliance[cluster]", and run `ivr cluster` there.'
        ) from e
    return ray
