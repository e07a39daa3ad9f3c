"""The search back from outside: entries added over reads that are sealed and that are not, finds against what a search
finds, restarts and purges on the way, and reads that were accepted while no list was loaded."""
import os
import subprocess
import sys
import time

from rig import GANTRYCTL, GROUNDS, LOAD, Appliance, Follower, check, main, until

TODAY = time.strftime("%Y-%m-%d", time.gmtime())


def day(back):
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - back * 86400))


def send(appliance, of_day, reads=3000, seed=5, more=()):
    """Reads of one day, from a spool of their own."""
    command = [LOAD, "run", "--feeds", appliance.feeds, "--transport", "virtio:" + appliance.port, "--reads", str(reads),
               "--seed", str(seed), "--cameras", "200", "--vehicles", "300", "--json", "--memory", "160", "--drain", "30",
               *more]
    if of_day != TODAY:
        command += ["--day", of_day]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    check(done.returncode == 0, f"gantry-load: {done.stdout} {done.stderr[-1000:]}")


def rows(appliance, *arguments):
    answer = appliance.ctl("search", *arguments, "--limit", "10000", *GROUNDS)
    check(answer[-1]["complete"], f"incomplete: {answer[-1]}")
    return answer[:-1]


def identity(row):
    return row["camera"], row["capture"], row["vrm"]


def csv(appliance, lines):
    path = os.path.join(appliance.directory, "rows.csv")
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")
    return path


def lists(appliance, verb, lines, *more):
    return appliance.ctl("lists", verb, csv(appliance, lines), "--name", "crime", *(["--owner", Follower.OWNER] if verb == "load" else []), *more)[-1]


def retro(appliance, number):
    return next(row for row in appliance.ctl("retros", "show")[-1]["retros"] if row["number"] == number)


def ended(appliance, number):
    until(lambda: retro(appliance, number)["state"] not in ("waiting", "running"), "the search back does not end", 60)
    return retro(appliance, number)


def filled(directory, **settings):
    """Days of which some are sealed and some are not."""
    appliance = Appliance(directory, **settings)
    appliance.start()
    appliance.register()
    send(appliance, day(5))
    send(appliance, day(3))
    appliance.stop()  # seals
    appliance.settings["storage.journal_roll"] = "600"
    appliance.start()
    send(appliance, day(2))
    send(appliance, TODAY)
    return appliance


def plates(appliance, count):
    """VRMs that were read often, in the key's characters, so that they may stand on a list as they are."""
    counts = {}
    for row in rows(appliance, "--from", day(3), "--to", day(2)):
        if row.get("key") and row["key"] == row["vrm"]:
            counts[row["key"]] = counts.get(row["key"], 0) + 1
    return [key for key, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:count]]


def expected(appliance, patterns):
    """Of each pattern what a search finds: one hit each, whatever else the read met."""
    return sorted((identity(row), pattern) for pattern in patterns
                  for row in rows(appliance, pattern, "--from", day(10)))


def met(hits, patterns):
    """What a follower was told of the search back, in the same form."""
    return sorted((identity(hit["read"]), patterns[hit["entry"]]) for hit in hits if hit["kind"] == "retro")


def every_one_exactly_once(directory, random):
    appliance = filled(directory)
    a, b, c = plates(appliance, 3)
    entries = [a, b, c[:2] + "*"]
    follower = Follower(appliance, "hits")
    answer = lists(appliance, "load", ["vrm", *entries[:2]], "--retro", "10", *GROUNDS)
    first = ended(appliance, answer["retro"])
    more = lists(appliance, "add", ["pattern", entries[2]], "--retro", "10", *GROUNDS)
    second = ended(appliance, more["retro"])
    wanted = expected(appliance, entries)
    check(first["state"] == "done" and second["state"] == "done", f"{first} {second}")
    check(first["finds"] == len([row for row in wanted if row[1] != entries[2]]), f"{first}, {len(wanted)} in all")
    check(second["finds"] == len([row for row in wanted if row[1] == entries[2]]), f"{second}, {len(wanted)} in all")
    until(lambda: len(follower.hits()) >= len(wanted), lambda: f"{len(follower.hits())} of {len(wanted)} told", 10)
    again = ended(appliance, appliance.ctl("lists", "retro", "crime", "--days", "10", *GROUNDS)[-1]["number"])
    check(again["finds"] == 0 and again["met"] == len(wanted), f"told twice: {again}")
    searched = appliance.ctl("hits", "search", "--from", day(10), "--kind", "retro", "--limit", "10000", *GROUNDS)[:-1]
    check(len(searched) == len(wanted) and all(row["late"] for row in searched), f"{len(searched)} found by hits search")
    hits = follower.end()
    check(met(hits, entries) == wanted, f"{len(hits)} hits told, {len(wanted)} reads found")
    appliance.refused("lists", "retro", "crime", "--days", "10")
    appliance.refused("lists", "add", csv(appliance, ["vrm", "AB1"]), "--name", "crime", "--retro", "3")
    appliance.refused("retros", "cancel", str(again["number"]))
    entries = appliance.ctl("audit", "show", "--count", "1000", *GROUNDS)
    notes = [entry["body"] for entry in entries if entry.get("verb") == "lists.retro.end"]
    check([note["finds"] for note in notes] == [first["finds"], second["finds"], 0], f"{notes}")
    appliance.stop()


