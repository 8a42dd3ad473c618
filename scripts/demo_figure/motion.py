"""What the two figures do."""

from __future__ import annotations

import numpy as np

from scripts.demo_figure.pose import Pose, Vector

REST_WRIST = np.array([0.85, -4.85, 0.6])
REST_ELBOW = np.array([0.55, 0.0, -1.0])


def track(time: float, *keys: tuple[float, object]) -> Vector:
    """Value at a time between keys (time, value), easing in and out of each."""
    times = [key[0] for key in keys]
    values = [np.asarray(key[1], np.float64) for key in keys]
    if time <= times[0]:
        return values[0]
    for start, end, first, last in zip(times, times[1:], values, values[1:], strict=False):
        if time <= end:
            share = (time - start) / (end - start)
            eased: Vector = first + (last - first) * share * share * (3 - 2 * share)
            return eased
    return values[-1]


def _bump(time: float, centre: float, width: float) -> float:
    return float(np.exp(-(((time - centre) / width) ** 2)))


def driver_pose(time: float) -> Pose:
    """Four seconds: a wave with the right hand and a word, a step aside with open arms, and back."""
    waving = float(track(time, (0.55, 0.0), (0.9, 1.0), (1.75, 1.0), (2.05, 0.0)))
    swing = waving * np.sin(2 * np.pi * 2.1 * (time - 0.55))
    up = np.array([1.9 + 0.6 * swing, 2.1 - 0.2 * abs(swing), 1.4])
    open_wrist, open_elbow = np.array([2.45, -2.2, 2.3]), np.array([0.5, -1.0, -0.5])
    right = track(
        time,
        (0.1, REST_WRIST),
        (0.45, [2.6, -1.6, 2.2]),
        (0.8, up),
        (1.8, up),
        (2.35, [2.0, -3.6, 1.6]),
        (2.75, open_wrist),
        (3.2, open_wrist),
        (3.8, REST_WRIST),
    )
    right_elbow = track(
        time,
        (0.1, REST_ELBOW),
        (0.8, [0.7, -1.0, -0.35]),
        (1.8, [0.7, -1.0, -0.35]),
        (2.4, open_elbow),
        (3.2, open_elbow),
        (3.8, REST_ELBOW),
    )
    left = track(
        time,
        (0.3, REST_WRIST),
        (1.0, [1.25, -4.6, 0.9]),
        (2.1, REST_WRIST),
        (2.75, open_wrist),
        (3.2, open_wrist),
        (3.85, REST_WRIST),
    )
    left_elbow = track(time, (2.1, REST_ELBOW), (2.75, open_elbow), (3.2, open_elbow), (3.85, REST_ELBOW))
    step = float(track(time, (2.05, 0), (2.55, 1), (3.25, 1), (3.75, 0)))
    lift = 0.9 * (_bump(time, 2.3, 0.14) + _bump(time, 3.5, 0.14))
    dip = float(track(time, (2.1, 0), (2.7, 1), (3.1, 1), (3.5, 0.1), (3.85, 0)))
    sway = float(
        track(time, (0, 0), (0.7, -0.30), (1.7, -0.25), (2.15, -0.45), (2.7, 0.40), (3.2, 0.36), (3.85, 0))
    )
    breath = 0.04 * np.sin(2 * np.pi * time / 2)
    palm = float(track(time, (0.1, 0), (0.8, 1), (1.8, 1), (2.4, 0)))
    offer = float(track(time, (2.2, 0), (2.75, 1), (3.2, 1), (3.8, 0)))
    blink = max(_bump(time, 0.35, 0.06), _bump(time, 1.95, 0.06), _bump(time, 3.45, 0.06))
    talk = max(
        0.40 * _bump(time, 1.0, 0.14),
        0.35 * _bump(time, 1.32, 0.10),
        0.45 * _bump(time, 2.75, 0.16),
        0.3 * _bump(time, 3.05, 0.10),
    )
    smile = float(track(time, (0.2, 0.35), (0.8, 0.7), (3.3, 0.7), (3.95, 0.35)))
    return Pose(
        shift=(sway, -0.12 - 0.85 * dip + breath, 0.0),
        hips=(
            0,
            float(track(time, (0.3, 0), (0.9, 5), (1.8, 4), (2.6, -4), (3.2, -4), (3.85, 0))),
            -2.0 * sway,
        ),
        spine=(
            3 * dip,
            float(track(time, (0.2, 0), (0.8, -5), (1.8, -5), (2.7, 6), (3.2, 6), (3.9, 0))),
            float(track(time, (0.2, 0), (0.85, 4), (1.8, 4), (2.6, -3), (3.2, -3), (3.85, 0))),
        ),
        head=(
            float(track(time, (0, 0), (0.7, -3), (1.6, 4), (2.1, 0), (2.8, -5), (3.2, -3), (3.9, 0))),
            float(track(time, (0, 0), (0.4, 0), (0.9, -14), (1.8, -6), (2.4, 20), (3.1, 14), (3.8, 0))),
            float(track(time, (0.3, 0), (0.9, 9), (1.5, 5), (2.2, 0), (2.8, -8), (3.2, -7), (3.9, 0))),
        ),
        wrist=(left, right),
        elbow=(left_elbow, right_elbow),
        twist=(-28 - 80 * offer, -28 + 18 * palm - 80 * offer),
        hand=(0, 14 * swing),
        curl=(16 - 8 * offer, 16 - 12 * max(palm, offer)),
        foot=((0.95 + 0.7 * step, lift, 0.1 + 0.2 * step), (-0.95, 0, 0)),
        face={
            "eye-left-closure": blink,
            "eye-right-closure": blink,
            "mouth-open": talk,
            "mouth-corner-puller": smile,
            "eyebrows-left-up": 0.4 * smile,
            "eyebrows-right-up": 0.4 * smile,
        },
    )


def reference_pose() -> Pose:
    """Standing at ease, facing the camera, arms slightly away from the body."""
    wrist = np.array([1.75, -4.3, 0.7])
    return Pose(
        wrist=(wrist, wrist),
        elbow=(REST_ELBOW, REST_ELBOW),
        shift=(0, -0.05, 0),
        curl=(10, 10),
        foot=((0.85, 0, 0), (-0.85, 0, 0)),
    )
