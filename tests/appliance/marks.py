"""Single reads erased, restricted and amended through gantryctl: answers, alarms, resent originals, restarts and deaths
on the way, and what is left in the files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

from compare import dump_rows
from rig import GANTRYCTL, GROUNDS, LOAD, Appliance, check, main, micros, run, side_by_side, until

SUBJECT = ["--purpose", "subject-access", "--case", "SAR-7", "--reason", "asked for by the person concerned"]
DAY = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 2 * 86400))


def send(appliance, name, more=()):
    """The same reads each time, of a day that is over, from a spool of its own: what a feed sends again."""
    command = [LOAD, "run", "--feeds", appliance.feeds, "--transport", "virtio:" + appliance.port, "--reads", "3000",
               "--day", DAY, "--seed", "5", "--cameras", "200", "--vehicles", "5000", "--json", "--memory", "160",
               "--drain", "30", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    check(done.returncode == 0, f"gantry-load {name}: {done.stdout} {done.stderr[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def rows(appliance, *arguments, grounds=GROUNDS):
    answer = appliance.ctl("search", *arguments, *grounds)
    check(answer[-1]["complete"], f"incomplete: {answer[-1]}")
    return answer[:-1]


def count(appliance, *arguments, grounds=GROUNDS):
    return appliance.ctl("search", *arguments, "--count", *grounds)[-1]["count"]


def name_of(row):
    return ["--id", row["id"], "--camera", str(row["camera"]), "--captured", row["capture"]]


def mark(appliance, verb, row, *more):
    return appliance.ctl("reads", verb, *name_of(row), *more, *SUBJECT)[-1]


def marks_of(appliance):
    return appliance.ctl("status")[-1]["marks"]


def sums_hold(appliance):
    of = appliance.ctl("status")[-1]["totals"]
    check(of["acknowledged"] == of["stored"] + of["collapsed"] + of["refused"] + of.get("erased", 0),
          f"the totals do not add up: {of}")


def pick(appliance, number):
    """Reads of vehicles that were seen once, so that their absence is easily told."""
    found = [row for row in rows(appliance, "--from", DAY, "--limit", "10000") if row["key"]]
    once = {}
    for row in found:
        once.setdefault(row["key"], []).append(row)
    single = [group[0] for group in once.values() if len(group) == 1 and group[0]["vrm"].isascii()]
    check(len(single) >= number, "the fleet's reads have too few single sightings")
    return single[:number]


def follow(appliance, name):
    log = os.path.join(appliance.directory, name)
    appliance.ctl("subscriptions", "add", "room", "--organisation", "Test")
    process = subprocess.Popen([GANTRYCTL, "--socket", appliance.socket, "hits", "follow", "room", "--json", *GROUNDS],
                               stdout=open(log, "w"), stderr=subprocess.DEVNULL)
    until(lambda: appliance.ctl("subscriptions", "show", "room")[-1]["subscriptions"][0]["connected"], "the follower did not come", 10)

    def hits():
        with open(log) as file:
            return [json.loads(line) for line in file if line.endswith("}\n")]
    return process, hits


def load_list(appliance, lines):
    path = os.path.join(appliance.directory, "wanted.csv")
    with open(path, "w") as file:
        file.write("vrm\n" + "\n".join(lines) + "\n")
    appliance.ctl("lists", "load", path, "--name", "wanted", "--owner", "Test")


def files_hold(directory, needles):
    """Every regular file but sparse LMDB holes, read whole."""
    for at, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(at, name), "rb") as file:
                content = file.read()
            for needle in needles:
                check(needle not in content, f"{needle!r} stands in {name}")


def dumped(appliance, directory):
    path = os.path.join(directory, "rows")
    report = appliance.fsck(path)
    texts = [(content[2], int(content[0]), int(content[1])) for _, content, _ in dump_rows(path)]
    os.unlink(path)
    return report, texts


def a_mark_is_in_force_at_once_and_for_good(directory, random):
    appliance = Appliance(directory, **{"storage.erase_rewrite": "1"})
    appliance.start()
    appliance.register(feeds=2)
    send(appliance, "first")
    erased, restricted, amended, other = pick(appliance, 4)
    right = "MK77 GTY"
    load_list(appliance, [erased["vrm"], restricted["vrm"], amended["vrm"], "MK77GTY"])
    follower, hits = follow(appliance, "hits")
    before = count(appliance, "*")  # not-read records are never taken for copies: sent again they are more

    # Refused: unknown, incomplete, without grounds, a wildcard for a correction.
    appliance.refused("reads", "erase", *name_of({**erased, "camera": erased["camera"] + 1}), *SUBJECT)
    appliance.refused("reads", "erase", *name_of({**erased, "id": "00" * 16}), *SUBJECT)
    appliance.refused("reads", "erase", *name_of(erased))
    for verb, more in ("erase", []), ("restrict", []), ("unrestrict", []), ("amend", ["--vrm", "AB12 CDE"]):
        said = appliance.refused("reads", verb, *name_of({**erased, "capture": "2020-01-01T00:00:00Z"}), *more, *SUBJECT)
        check("R34" in said, f"reads {verb} of an over-age read: {said}")
    appliance.refused("reads", "amend", *name_of(amended), "--vrm", "AB?", *SUBJECT)
    appliance.refused("search", restricted["vrm"], "--restricted", *GROUNDS)
    check(count(appliance, "*") == before, "what was refused had an effect")

    answer = mark(appliance, "erase", erased)
    check(answer["already"] is False, f"{answer}")
    check(mark(appliance, "erase", erased)["already"] is True, "erasing twice")
    mark(appliance, "restrict", restricted)
    check(mark(appliance, "restrict", restricted)["already"] is True, "restricting twice")
    changed = mark(appliance, "amend", amended, "--vrm", right)
    check(changed["hits"] == 1 and changed["new_id"] not in (None, amended["id"]), f"{changed}")
    again = mark(appliance, "amend", amended, "--vrm", right)
    check(again["already"] is True and again["new_id"] == changed["new_id"], f"{again}")
    appliance.refused("reads", "amend", *name_of(amended), "--vrm", "MK77 GTZ", *SUBJECT)
    appliance.refused("reads", "amend", *name_of(restricted), "--vrm", "MK77 GTZ", *SUBJECT)

    def in_force(when):
        for row in (erased, restricted, amended):
            check(not rows(appliance, row["vrm"]) and not count(appliance, row["vrm"]), f"{when}: {row['vrm']} is found")
            check(row["id"] not in [found["id"] for found in rows(appliance, "--camera", str(row["camera"]), "--limit",
                                                                  "10000")], f"{when}: found by its camera")
        shown = rows(appliance, restricted["vrm"], "--restricted", grounds=SUBJECT)
        check([row["id"] for row in shown] == [restricted["id"]], f"{when}: restricted: {shown}")
        for pattern in ("MK77GTY", "mk77*", "MK?7GTY"):
            shown = rows(appliance, pattern)
            check([row["id"] for row in shown] == [changed["new_id"]] and shown[0]["vrm"] == right and
                  shown[0]["capture"] == amended["capture"] and "amended" in shown[0]["flags"],
                  f"{when}: amended: {shown}")
        check(count(appliance, "*") == before - 2, f"{when}: {count(appliance, '*')} of {before - 2}")
        check(rows(appliance, other["vrm"])[0]["id"] == other["id"], f"{when}: a read that nobody touched")
        sums_hold(appliance)

    in_force("at once")
    # The same reads again: by another epoch of both feeds, while the removal is under way.
    send(appliance, "second")
    in_force("sent again")
    until(lambda: marks_of(appliance)["pending"] == 0, lambda: f"not removed: {marks_of(appliance)} {appliance.tail()}", 40)
    in_force("removed")
    send(appliance, "third")
    in_force("sent again after the removal")
    appliance.kill()
    appliance.start()
    in_force("killed and started")
    follower.wait(10)  # its connection died with the appliance: all that it was told is in the file
    told = [hit["read"]["vrm"] for hit in hits()]
    check(told.count(right) == 1, f"the amended read's alarm: {told}")
    check(erased["vrm"] not in told and restricted["vrm"] not in told and amended["vrm"] not in told,
          f"alarms of marked reads: {told}")

    # Amended once more, then erased; the restriction is lifted.
    corrected = rows(appliance, "MK77GTY")[0]
    third = mark(appliance, "amend", corrected, "--vrm", amended["vrm"])
    back = rows(appliance, amended["vrm"])
    check([row["id"] for row in back] == [third["new_id"]] and third["new_id"] != amended["id"], f"{back}")
    mark(appliance, "erase", back[0])
    check(not rows(appliance, amended["vrm"]) and not rows(appliance, "MK77GTY"), "erased after two amendments")
    check(mark(appliance, "unrestrict", restricted)["already"] is False, "lifting")
    check([row["id"] for row in rows(appliance, restricted["vrm"])] == [restricted["id"]], "lifted")
    check(mark(appliance, "unrestrict", restricted)["already"] is True, "lifting twice")
    until(lambda: marks_of(appliance)["pending"] == 0, lambda: f"not removed: {marks_of(appliance)}", 40)

    # The old value: in the audit log's sealed bodies, and nowhere else.
    entries = run([GANTRYCTL, "--socket", appliance.socket, "audit", "show", "--count", "200", "--json", *GROUNDS])
    notes = [json.loads(line) for line in entries.splitlines() if '"reads.amendment"' in line]
    check(len(notes) == 2 and notes[0]["body"]["vrm_before"] == amended["vrm"] and notes[0]["body"]["vrm_after"] == right,
          f"{notes}")
    appliance.stop()
    report, stored = dumped(appliance, directory)
    check(not report.get("damage"), f"gantry-fsck: {report}")
    captured = {(micros(row["capture"]), row["camera"]) for row in (erased, amended)}
    check(not [text for text in stored if text[1:] in captured], "a removed read stands in the files")
    files_hold(appliance.data, [erased["vrm"].encode(), amended["vrm"].encode(), right.encode(), b"MK77GTY"])


def without_its_key_nothing_comes_back(directory, random):
    appliance = Appliance(directory, **{"storage.erase_rewrite": "3000"})
    appliance.start()
    appliance.register(feeds=1)
    send(appliance, "first")
    erased, restricted = pick(appliance, 2)
    mark(appliance, "erase", erased)
    mark(appliance, "restrict", restricted)
    before = sorted(row["id"] for row in rows(appliance, "--limit", "10000"))
    appliance.stop()
    shutil.copytree(appliance.data, os.path.join(directory, "whole"))
    appliance.lose_identity_key()
    for start in range(2):  # a key made anew at the first would be taken for the old one by the second
        appliance.start()
        said = appliance.refused("search", "*", *GROUNDS)
        check("restore the keyring" in said, f"start {start + 1}: {said}")
        appliance.stop()
    for name in ("keyring.a", "keyring.b"):
        shutil.copy(os.path.join(directory, "whole", name), os.path.join(appliance.data, name))
    appliance.start()
    check(sorted(row["id"] for row in rows(appliance, "--limit", "10000")) == before, "other reads than before")
    appliance.stop()


def killed_at(point, at):
    os.mkdir(at)
    appliance = Appliance(at, **{"storage.erase_rewrite": "0"})
    appliance.start()
    appliance.register(feeds=1)
    send(appliance, "first")
    erased, amended = pick(appliance, 2)
    appliance.stop()
    appliance.start(kill=point)
    done = [subprocess.run([GANTRYCTL, "--socket", appliance.socket, "reads", *verb, *SUBJECT], capture_output=True,
                           timeout=60).returncode == 0
            for verb in (["amend", *name_of(amended), "--vrm", "MK77GTY"], ["erase", *name_of(erased)])]
    until(lambda: appliance.process.poll() is not None, f"{point} was never reached")
    check(appliance.process.returncode == -signal.SIGKILL, f"{point}: {appliance.tail()}")
    appliance.start()
    found = {row["vrm"] for row in rows(appliance, "--from", DAY, "--limit", "10000")}
    check(not done[0] or (amended["vrm"] not in found and "MK77GTY" in found), f"{point}: the amendment is lost")
    check(("MK77GTY" in found) != (amended["vrm"] in found), f"{point}: both or neither of the amended read")
    check(not done[1] or erased["vrm"] not in found, f"{point}: the erased read is back")
    check(count(appliance, "--from", DAY) == len(rows(appliance, "--from", DAY, "--limit", "10000")), "count")
    until(lambda: marks_of(appliance)["pending"] == 0, lambda: f"{point}: not removed: {marks_of(appliance)}")
    send(appliance, "second")
    again = {row["vrm"] for row in rows(appliance, "--from", DAY, "--limit", "10000")}
    check(again == found, f"{point}: {again ^ found} after the reads were sent again")
    sums_hold(appliance)
    appliance.stop()
    report, _ = dumped(appliance, at)
    check(not report.get("damage"), f"{point}: gantry-fsck: {report}")


def killed_at_every_step(directory, random):
    """The process dies on the way of a mark: what was answered holds, what was not is whole or not there."""
    points = ["mark.keyed", "register.logged", "mark.rewritten", "mark.noted"]
    side_by_side(killed_at, points, [os.path.join(directory, point) for point in points])


if __name__ == "__main__":
    sys.exit(main("marks", [
        ("a mark is in force at once and for good", a_mark_is_in_force_at_once_and_for_good),
        ("without its key nothing comes back", without_its_key_nothing_comes_back),
        ("killed at every step", killed_at_every_step),
    ]))
