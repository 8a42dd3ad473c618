"""A worker without our harness: it answers a job with exactly the bytes that the job holds, as hex digits."""

from __future__ import annotations

import json
import os
import sys

for line in sys.stdin:
    message = json.loads(line)
    for piece in message["job"]["pieces"]:
        data = bytes.fromhex(piece) * message["job"].get("times", 1)
        while data:
            data = data[os.write(1, data) :]