def restarts_in_the_middle(directory, random):
    appliance = filled(directory)
    entries = plates(appliance, 4)
    wanted = len(expected(appliance, entries))
    answer = lists(appliance, "load", ["vrm", *entries], "--retro", "300", *GROUNDS)
    for point in "late.keyed", "register.logged:2", "register.logged:9", "register.logged:40":
        appliance.kill()
        appliance.start(kill=point, wait=False)
        time.sleep(0.5 + random.random())
    appliance.kill()  # it may live: the last point lies beyond what there is to do, or ahead
    appliance.start()
    last = ended(appliance, answer["retro"])
    check(last["state"] == "done" and last["why"] == "" and last["days_done"] == last["days"], f"{last}")
    searched = appliance.ctl("hits", "search", "--from", day(10), "--kind", "retro", "--limit", "10000", *GROUNDS)[:-1]
    check(len(searched) == wanted == len({row["number"] for row in searched}), f"{len(searched)} hits for {wanted} reads")
    again = ended(appliance, appliance.ctl("lists", "retro", "crime", "--days", "300", *GROUNDS)[-1]["number"])
    check(again["finds"] == 0 and again["met"] == wanted, f"{again}, {wanted} are there")
    appliance.stop()


def a_purge_in_the_middle(directory, random):
    appliance = filled(directory, **{"lists.retro_hits_max": "5"})
    entries = plates(appliance, 2)
    answer = lists(appliance, "load", ["vrm", *entries], "--retro", "10", *GROUNDS)
    bounded = ended(appliance, answer["retro"])
    check(bounded["finds"] == 5 and bounded["met"] == len(expected(appliance, entries)), f"{bounded}")
    check("retro_hits_max" in bounded["why"], f"{bounded}")
    appliance.stop()
    appliance.settings["lists.retro_hits_max"] = "100000"
    appliance.start()
    number = appliance.ctl("lists", "retro", "crime", "--days", "300", *GROUNDS)[-1]["number"]
    appliance.purge(day(3))
    ended(appliance, number)
    last = ended(appliance, appliance.ctl("lists", "retro", "crime", "--days", "10", *GROUNDS)[-1]["number"])
    check(last["finds"] == 0 and last["met"] == len(expected(appliance, entries)), f"{last}")
    appliance.stop()


def late_hits(appliance, follower, wanted):
    until(lambda: len(follower.hits()) >= wanted, lambda: f"{len(follower.hits())} of {wanted} told", 30)


def damage_lists(appliance):
    place = os.path.join(appliance.data, "lists")
    for name in os.listdir(place):
        if name.endswith(".blob"):
            with open(os.path.join(place, name), "r+b") as file:
                file.truncate(100)


def accepted_unmatched(directory, random):
    appliance = filled(directory)
    entries = plates(appliance, 3)
    lists(appliance, "load", ["vrm", *entries])
    appliance.stop()
    damage_lists(appliance)
    appliance.start()
    known = set(expected(appliance, entries))
    send(appliance, day(1))
    send(appliance, TODAY)
    check(any("not all lists are loaded" in alarm for alarm in appliance.ctl("status")[-1]["alarms"]),
          f"no alarm: {appliance.ctl('status')[-1]['alarms']}")
    appliance.kill()  # in the open window: what is recovered, and what comes then, both belong to it
    appliance.settings["storage.journal_roll"] = "1"
    appliance.start()
    send(appliance, day(4))
    wanted = sorted(set(expected(appliance, entries)) - known)
    check(len(wanted) > 10, f"only {len(wanted)} reads to be matched")
    time.sleep(2.5)  # some of it is sealed
    follower = Follower(appliance, "unmatched")
    lists(appliance, "load", ["vrm", *entries])
    late_hits(appliance, follower, len(wanted))
    until(lambda: not any("unmatched" in alarm for alarm in appliance.ctl("status")[-1]["alarms"]), "the alarm stays", 20)
    hits = follower.end()
    told = sorted((identity(hit["read"]), entries[hit["entry"]]) for hit in hits)
    check(told == wanted, f"{len(told)} told, {len(wanted)} were accepted unmatched")
    check({hit["kind"] for hit in hits} == {"exact"}, "a kind was changed")
    again = ended(appliance, appliance.ctl("lists", "retro", "crime", "--days", "10", *GROUNDS)[-1]["number"])
    check(again["met"] - again["finds"] >= len(wanted), f"what was told late is told again: {again}")
    appliance.stop()


def killed_while_matching(directory, random):
    appliance = filled(directory)
    entries = plates(appliance, 3)
    lists(appliance, "load", ["vrm", *entries])
    known = set(expected(appliance, entries))
    appliance.stop()
    damage_lists(appliance)
    appliance.start()
    send(appliance, day(1))
    appliance.kill()
    for point in "late.keyed", "register.logged:2", "register.logged:3", "register.logged:4":
        appliance.start(kill=point, wait=False)
        until(lambda: appliance.process.poll() is not None or appliance.ready(), "neither ready nor dead", 20)
        subprocess.run([GANTRYCTL, "--socket", appliance.socket, "lists", "load", csv(appliance, ["vrm", *entries]),
                        "--name", "crime"], capture_output=True)
        time.sleep(random.random())
        appliance.kill()
    appliance.start()
    until(lambda: not any("unmatched" in alarm for alarm in appliance.ctl("status")[-1]["alarms"]), "the alarm stays", 20)
    wanted = set(expected(appliance, entries)) - known
    again = ended(appliance, appliance.ctl("lists", "retro", "crime", "--days", "1", *GROUNDS)[-1]["number"])
    check(wanted and again["met"] >= len(wanted) and again["finds"] == again["met"] - len(wanted), f"{again}, {len(wanted)}")
    appliance.stop()


if __name__ == "__main__":
    sys.exit(main("search back", [
        ("every read is found exactly once, as a search finds it", every_one_exactly_once),
        ("killed again and again, it goes on", restarts_in_the_middle),
        ("a bound, and a purge in the middle", a_purge_in_the_middle),
        ("what was accepted unmatched is matched later", accepted_unmatched),
        ("the same, killed again and again", killed_while_matching),
    ]))
