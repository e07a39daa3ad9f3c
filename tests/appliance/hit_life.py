"""The life of hits through gantryctl: a list, a fleet, real hits, each step by who may take it, what comes of it in
hits.open, hits.show and hits.rates; escalation, a kill on the way, and the end with the day."""

import collections
import json
import os
import subprocess
import sys
import time

from rig import GANTRYCTL, GROUNDS, LOAD, SECOND_UID, Appliance, Follower, check, key_of, main, micros, run, until

DAY = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 2 * 86400))


def plates(appliance, count):
    """The fleet's plates that are seen most often, from reads that met no list."""
    send(appliance)
    seen = collections.Counter(row["vrm"] for row in appliance.ctl("search", "*", "--limit", "10000", *GROUNDS)[:-1])
    often = [text for text, times in seen.most_common() if text.isascii() and len(key_of(text) or "") >= 5 and times > 1]
    check(len(often) >= count, f"the fleet's reads show too few plates twice: {len(often)}")
    return often[:count]


def load_list(appliance, name, lines, priority):
    path = os.path.join(appliance.directory, name + ".csv")
    with open(path, "w") as file:
        file.write("vrm\n" + "\n".join(lines) + "\n")
    appliance.ctl("lists", "load", path, "--name", name, "--priority", str(priority), "--owner", Follower.OWNER)


def follow(appliance):
    follower = Follower(appliance)
    return follower, lambda state: [event for event in follower.told() if event.get("state") == state and "number" in event]


def send(appliance, day=None, reads=4000):
    command = [LOAD, "run", "--feeds", appliance.feeds, "--transport", "virtio:" + appliance.port, "--reads", str(reads),
               "--seed", "1", "--cameras", "50", "--vehicles", "300", "--json", "--memory", "160", "--drain", "30"]
    if day is not None:
        command += ["--day", day]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    check(done.returncode == 0, f"gantry-load: {done.stdout} {done.stderr[-1000:]}")


def alarms(appliance):
    return [text for text in appliance.ctl("status")[-1]["alarms"] if "not acknowledged" in text]


def ready(directory, day=None, **settings):
    appliance = Appliance(directory, **settings)
    appliance.start()
    appliance.register(feeds=1, cameras=50)
    wanted = plates(appliance, 6)
    load_list(appliance, "crime", wanted[:3], 90)
    load_list(appliance, "minor", wanted[3:], 20)
    follower, events = follow(appliance)
    send(appliance, day)
    until(lambda: events(None) and len(events(None)) == appliance.ctl("status")[-1]["hits"]["total"],
          lambda: f"not every hit arrived: {len(events(None))} of {appliance.ctl('status')[-1]['hits']}", 20)
    return appliance, follower, events


def step(appliance, verb, *arguments, code=0):
    return appliance.ctl("hits", verb, *arguments, code=code)[-1]


def show(appliance, hit):
    return appliance.ctl("hits", "show", hit, *GROUNDS)[-1]


def opened(appliance, *arguments):
    return appliance.ctl("hits", "open", "--limit", "1000", *arguments)[-1]


