"""A graph on any number of workers, simulated: dask's own scheduler decides, and workers are numbers that say when they are done.

The scheduler is `distributed.Scheduler` as it is, without a network: it gets the graph, and the messages that workers would
send, and what it sends is caught. Time is simulated: a task takes what tasks of its name took, a transfer takes what its bytes
take, and the scheduler, which does one thing at a time, takes as long for each task as it was measured to.

What is not simulated: stealing of tasks, spilling, disks, workers that fail, and what a running task takes besides its input.
"""

import asyncio
import collections
import heapq
import itertools
import logging
import time
from dataclasses import dataclass, field

from dask._task_spec import Alias
from dask.order import order
from dask.utils import key_split
from distributed import Scheduler
from distributed.core import Status

BARRIER = "shuffle-barrier"  # between the tasks that send pieces from worker to worker, and those that take what came


@dataclass
class Costs:
    """What things take: seconds and bytes of a result by the name of a task, and rates."""

    seconds: dict
    nbytes: dict
    scheduling: float  # seconds of the scheduler for each message of a worker
    bandwidth: float  # bytes a second into a worker, and out of it
    latency: float  # seconds until a message arrives
    sent: int  # bytes that a task sends from worker to worker, of which it has no result before


@dataclass
class Worker:
    """What a worker of one thread holds, and until when it and its line are busy."""

    address: str
    held: dict = field(default_factory=dict)
    ready: list = field(default_factory=list)
    line: float = 0.0
    running: bool = False
    memory: int = 0
    peak: int = 0

    def hold(self, key, nbytes):
        """Keep a result, or a copy of one."""
        if key not in self.held:
            self.held[key] = nbytes
            self.take(nbytes)

    def free(self, key):
        """Give up a result, if it is there."""
        self.take(-self.held.pop(key, 0))

    def take(self, nbytes):
        """Take memory, or give it back."""
        self.memory += nbytes
        self.peak = max(self.peak, self.memory)


class Outbox:
    """In the place of a connection: messages that the scheduler sends to one worker are kept."""

    def __init__(self, worker, kept):
        self.worker, self.kept = worker, kept

    def send(self, *messages):
        """Keep messages."""
        self.kept.extend((self.worker, message) for message in messages)

    async def write(self, message):
        """Take the welcome, and do nothing."""


