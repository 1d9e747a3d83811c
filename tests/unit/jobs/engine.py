"""An engine without a model, played for tests: `engine.py <run folder> <behaviour>`. It keeps the folder's protocol."""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

from loratory.runs import RunFolder


def main(folder: Path, behaviour: str) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a script's background
    if behaviour == "refuse":
        sys.stderr.write("12:00:00 looking\nError: model.path: there is nothing.\n")
        return 1
    if behaviour == "load":
        time.sleep(60)
    if behaviour == "deaf":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    run = RunFolder.open(folder)
    if behaviour == "linger":
        linger()
    with run.lock():
        run.write_status("starting", total_steps=100)
        run.write_status("training", step=7, total_steps=100)
        if behaviour == "die":
            os._exit(3)
        if behaviour == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if behaviour == "memory":
            error = {"kind": "OutOfMemoryError", "code": "out_of_memory", "message": "CUDA out of memory."}
            run.write_status("failed", message=error["message"], error=error)
            return 1
        if behaviour == "finish":
            run.write_status("finished", step=100)
            return 0
        try:
            return work(run, behaviour)
        except KeyboardInterrupt:
            run.write_status("stopped", message="left at once, without saving")
            return 130


def linger() -> None:
    """Dead to whoever looks, since its first thread has ended; how it ends, the other one tells a second later."""

    def crash() -> None:
        time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGSEGV)

    threading.Thread(target=crash).start()
    ctypes.CDLL(None).pthread_exit(None)


def work(run: RunFolder, behaviour: str) -> int:
    while True:
        for request in run.pending_requests():
            if request.kind == "stop" and behaviour != "obey":
                continue
            run.answer(request)
            if request.kind == "stop":
                run.write_status("stopped", step=7)
                return 0
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