def whole_life(directory, random):
    appliance, follower, events = ready(directory)
    told = events(None)
    crime = [event for event in told if event["list_name"] == "crime"]
    minor = [event for event in told if event["list_name"] == "minor"]
    check(len(crime) > 4 and len(minor) > 4, f"too few hits: {len(crime)}, {len(minor)}")
    names = [event["number"] for event in crime]
    check(len(set(event["number"] for event in told)) == len(told), "two hits of one number")
    waiting = opened(appliance)
    check([row["number"] for row in waiting["hits"]] and {row["number"] for row in waiting["hits"]} == set(names) and
          all(row["state"] == "unacknowledged" for row in waiting["hits"]), f"{waiting}")
    check(all("vrm" not in json.dumps(row) for row in waiting["hits"]), f"{waiting}")

    # Order, unknown numbers, what is no number.
    check("acknowledge it first" in appliance.refused("hits", "assess", names[0], "--disposition", "correct"), "too early")
    for wrong in ("7-12345", "255-12345", "x", "0-0"):
        appliance.refused("hits", "acknowledge", wrong)
        appliance.refused("hits", "show", wrong, *GROUNDS)
    appliance.refused("hits", "show", names[0])  # no grounds
    # Several at once, one of them unknown, one twice.
    answer = step(appliance, "acknowledge", names[0], names[1], "7-12345", names[1], code=4)
    check((answer["done"], answer["already"], answer["refused"]) == (2, 1, 1), f"{answer}")
    check([row["outcome"] for row in answer["hits"]] == ["done", "done", "refused", "already"], f"{answer}")
    check(step(appliance, "acknowledge", names[0])["already"] == 1, "acknowledged again by the same account")
    check("assess it first" in appliance.refused("hits", "respond", names[0]), "responded too early")

    plate = crime[0]["read"]["vrm"]
    said = appliance.refused("hits", "assess", names[0], "--disposition", "misread", "--text", f"it was {plate.lower()}!")
    check("names the plate" in said and plate not in said, said)
    check(step(appliance, "assess", names[0], "--disposition", "correct", "--text", "seen on the image")["done"] == 1, "")
    check(step(appliance, "assess", names[0], "--disposition", "misread", "--text", "a B, read as 8")["done"] == 1,
          "assessed anew by the same account")
    check(step(appliance, "respond", names[0], "--text", "stopped")["done"] == 1, "responded")
    check(step(appliance, "respond", names[0], "--text", "stopped")["already"] == 1, "responded twice")
    check("cannot be changed" in appliance.refused("hits", "dismiss", names[0], "--text", "none"), "dismissed as well")
    check("cannot be changed" in appliance.refused("hits", "assess", names[0], "--disposition", "correct"), "too late")
    if os.geteuid() == 0:  # to speak as another account
        said = appliance.refused("hits", "acknowledge", names[2], uid=SECOND_UID)
        check("not among those" in said, said)

    def lives_are_right(when):
        life = show(appliance, names[0])
        check(life["read"]["vrm"] == plate and life["number"] == names[0] and life["list_name"] == "crime", f"{when}: {life}")
        of = life["life"]
        check((of["state"], of["disposition"], of["assessed"]["text"], of["ended"]["text"]) ==
              ("responded", "misread", "a B, read as 8", "stopped"), f"{when}: {of}")
        check(all(of[name]["uid"] == os.geteuid() and of[name]["by"] for name in ("acknowledged", "assessed", "ended")) and
              micros(of["acknowledged"]["at"]) <= micros(of["assessed"]["at"]) <= micros(of["ended"]["at"]), f"{when}: {of}")
        check(show(appliance, names[1])["life"]["state"] == "acknowledged", f"{when}: {names[1]}")
        check(show(appliance, minor[0]["number"])["life"] == {"state": "unacknowledged"}, f"{when}: {minor[0]['number']}")
        # The table is gathered anew after a start, by its own thread.
        until(lambda: [(row["number"], row["state"]) for row in opened(appliance)["hits"] if row["number"] in names[:3]] and
              {row["number"] for row in opened(appliance, "--state", "unacknowledged")["hits"]} == set(names[2:]),
              lambda: f"{when}: {opened(appliance)}", 20)
        check([(row["number"], row["state"]) for row in opened(appliance, "--state", "acknowledged")["hits"]] ==
              [(names[1], "acknowledged")], f"{when}: {opened(appliance)}")
        check(not opened(appliance, "--priority-min", "91")["hits"], f"{when}: of a higher priority")
    lives_are_right("at once")
    appliance.kill()
    follower.end()
    appliance.start()
    lives_are_right("killed and started")
    appliance.stop()
    appliance.start()
    lives_are_right("sealed")

    # Rates, against what was said.
    several = [event["number"] for event in crime[1:]] + [event["number"] for event in minor]
    judged = {}
    for begin in range(0, len(several), 100):
        step(appliance, "acknowledge", *several[begin:begin + 100])
    for disposition in ("correct", "misread", "wrong-vehicle", "stale-entry"):
        some = [name for name in several if name not in judged and random.random() < 0.5]
        for begin in range(0, len(some), 100):
            step(appliance, "assess", *some[begin:begin + 100], "--disposition", disposition)
        judged.update((name, disposition) for name in some)
    judged[names[0]] = "misread"
    by_name = {event["number"]: event for event in told}
    for by, key in ("camera", lambda event: (event["read"]["camera"], None)), ("list", lambda event: (None, event["list_name"])), \
            ("both", lambda event: (event["read"]["camera"], event["list_name"])):
        wanted = {}
        for name, disposition in judged.items():
            counts = wanted.setdefault(key(by_name[name]), {})
            counts[disposition] = counts.get(disposition, 0) + 1
        rows = appliance.ctl("hits", "rates", "--by", by, "--assessed-min", "1")[-1]["rates"]
        found = {(row.get("camera"), row.get("list_name")):
                 {name: row[name.replace("-", "_")] for name in ("correct", "misread", "wrong-vehicle", "stale-entry")
                  if row[name.replace("-", "_")]} for row in rows}
        check(found == wanted, f"rates by {by}: {found} but {wanted}")
        shares = [row["misread_share"] for row in rows]
        check(shares == sorted(shares, reverse=True) and
              all(row["misread_low"] <= row["misread_share"] <= row["misread_high"] for row in rows), f"{rows}")
    check(not appliance.ctl("hits", "rates", "--assessed-min", "100000")[-1]["rates"], "a minimum that nobody meets")
    check(not appliance.ctl("hits", "rates", "--to", "2020-01-01", "--assessed-min", "1")[-1]["rates"], "another window")
    # People see tables; the audit log has every step.
    table = run([GANTRYCTL, "--socket", appliance.socket, "hits", "rates", "--assessed-min", "1"])
    check("CAMERA" in table and "MISREAD SHARE" in table, table)
    entries = run([GANTRYCTL, "--socket", appliance.socket, "audit", "show", "--count", "1000", "--json", *GROUNDS])
    for verb in ("acknowledge", "assess", "respond", "dismiss", "show", "open"):
        check(f'"hits.{verb}"' in entries, f"hits.{verb} is not in the audit log")
    with open(appliance.log, errors="replace") as log:
        text = log.read()
        check(plate not in text and key_of(plate) not in text, "a plate stands in the log")
    appliance.stop()
    report = appliance.fsck()
    check(not report.get("damage"), f"gantry-fsck: {report}")


