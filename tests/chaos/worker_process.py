"""The part of a server that works the queue, as a process that can be killed."""

import signal

from loratory.jobs.database import database_path, open_database
from loratory.jobs.queue import Queue
from loratory.jobs.worker import Worker

if __name__ == "__main__":
    queue = Queue(open_database(database_path()))
    worker = Worker(queue)
    queue.changed = worker.wake
    worker.start()
    signal.sigwait({signal.SIGTERM})
    worker.stop()
