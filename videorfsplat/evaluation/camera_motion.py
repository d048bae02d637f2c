"""Which of the named motions cameras perform, told from their geometry."""

import math

from videorfsplat.geometry.cameras import Cameras

STILL = "still"
# Below both, cameras stand still: a fifth of the smallest motion of the procedural worlds.
_LEAST_MOVE = 0.02
_LEAST_TURN = math.radians(1.5)
# Way over turn, as an angle (way in scene units, turn in radians): 0 on the spot, 45° around
# something a unit away, 90° without a turn. True paths lie within 0, 35 to 60 and 90 degrees.
_ON_THE_SPOT = math.radians(22.5)
_WITHOUT_TURN = math.radians(67.5)


def camera_motion(cameras: Cameras) -> str:
    """The motion from the first camera to the last: one of `motions.MOTIONS`, or `STILL`.

    Directions are those of the first camera. The unit of length is the scene's, in which the first
    camera sees the scene at a depth of about 1.
    """
    last = cameras.relative_to_first().camtoworlds[-1].double()
    x, y, z = last[:3, 3].tolist()
    forward_x, forward_y, forward_z = last[:3, 2].tolist()
    move = math.hypot(x, y, z)
    turn = math.atan2(math.hypot(forward_x, forward_y), forward_z)
    if move < _LEAST_MOVE and turn < _LEAST_TURN:
        return STILL
    way = math.atan2(move, turn)
    if way < _ON_THE_SPOT:
        return "pan_right" if forward_x > 0 else "pan_left"
    if abs(y) > max(abs(x), abs(z)):
        return "crane_down" if y > 0 else "crane_up"
    if way < _WITHOUT_TURN:
        return "orbit_right" if x > 0 else "orbit_left"
    if abs(x) > abs(z):
        return "truck_right" if x > 0 else "truck_left"
    return "dolly_in" if z > 0 else "dolly_out"


def direction(motion: str) -> str:
    """The word for where a motion goes: left, right, up, down, in, out, or `STILL`."""
    return motion.rpartition("_")[2]