def what_waits_escalates(directory, random):
    appliance, follower, events = ready(directory, **{"hits.escalate_seconds": "1"})
    names = [event["number"] for event in events(None) if event["list_name"] == "crime"]
    until(lambda: {event["number"] for event in events("escalated")} == set(names),
          lambda: f"escalated: {len(events('escalated'))} of {len(names)}", 20)
    check(len(events("escalated")) == len(names), "one was told twice")
    check(all("read" not in event and event["priority"] == 90 for event in events("escalated")), "more than it may tell")
    until(lambda: alarms(appliance), "no alarm stands", 10)
    check(f"{len(names)} hit(s) of priority 80 or more" in alarms(appliance)[0], f"{alarms(appliance)}")
    of = appliance.ctl("status")[-1]["hits"]
    check((of["unacknowledged"], of["escalated"], of["escalated_total"], of["unwatched"]) ==
          (len(names), len(names), len(names), 0), f"{of}")
    step(appliance, "acknowledge", names[0])
    check(appliance.ctl("status")[-1]["hits"]["escalated"] == len(names) - 1, "one acknowledged")
    # Killed: what nobody has acknowledged stands again, and nothing else.
    appliance.kill()
    follower.end()
    appliance.start()
    until(lambda: appliance.ctl("status")[-1]["hits"]["escalated"] == len(names) - 1,
          lambda: f"after the start: {appliance.ctl('status')[-1]['hits']}", 20)
    until(lambda: alarms(appliance), "no alarm stands after the start", 10)
    # An erased read's hit is nobody's to acknowledge: it does not stand for ever.
    read = show(appliance, names[1])["read"]
    rows = appliance.ctl("search", read["vrm"], "--limit", "1000", *GROUNDS)[:-1]
    row = [found for found in rows if found["capture"] == read["capture"] and found["camera"] == read["camera"]][0]
    appliance.ctl("reads", "erase", row["id"], "--camera", str(row["camera"]), "--captured", row["capture"], "--purpose",
                  "subject-access", "--case", "S-1", "--reason", "erasure was ordered")
    check("erased" in appliance.refused("hits", "acknowledge", names[1]), "acknowledged although erased")
    for begin in range(2, len(names), 100):
        step(appliance, "acknowledge", *names[begin:begin + 100])
    until(lambda: not alarms(appliance), lambda: f"the alarm stands on: {alarms(appliance)}", 10)
    check(appliance.ctl("status")[-1]["hits"]["unacknowledged"] == 0, "something is left")
    appliance.stop()


def a_life_ends_with_its_day(directory, random):
    appliance, follower, events = ready(directory, DAY)
    names = [event["number"] for event in events(None) if event["list_name"] == "crime"]
    step(appliance, "acknowledge", *names[:2])
    step(appliance, "assess", *names[:2], "--disposition", "correct")
    check(appliance.ctl("hits", "rates", "--assessed-min", "1", "--by", "list")[-1]["rates"][0]["assessed"] == 2, "rates")
    appliance.purge(DAY)
    for name in names:
        appliance.refused("hits", "acknowledge", name)
        appliance.refused("hits", "show", name, *GROUNDS)
    check(not appliance.ctl("hits", "rates", "--assessed-min", "1")[-1]["rates"], "rates of a purged day")
    check(not opened(appliance)["hits"], "open hits of a purged day")
    appliance.stop()
    appliance.start()
    check(not appliance.ctl("hits", "rates", "--assessed-min", "1")[-1]["rates"], "back after a start")
    appliance.stop()
    report = appliance.fsck()
    check(not report.get("damage"), f"gantry-fsck: {report}")


if __name__ == "__main__":
    sys.exit(main("hit_life", [
        ("whole life", whole_life),
        ("what waits escalates", what_waits_escalates),
        ("a life ends with its day", a_life_ends_with_its_day),
    ]))
