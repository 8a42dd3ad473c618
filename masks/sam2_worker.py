"""SAM 2 in a process of its own, run by an interpreter that has torch and sam2.

    <python> sam2_worker.py

It imports nothing of ours but its own ``sam2_tracker.py``. It reads commands on standard input and answers on
standard output; both ways a message is one line of JSON, followed by as many raw bytes as its "bytes" says.

    {"do": "load", "checkpoint": path, "config": name, "image_size": n, "device": "auto"|"cpu"|"cuda"}
        -> {"loaded": true, "device": "cpu"|"cuda"}
    {"do": "frame", "width": w, "height": h, "bytes": n}   then RGB, uint8 [h, w, 3]; no answer
    {"do": "track", "tracks": [...], "bytes": n}           through the frames that came since the last "track"
        a track is {"object": number, "start": place, "anchors": [prompt], "corrections": [prompt],
                    "mask": whether a mask for its start is in the bytes, one after another, packed}
        a prompt is {"place": place, "points": [[x, y]], "labels": [1|0], "box": [x0, y0, x1, y1] or null}
        -> {"place": place, "objects": [number], "bytes": n}  for each frame, then packed masks in that order
        -> {"tracked": true}                               the frames are forgotten
    anything that fails
        -> {"failed": text, "kind": "memory"|"old"|"checkpoint"|"other"}  and the process ends

A place counts the frames of a "track" from 0; each object is tracked from its start to the last one. A
packed mask is numpy.packbits of [h, w], flattened. Pixels are those of the frames as they came. The process
ends when its standard input is closed, at once and in the middle of anything, so that it never outlives who
started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent))
from masks.sam2_tracker import Old, Tracker  # noqa: E402

# Nothing of ours stays on the import path: some names there are others' too.
sys.path = [entry for entry in sys.path if entry and Path(entry).resolve() not in (_HERE, _HERE.parent)]

Message = tuple[dict[str, Any], bytes]


def answer(messages: Iterator[Message], output: BinaryIO) -> None:
    """Do what is asked until there is no more."""
    tracker: Tracker | None = None
    for message, content in messages:
        if message["do"] == "load":
            tracker = Tracker(*(message[key] for key in ("checkpoint", "config", "image_size", "device")))
            send(output, {"loaded": True, "device": tracker.device})
        assert tracker is not None  # noqa: S101  "load" comes first
        if message["do"] == "frame":
            tracker.frames.append(content, message["width"], message["height"])
        elif message["do"] == "track":
            for place, numbers, masks in tracker.track(message["tracks"], content):
                send(output, {"place": place, "objects": numbers}, masks.tobytes())
            send(output, {"tracked": True})


def send(output: BinaryIO, message: dict[str, Any], content: bytes = b"") -> None:
    """Write one message."""
    output.write(json.dumps({**message, "bytes": len(content)}).encode() + b"\n" + content)
    output.flush()


def received(source: BinaryIO) -> Iterator[Message]:
    """The messages on standard input, read by a thread that ends the process when there is no more."""
    arrived: queue.Queue[Message] = queue.Queue(maxsize=4)

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := source.readline():
                message = json.loads(line)
                arrived.put((message, source.read(message.get("bytes", 0))))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield arrived.get()


def kind_of(error: BaseException) -> str:
    """What the error means for whoever reads it."""
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "out of memory" in str(error)
    ):
        return "memory"
    if isinstance(error, Old):
        return "old"
    return "checkpoint" if isinstance(error, ValueError) and "do not fit" in str(error) else "other"


def main() -> None:
    """Serve until standard input is closed."""
    # What libraries print must not get between the answers: it goes to standard error.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        answer(received(sys.stdin.buffer), output)
    except BaseException as error:
        traceback.print_exc()
        said = " ".join(str(error).split()) or type(error).__name__
        send(output, {"failed": said[:2000], "kind": kind_of(error)})
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
