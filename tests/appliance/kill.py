"""No acknowledged read is ever lost, none appears twice: gantryd is killed under load, at random moments and at every
named kill point; after each death the files are held against the fleet's ledger, before any port opens and again after.
"""

import os
import re
import signal
import subprocess
import sys
import time
from random import Random

from compare import Comparison
from rig import SECOND_UID, Appliance, another_account, check, day_number, fleet, fleet_result, main, side_by_side, \
    under_load, until

RANDOM_KILLS = int(os.environ.get("GANTRY_KILLS", "34"))
ROUNDS_A_STORE = 9
LOSSY = ["--drop", "5", "--duplicate", "5", "--reorder", "5"]
HERE = os.path.dirname(os.path.abspath(__file__))


def kill_points():
    """The names that the code declares, so that a new one cannot be forgotten here."""
    with open(os.path.join(HERE, "../../appliance/base/killpoint.c")) as file:
        text = file.read()
    table = text[text.index("killpoint_names[] = {"):]
    return re.findall(r'^\s*"([a-z.-]+)"', table[:table.index("NULL")], re.M)


def end_fleet(process, how=signal.SIGTERM):
    """The fleet dies too, half of the times as hard: its spool and ledger have to bear it."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def dies(appliance, process, seconds):
    """Waits for a gantryd that is to die at its kill point. False: it was not reached in time."""
    deadline = time.monotonic() + seconds
    while appliance.process.poll() is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    check(appliance.process.returncode == -signal.SIGKILL,
          f"gantryd ended with {appliance.process.returncode} instead of being killed: {appliance.tail()}")
    return True


def settle(appliance, comparison, purged=()):
    """After a death: the files as they are, then as a start leaves them before its port opens."""
    comparison.compare(purged)
    appliance.recover()
    return comparison.compare(purged)


def drain(appliance, comparison, purged=()):
    """The next life takes what the fleet still has, and the books are balanced."""
    appliance.start()
    process = fleet(appliance, rate="5000", more=["--duration", "1", "--drain", "30"])
    process.wait(90)
    result = fleet_result(appliance)
    check(result["violations"] == 0, f"an ACK broke the rules: {result['violations_by']}")
    check(process.returncode == 0, f"not everything was acknowledged in the end: {result}")
    appliance.stop()
    return comparison.compare(purged)


def killed_in_one_store(place, rounds, lossy, random):
    os.mkdir(place)
    appliance = Appliance(place)
    comparison = Comparison(appliance)
    for round_number in range(rounds):
        appliance.start()
        if round_number == 0:
            appliance.register()
        process = fleet(appliance, rate="40000", more=["--drain", "0", "--duration", "30", "--dual", "3", *lossy])
        under_load(appliance, process)
        time.sleep(random.random() * 0.7)
        appliance.kill()
        end_fleet(process, random.choice([signal.SIGTERM, signal.SIGKILL]))
        if round_number % 3 == 2:
            settle(appliance, comparison)
    acknowledged, held = drain(appliance, comparison)
    check(acknowledged > 1000, f"only {acknowledged} reads were acknowledged: nothing was tested")
    return f" [{rounds} kills, {acknowledged} acknowledged, {held} held]"


def killed_at_random(directory, random):
    jobs = [(os.path.join(directory, f"store{first}"), min(ROUNDS_A_STORE, RANDOM_KILLS - first),
             LOSSY if first % 2 else [], Random(random.random())) for first in range(0, RANDOM_KILLS, ROUNDS_A_STORE)]
    print(*side_by_side(killed_in_one_store, *zip(*jobs)), end="", flush=True)


def killed_at_points(place, points, rate, settings, random):
    os.mkdir(place)
    appliance = Appliance(place, **settings)
    comparison = Comparison(appliance)
    appliance.start()
    appliance.register()
    appliance.stop()
    missed = []
    for point in points:
        nth = random.randint(1, 40) if point.startswith("commit.") else random.randint(1, 2)
        appliance.start(kill=f"{point}:{nth}", wait=False)
        until(lambda: appliance.ready() or appliance.process.poll() is not None, "gantryd does not answer", 60, 0.02)
        process = fleet(appliance, rate=rate, more=["--drain", "0", "--duration", "30", *LOSSY])
        if not dies(appliance, process, 20):
            missed.append(point)
            appliance.kill()
        end_fleet(process)
        settle(appliance, comparison)
    check(not missed, f"kill points never reached: {missed}")
    acknowledged, _ = drain(appliance, comparison)
    check(acknowledged > 1000, f"only {acknowledged} reads were acknowledged: nothing was tested")


def killed_at_all_points(directory, random, points, rate, **settings):
    """In two stores, every other point in each."""
    jobs = [(os.path.join(directory, f"store{first}"), points[first::2], rate, settings, Random(random.random()))
            for first in range(2)]
    side_by_side(killed_at_points, *zip(*jobs))


def killed_at_every_point(directory, random):
    own_tests = ("purge.", "merge.", "case.", "mark.", "late.", "register.", "rotate.")
    points = [point for point in kill_points() if not point.startswith(own_tests)]
    killed_at_all_points(directory, random, points, "20000")


def merge_killed_at_every_step(directory, random):
    points = [point for point in kill_points() if point.startswith("merge.")]
    killed_at_all_points(directory, random, points, "15000", **{"storage.merge_quiet": "0"})


def day_to_purge(appliance):
    """Yesterday, which late and backlog reads have filled."""
    days = appliance.ctl("purge", "plan")[-1]["days"]
    check(days, "no past day holds reads")
    return days[-1]["day"]


def purge_killed_at(point, template, place):
    """Kills a purge in a copy of the store that the template's gantryd left when it was killed."""
    appliance = template.copy(place)
    comparison = Comparison(appliance)
    appliance.start(kill=point)
    day = day_to_purge(appliance)
    # Under load, so that journals hold reads of the day while it goes.
    stored = appliance.ctl("status")[-1]["totals"]["stored"]
    process = fleet(appliance, name="during", rate="5000", ledger=False,
                    more=["--drain", "0", "--duration", "30", "--late", "5", "--backlog", "5"])
    until(lambda: appliance.ctl("status")[-1]["totals"]["stored"] > stored + 500, f"{point}: nothing was stored")
    try:
        appliance.purge(day)
    except AssertionError:
        pass  # it died on the way, as it was told to
    check(dies(appliance, process, 20), f"{point} was never reached")
    end_fleet(process)
    # The next start goes on with the purge before it serves: then the day is gone, for good.
    appliance.recover()
    comparison.compare(purged={day_number(day)})
    appliance.start()
    late = fleet(appliance, name="after", rate="5000",
                 more=["--duration", "1", "--drain", "20", "--late", "20", "--backlog", "10"])
    late.wait(60)
    result = fleet_result(appliance, "after")
    check(late.returncode == 0, f"the fleet was not drained: {result}")
    check(result["refused_by"]["too_old"] > 0, "reads of the purged day were not refused")
    plan = [entry["day"] for entry in appliance.ctl("purge", "plan")[-1]["days"]]
    check(day not in plan, f"{day} holds reads again")
    appliance.stop()
    comparison.compare(purged={day_number(day)})