class Simulation:
    """One graph on a number of workers of one thread each."""

    def __init__(self, graph, keys, workers, costs):
        self.graph, self.keys, self.costs = graph, keys, costs
        self.workers = {
            worker.address: worker for worker in (Worker(f"tcp://10.0.{i // 250}.{i % 250}:1") for i in range(workers))
        }
        self.events, self.counter = [], itertools.count()
        self.sent, self.scheduler_free, self.scheduler_busy = [], 0.0, 0.0
        self.moved, self.runs, self.computing, self.real = 0, collections.Counter(), 0.0, 0.0
        users = collections.defaultdict(list)
        for key, task in graph.items():
            for each in task.dependencies:
                users[each].append(key)
        barriers = [key for key in graph if key_split(key) == BARRIER]
        sends = {barrier: [self.named(key) for key in graph[barrier].dependencies] for barrier in barriers}
        self.sends = {key for keys in sends.values() for key in keys}
        self.incoming = {}  # bytes that a task takes of an exchange
        for barrier in barriers:
            share = sum(map(self.bytes_sent, sends[barrier])) // len(users[barrier])
            self.incoming |= dict.fromkeys(users[barrier], share)
        addresses = list(self.workers)
        self.pinned = {  # dask's rule: what comes out of an exchange is spread evenly
            key: addresses[len(addresses) * i // len(users[barrier])]
            for barrier in barriers
            for i, key in enumerate(sorted(users[barrier], key=lambda key: key[1:]))
        }

    async def run(self):
        """Return what the graph takes, in simulated time, and what the real scheduler took for it."""
        self.scheduler = scheduler = Scheduler(dashboard=False, dashboard_address=":0", validate=False)
        scheduler.handle_worker = _nothing
        for name, address in enumerate(self.workers):
            await scheduler.add_worker(
                Outbox(None, []), address=address, status=Status.running.name, server_id=address, nthreads=1, name=str(name),
                resolve_address=False, now=time.time(), resources={}, memory_limit=2**36, services={}, local_directory="",
                metrics={
                    "bandwidth": {"total": self.costs.bandwidth, "workers": {}, "types": {}}, "digests_total_since_heartbeat": {},
                    "spilled_bytes": {"memory": 0, "disk": 0}, "memory": 0, "managed_bytes": 0, "transfer": {}, "cpu": 0,
                },
                versions={}, nanny="", extra={}, stimulus_id="start",
            )  # fmt: skip
            scheduler.stream_comms[address] = Outbox(address, self.sent)

        def take_graph():
            scheduler._create_taskstate_from_graph(
                start=time.time(), dsk=self.graph, keys=set(self.keys), ordered=order(self.graph), client="simulated",
                annotations_by_type={}, global_annotations=None, stimulus_id="graph", submitting_task=None,
                span_metadata={"collections": []},
            )  # fmt: skip

        self.scheduled(0.0, None, take_graph)
        graph_seconds, self.real = self.real, 0.0
        now = 0.0
        while self.events:
            now, _, act, args = heapq.heappop(self.events)
            act(now, *args)
        scheduler.http_server.stop()
        undone = [key for key in self.keys if scheduler.tasks[key].state != "memory"]
        if undone:
            raise RuntimeError(f"{len(undone)} of {len(self.keys)} results were not computed, {undone[0]} for one")
        tasks = sum(self.runs.values())
        return {
            "workers": len(self.workers),
            "tasks": tasks,
            "by_name": dict(self.runs),
            "seconds": now,
            "computing": self.computing,
            "efficiency": self.computing / now / len(self.workers),
            "bytes_moved": int(self.moved),
            "peak_held": max(worker.peak for worker in self.workers.values()),
            "scheduler_busy": self.scheduler_busy / now,
            "scheduler_microseconds_a_task": 1e6 * self.real / tasks,
            "graph_seconds": graph_seconds,
        }

    def at(self, when, act, *args):
        """Let something happen at a time."""
        heapq.heappush(self.events, (when, next(self.counter), act, args))

    def scheduled(self, now, takes, function, **kwargs):
        """Let the scheduler do something as soon as it is free, and send what it says.

        Without `takes` it is as long as it takes here.
        """
        begun = time.process_time()
        function(**kwargs)
        took = time.process_time() - begun
        self.real += took
        takes = took if takes is None else takes
        self.scheduler_free = max(now, self.scheduler_free) + takes
        self.scheduler_busy += takes
        for address, message in self.sent:
            self.at(self.scheduler_free + self.costs.latency, self.received, self.workers[address], message)
        self.sent.clear()

    def received(self, now, worker, message):
        """Let a worker do what the scheduler says: compute a task, once it has what the task needs, or forget a result."""
        if message["op"] == "compute-task":
            fetched = [key for key in message["who_has"] if key not in worker.held]
            if fetched:
                nbytes = sum(self.bytes_of(key) for key in fetched)
                self.moved += nbytes
                worker.line = max(now, worker.line) + self.costs.latency + nbytes / self.costs.bandwidth
                self.at(worker.line, self.arrived, worker, message, fetched)
            else:
                self.arrived(now, worker, message, [])
        elif message["op"] in ("free-keys", "remove-replicas"):
            for key in message["keys"]:
                worker.free(key)

    def arrived(self, now, worker, message, fetched):
        """Tell the scheduler of copies, and queue a task that has all it needs."""
        for key in fetched:
            worker.hold(key, self.bytes_of(key))
        if fetched:
            self.scheduler.add_keys(worker=worker.address, keys=fetched, stimulus_id="copied")
        heapq.heappush(worker.ready, (message["priority"], next(self.counter), message))
        self.next_task(now, worker)

    def next_task(self, now, worker):
        """Start the most urgent task that belongs here, if the worker has nothing to do."""
        while worker.ready and not worker.running:
            _, _, message = heapq.heappop(worker.ready)
            if self.pinned.get(message["key"], worker.address) == worker.address:
                self.start(now, worker, message)
            else:  # dask learns where a task belongs when it first runs
                self.at(now + self.costs.latency, self.belongs_elsewhere, worker, message["key"])

    def start(self, now, worker, message):
        """Run a task."""
        key, name = message["key"], key_split(message["key"])
        worker.running = True
        seconds, start = self.costs.seconds.get(name, 0.0), now
        if name == BARRIER:  # all that was sent has arrived
            start = max(now, *(each.line for each in self.workers.values()))
        if key in self.sends:
            nbytes = self.bytes_sent(key) * (1 - 1 / len(self.workers))
            self.moved += nbytes
            worker.line = max(now + seconds, worker.line) + nbytes / self.costs.bandwidth
        worker.take(self.incoming.get(key, 0))
        self.at(start + seconds, self.done, worker, message, seconds)

    def belongs_elsewhere(self, now, worker, key):
        """Let the scheduler send a task to where the exchange has put what it takes."""

        def again():
            self.scheduler.set_restrictions({key: {self.pinned[key]}})
            self.scheduler._reschedule(key, worker.address, stimulus_id="elsewhere")

        self.scheduled(now, self.costs.scheduling, again)

    def done(self, now, worker, message, seconds):
        """Keep a result, tell the scheduler, and go on."""
        key = message["key"]
        worker.running = False
        worker.take(-self.incoming.get(key, 0))
        worker.hold(key, self.bytes_of(key))
        self.runs[key_split(key)] += 1
        self.computing += seconds
        self.at(now + self.costs.latency, self.told, worker, message, now - seconds, now)
        self.next_task(now, worker)

    def told(self, now, worker, message, start, stop):
        """Let the scheduler know of a result, and say what is next."""
        self.scheduled(
            now, self.costs.scheduling, self.scheduler.handle_task_finished, key=message["key"], worker=worker.address,
            stimulus_id="done", run_id=message["run_id"], metadata={}, nbytes=self.bytes_of(message["key"]), type=b"",
            typename="array", startstops=[{"action": "compute", "start": start, "stop": stop}], thread=0,
        )  # fmt: skip

    def named(self, key):
        """Return the task that another key may stand for: dask calls one that it has fused by its old name too."""
        while isinstance(self.graph[key], Alias):
            key = self.graph[key].target
        return key

    def bytes_sent(self, key):
        """Return how many bytes a task sends from worker to worker: what it takes, or where that came so too, a block."""
        taken = [each for each in self.graph[key].dependencies if key_split(each) != BARRIER]
        return sum(map(self.bytes_of, taken)) or self.costs.sent

    def bytes_of(self, key):
        """Return how many bytes a result has."""
        return int(self.costs.nbytes.get(key_split(key), 8))


def simulated(graph, keys, workers, costs):
    """Return what a graph takes on a number of workers, as a dictionary."""
    logging.getLogger("distributed").setLevel(logging.ERROR)

    async def alone():
        return await Simulation(graph, keys, workers, costs).run()

    return asyncio.run(alone())


async def _nothing(*_):
    pass
