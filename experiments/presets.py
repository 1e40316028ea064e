"""Say how long each task is trained, and from how many seeds."""

from __future__ import annotations

from typing import NamedTuple


class Preset(NamedTuple):
    """Epochs, and the number of seeds."""

    epochs: int
    seeds: int


PRESETS = {
    "quick": {
        "spheres": Preset(10, 3),
        "spirals": Preset(20, 3),
        "pendulum": Preset(10, 3),
        "copy_memory": Preset(5, 2),
        "silverbox": Preset(3, 2),
        "plane_vibration": Preset(5, 2),
        "walker2d": Preset(5, 1),
        "mnist14": Preset(2, 1),
        "mnist": Preset(1, 1),
        "cifar": Preset(1, 1),
    },
    "standard": {
        "spheres": Preset(30, 20),
        "spirals": Preset(60, 20),
        "pendulum": Preset(40, 20),
        "copy_memory": Preset(15, 5),
        "silverbox": Preset(12, 3),
        "plane_vibration": Preset(30, 3),
        "walker2d": Preset(20, 3),
        "mnist14": Preset(6, 3),
        "mnist": Preset(3, 2),
        "cifar": Preset(3, 2),
    },
}

PRESETS["paper"] = PRESETS["standard"] | {
    "mnist": Preset(40, 3),
    "cifar": Preset(40, 5),
    "walker2d": Preset(500, 3),
    "plane_vibration": Preset(200, 3),
}
"""As long as the papers train: days on two cores."""