def purge_killed_at_every_step(directory, random):
    another_account(SECOND_UID)
    place = os.path.join(directory, "template")
    os.mkdir(place)
    template = Appliance(place)
    template.start()
    template.register()
    process = fleet(template, rate="20000", more=["--duration", "2", "--drain", "20", "--late", "5", "--backlog", "5"])
    process.wait(60)
    template.kill()
    points = [name for name in kill_points() if name.startswith("purge.")]
    check(points, "no steps of a purge")
    side_by_side(lambda point: purge_killed_at(point, template, os.path.join(directory, point)), points)


def rotation_killed_at_every_step(directory, random):
    """Under load: the next start opens with one master key file, and every read is there."""
    appliance = Appliance(directory)
    comparison = Comparison(appliance)
    appliance.start()
    appliance.register()
    appliance.stop()
    for point in [name for name in kill_points() if name.startswith("rotate.")]:
        appliance.start(kill=point)
        process = fleet(appliance, rate="20000", more=["--drain", "0", "--duration", "30"])
        under_load(appliance, process)
        try:
            appliance.ctl("keys", "rotate-master", "--reason", "a test of rotation")
        except AssertionError:
            pass  # it died on the way, as it was told to
        check(dies(appliance, process, 20), f"{point} was never reached")
        end_fleet(process)
        settle(appliance, comparison)
        left = os.listdir(os.path.dirname(appliance.master))
        check(left == ["master.key"], f"{point}: beside the master key lies {left}")
    acknowledged, _ = drain(appliance, comparison)
    check(acknowledged > 1000, f"only {acknowledged} reads were acknowledged: nothing was tested")


def register_killed_between_log_and_index(directory, random):
    appliance = Appliance(directory)
    appliance.start(kill="register.logged:3")
    try:
        appliance.register(feeds=8)
    except AssertionError:
        pass
    check(dies(appliance, None, 20), "register.logged was never reached")
    appliance.start()
    # The change that was durable when it died is there; what came after was never made.
    cameras = appliance.ctl("cameras", "show", "--limit", "1000")[-1]["cameras"]
    feeds = appliance.ctl("feeds", "show")[-1]["feeds"]
    check(len(cameras) == 200 and [feed["feed"] for feed in feeds] == [1],
          f"{len(cameras)} cameras, feeds {[feed['feed'] for feed in feeds]}")
    check(feeds[0]["all_cameras"], "the third change, a binding, was lost")
    appliance.stop()


if __name__ == "__main__":
    sys.exit(main("killed", [
        ("at random moments, under load", killed_at_random),
        ("at every point of roll, commit and seal", killed_at_every_point),
        ("at every step of a merge", merge_killed_at_every_step),
        ("at every step of a purge", purge_killed_at_every_step),
        ("at every step of a rotation of the master key", rotation_killed_at_every_step),
        ("between the register's log and its index", register_killed_between_log_and_index),
    ]))
