"""A real directory with bits flipped and files lost: gantry-fsck finds and names each, no search ever answers what was not
stored, and says which part it could not read; without its audit log gantryd does not start. Which file's loss means what is
in tests/storage/test_loss.c; this is the same with everything that only a whole appliance writes."""

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
from random import Random

from rig import FSCK, GANTRYCTL, GROUNDS, Appliance, check, fleet, fleet_result, main, side_by_side


def traffic(appliance, name, rate="4000"):
    process = fleet(appliance, name=name, rate=rate, more=["--duration", "1", "--drain", "30"])
    process.wait(90)
    check(process.returncode == 0, f"gantry-load: {fleet_result(appliance, name)}")


def search(appliance, allow_incomplete=False):
    command = ["search", "*A*", "--limit", "10000", *GROUNDS]
    if not allow_incomplete:
        answer = appliance.ctl(*command)
        check(answer[-1]["complete"], f"incomplete: {answer[-1]}")
        return {json.dumps(row, sort_keys=True) for row in answer[:-1]}, answer[-1]
    done = subprocess.run([GANTRYCTL, "--socket", appliance.socket, *command, "--json"], capture_output=True, text=True)
    check(done.returncode in (0, 4), f"search: {done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {json.dumps(row, sort_keys=True) for row in lines[:-1]}, lines[-1]


@functools.cache
def built():
    """Sealed segments, unsealed journals behind a kill, a list, an audit log; and the same after a clean stop. Made once."""
    directory = tempfile.mkdtemp(prefix="gantry-test-loss-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    appliance = Appliance(directory)
    appliance.start()
    appliance.register()
    path = os.path.join(directory, "list.csv")
    with open(path, "w") as file:
        file.write("vrm\nAB12CDE\nXY99ZZZ\n")
    appliance.ctl("lists", "load", path, "--name", "stolen")
    traffic(appliance, "one")
    appliance.stop()
    appliance.settings["storage.journal_roll"] = "3600"
    appliance.start()
    traffic(appliance, "two", rate="1000")
    rows, _ = search(appliance)
    appliance.kill()
    shutil.copytree(appliance.data, os.path.join(directory, "crashed"))
    appliance.start()
    appliance.stop()
    shutil.copytree(appliance.data, os.path.join(directory, "clean"))
    return appliance, rows


def build(directory):
    appliance, rows = built()
    copy = appliance.copy(os.path.join(directory, "store"))
    copy.settings["storage.journal_roll"] = "3600"
    return copy, rows


def restore(appliance, template):
    shutil.rmtree(appliance.data)
    shutil.copytree(os.path.join(appliance.directory, template), appliance.data)


def files_of(appliance):
    found = []
    for top, _, names in os.walk(appliance.data):
        found += [os.path.relpath(os.path.join(top, name), appliance.data) for name in names]
    return sorted(found)


def fsck(appliance):
    done = subprocess.run([FSCK, appliance.data, "--master-key", appliance.master, "--json"], capture_output=True, text=True,
                          timeout=120)
    report = json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}
    return done.returncode, report, done.stderr


def names(report, file):
    """The damage names the file; of an LMDB environment and its mark, the directory."""
    wanted = os.path.dirname(file) if file.endswith("/clean") or file.endswith("data.mdb") else file
    wanted = "audit" if file.startswith("audit/") else wanted
    return any(wanted in entry["text"] for entry in report.get("damage", []))


def flip(path, spots, bit):
    """The same bit of each of these bytes."""
    with open(path, "r+b") as file:
        content = bytearray(file.read())
        for at in spots:
            content[at] ^= 1 << bit
        file.seek(0)
        file.write(content)


def boundaries(size):
    """Where formats have their fields: the first bytes, the edges of blocks, the last bytes."""
    spots = {0, 7, 8, 15, 16, 63, 64, 71, 127, 128, 4095, 4096, 4096 + 127, size // 2, size - 64, size - 16, size - 8, size - 1}
    return [spot for spot in spots if 0 <= spot < size]


def covered(file, template):
    """Does every bit of this file count? docs/disk-format.md, "What gantry-fsck finds"."""
    name = os.path.basename(file)
    if name in ("lock", "lock.mdb", "changes.log.tmp"):
        return False
    if template == "crashed" and (name == "data.mdb" or file.startswith("journal/") or file == "audit/leaves"):
        return False
    return True


def flip_all_over(appliance, template, random):
    """How many bits were flipped, and how many of these gantry-fsck found."""
    flips = found = 0
    restore(appliance, template)
    status, report, said = fsck(appliance)
    check(status == 0, f"{template} is not clean: {report.get('damage')} {said}")
    for file in files_of(appliance):
        path = os.path.join(appliance.data, file)
        size = os.path.getsize(path)
        if size == 0:
            continue
        spots = boundaries(size) + [random.randrange(size) for _ in range(6)]
        if file.startswith("journal/"):
            spots = [spot for spot in spots if spot < 100000]
        for at in random.sample(spots, min(len(spots), 14)):
            bit = random.randrange(8)
            flip(path, [at], bit)
            status, report, said = fsck(appliance)
            flips += 1
            if status == 1:
                check(names(report, file), f"{template} {file} byte {at} bit {bit}: {report['damage']}")
                found += 1
            else:
                check(status == 0 and not covered(file, template),
                      f"{template} {file} of {size}, byte {at} bit {bit}: status {status} {said}")
            flip(path, [at], bit)
    return flips, found


def every_flipped_bit_is_found(directory, random):
    templates = "clean", "crashed"
    stores = [build(os.path.join(directory, template))[0] for template in templates]
    seeds = [Random(random.random()) for _ in templates]
    flips, found = map(sum, zip(*side_by_side(flip_all_over, stores, templates, seeds)))
    print(f"\n    {flips} flips, {found} found, the others where nothing is stored", end=" ")


def no_search_answers_what_was_not_stored(directory, random):
    appliance, rows = build(directory)
    incomplete = 0
    # Three bits may all lie where this search does not read; of one bit in each 16 bytes no section is spared.
    for template, everywhere in [("clean", False)] * 3 + [("crashed", False), ("clean", True), ("crashed", True)]:
        restore(appliance, template)
        file = random.choice([name for name in files_of(appliance) if name.startswith("segments/")])
        path = os.path.join(appliance.data, file)
        size = os.path.getsize(path)
        spots = [at + random.randrange(16) for at in range(0, size - 15, 16)] if everywhere else random.sample(range(size), 3)
        flip(path, spots, random.randrange(8))
        appliance.start()
        got, result = search(appliance, allow_incomplete=True)
        check(got <= rows, f"{file}: {len(got - rows)} rows that were never stored")
        if not result["complete"]:
            incomplete += 1
            counted = appliance.ctl("status")[-1]["storage"]["damage_count"]
            check(counted > 0, f"{file}: a search met damage that status does not count")
            search(appliance, allow_incomplete=True)
            check(appliance.ctl("status")[-1]["storage"]["damage_count"] == counted, f"{file}: counted twice")
            check(any(os.path.basename(file)[:8] in json.dumps(entry) for entry in result["unreadable"]),
                  f"{file}: the answer names something else: {result['unreadable']}")
        else:
            check(not everywhere, f"{file}: damaged everywhere, and the answer calls itself complete")
            check(got == rows, f"{file}: complete, yet {len(rows - got)} rows are missing")
        appliance.stop()
    check(incomplete >= 2, "damage was not met")


def a_rebuilt_catalog_answers_the_same(directory, random):
    appliance, rows = build(directory)
    for template in ("clean", "crashed"):
        restore(appliance, template)
        os.unlink(os.path.join(appliance.data, "catalog/data.mdb"))
        status, report, _ = fsck(appliance)
        check(status == 1 and names(report, "catalog/data.mdb"), f"a missing catalog: {report}")
        done = subprocess.run([FSCK, appliance.data, "--master-key", appliance.master, "--rebuild-catalog"], capture_output=True,
                              text=True)
        check(done.returncode == 0 and "rebuilt" in done.stdout, f"{done.stdout}{done.stderr}")
        check(any(name.startswith("catalog.damaged-") for name in os.listdir(appliance.data)), "the old one was not put aside")
        appliance.start()
        check(search(appliance)[0] == rows, "the rebuilt catalog answers otherwise")
        check(not any("lost" in text for text in appliance.ctl("status")[-1]["alarms"]), "alarms after a rebuild")
        if template == "clean":  # the senders' windows go on; the other template is of a time before this
            traffic(appliance, "after", rate="1000")
        appliance.stop()
        check(appliance.fsck()["clean"], "damage after a rebuild")


def without_its_audit_log_it_does_not_start(directory, random):
    appliance, _ = build(directory)
    for file in ("audit/leaves", "audit/checkpoint"):
        for injury in ("removed", "halved", "flipped"):
            restore(appliance, "clean")
            path = os.path.join(appliance.data, file)
            if injury == "removed":
                os.unlink(path)
            elif injury == "halved":
                os.truncate(path, os.path.getsize(path) // 2)
            else:
                flip(path, [os.path.getsize(path) // 2], 3)
            status, report, said = fsck(appliance)
            check(status == 1 and names(report, file), f"{file} {injury}: {status} {report} {said}")
            appliance.start(wait=False)
            check(appliance.process.wait(60) != 0, f"{file} {injury}: gantryd started")
            check("audit" in appliance.tail(), f"{file} {injury}: {appliance.tail()}")


def a_served_directory_is_left_alone(directory, random):
    appliance = Appliance(directory)
    appliance.start()
    status, _, said = fsck(appliance)
    check(status == 3 and "serves this directory" in said, f"{status} {said}")
    appliance.stop()
    before = {name: (os.stat(os.path.join(appliance.data, name)).st_mtime_ns, os.path.getsize(os.path.join(appliance.data, name)))
              for name in files_of(appliance)}
    check(fsck(appliance)[0] == 0, "a new directory is not clean")
    after = {name: (os.stat(os.path.join(appliance.data, name)).st_mtime_ns, os.path.getsize(os.path.join(appliance.data, name)))
             for name in files_of(appliance)}
    check(before == after, f"a check changed {set(before.items()) ^ set(after.items())}")


if __name__ == "__main__":
    raise SystemExit(main("loss", [
        ("every flipped bit is found", every_flipped_bit_is_found),
        ("no search answers what was not stored", no_search_answers_what_was_not_stored),
        ("a rebuilt catalog answers the same", a_rebuilt_catalog_answers_the_same),
        ("without its audit log it does not start", without_its_audit_log_it_does_not_start),
        ("a served directory is left alone", a_served_directory_is_left_alone),
    ]))
