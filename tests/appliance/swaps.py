"""Lists change hands under load: replaced, added to, dropped from, edited and rolled back while a fleet sends. Each read is
then held against a plain matcher: its hits are those of exactly one version of every list, and whoever takes hits of a worker
in their order never meets an older version behind a newer one."""
import os
import signal
import time

from rig import GROUNDS, LOAD, Appliance, Follower, check, fleet, iso, key_of, main, matches, run, under_load, until

LISTS = ("first", "second")
CHANGES = 24  # the storm goes on until there were so many, and so many hits
HITS = 2500


class Versions:
    """What each version of a list holds: every plate of the fleet, so that no read is without a hit that tells the version,
    and patterns that come and go."""

    def __init__(self, appliance, random, name, plates):
        self.appliance, self.random, self.name, self.plates = appliance, random, name, plates
        self.of = {}
        self.now = 0
        self.priority = 50
        self.change("load", self.some(40), "--owner", Follower.OWNER)
        self.order = [self.now]

    def some(self, count):
        """Patterns with one open place each."""
        chosen = set()
        for plate in self.random.sample(self.plates, count):
            place = self.random.randrange(2, len(plate))
            chosen.add(plate[:place] + "?" + plate[place + 1:])
        return chosen

    def rows(self, names):
        path = os.path.join(self.appliance.directory, self.name + ".csv")
        with open(path, "w") as file:
            file.write("pattern,reason\n" + "".join(f"{name},{name}\n" for name in sorted(names)))
        return path

    def change(self, verb, patterns, *more):
        names = patterns | set(self.plates) if verb == "load" else patterns
        done = self.appliance.ctl("lists", verb, self.rows(names), "--name", self.name, *more)[-1]
        held = {"load": patterns, "add": self.held() | patterns, "drop": self.held() - patterns}[verb]
        self.take(done, held)

    def held(self):
        return self.of.get(self.now, (set(), 0))[0]

    def take(self, done, held):
        check(done["version"] >= self.now, f"{self.name}: version {done['version']} behind {self.now}")
        check(done.get("entries", len(held) + len(self.plates)) == len(held) + len(self.plates), f"{done}: {len(held)} patterns")
        self.now = done["version"]
        self.of[self.now] = (held, self.priority)

    def step(self):
        what = self.random.randrange(6)
        if what == 0:
            self.change("load", self.some(40))
        elif what == 1 and len(self.order) > 1:
            held, self.priority = self.of[self.order[-2]]
            self.take(self.appliance.ctl("lists", "rollback", self.name)[-1], held)
        elif what == 2 and len(self.held()) > 15:
            self.change("drop", set(self.random.sample(sorted(self.held()), 10)))
        elif what == 3:
            self.priority = self.random.randrange(101)
            done = self.appliance.ctl("lists", "edit", self.name, "--priority", str(self.priority))[-1]
            self.take(done, self.held())
        else:
            self.change("add", self.some(8))
        if self.order[-1] != self.now:
            self.order.append(self.now)

    def agree(self, version, key, hits):
        """Are these the hits of that version? The entry of one that is told later may be gone, and then goes without its
        reason; its kind, and that no other has its number, say enough."""
        held, priority = self.of[version]
        names = {name for name in held | set(self.plates) if matches(key_of_pattern(name), key)}
        told = [hit["reason"] for hit in hits if "reason" in hit]
        return (sorted(hit["kind"] for hit in hits) == sorted("pattern" if "?" in name else "exact" for name in names) and
                set(told) <= names and len(set(told)) == len(told) and len({hit["entry"] for hit in hits}) == len(hits) and
                all(hit["priority"] == priority for hit in hits))


def key_of_pattern(name):
    return "?".join(key_of(part) for part in name.split("?"))


def identity(row):
    return row["camera"], row["capture"], row["vrm"]


def each_read_met_one_version(lists, reads, hits):
    told = {}
    for hit in hits:
        told.setdefault((identity(hit["read"]), hit["list_name"]), []).append(hit)
    met = 0
    for row in reads:
        for name, versions in lists.items():
            mine = told.pop((identity(row), name), [])
            if row.get("key") is None:
                check(not mine, f"a read without key has hits: {mine}")
                continue
            seen = {hit["version"] for hit in mine}
            check(len(seen) <= 1, f"hits of versions {seen} of {name} on one read")
            if not seen:
                check(row["key"] not in versions.keys, f"{name} was not matched against a read: {row}")
                continue
            version = seen.pop()
            check(versions.agree(version, row["key"], mine), f"version {version} of {name}, {row}: {mine}")
            met += 1
    check(not told, f"hits of reads that no search finds: {list(told)[:3]}")
    return met


def in_their_order(hits):
    """By worker and number, the order in which it matched: versions only grow."""
    newest = {}
    for source, _, name, version in sorted((*map(int, hit["number"].split("-")), hit["list_name"], hit["version"])
                                           for hit in hits):
        before = newest.get((source, name), 0)
        check(version >= before, f"worker {source}: version {version} of {name} behind {before}")
        newest[source, name] = version


def matched(appliance):
    return appliance.ctl("status")[-1]["hits"]["total"]


def reads_between(appliance, begin, end):
    """All of them, by windows that no answer is too small for; what cameras kept for hours comes first."""
    bounds = [begin - 10 * 86400, begin]
    while bounds[-1] < end:
        bounds.append(bounds[-1] + 2)
    rows = {}
    for left, right in zip(bounds, bounds[1:]):
        part = appliance.ctl("search", "--from", iso(int(left * 1e6)), "--to", iso(int(right * 1e6)), "--limit", "10000", *GROUNDS)
        check(part[-1]["complete"] and len(part) <= 10000, f"{part[-1]}")
        rows.update({row["id"]: row for row in part[:-1]})
    return list(rows.values())


def storm(directory, random):
    appliance = Appliance(directory, **{"storage.journal_roll": "2"})
    appliance.start()
    appliance.register()
    lines = run([LOAD, "list", "--cameras", "200", "--vehicles", "300", "--seed", "1", "--entries", "150", "--patterns", "0"])
    plates = sorted({line.split(",")[0] for line in lines.splitlines()[1:]})
    lists = {name: Versions(appliance, random, name, plates) for name in LISTS}
    for versions in lists.values():
        versions.keys = {key_of(plate) for plate in plates}
    follower = Follower(appliance, "storm")
    begun = time.time()
    process = fleet(appliance, rate="2500", vehicles=300, more=["--drain", "30"])
    under_load(appliance, process)
    while sum(len(versions.order) for versions in lists.values()) < CHANGES or matched(appliance) < HITS:
        check(process.poll() is None, f"gantry-load: {process.returncode}")
        lists[random.choice(LISTS)].step()
    process.send_signal(signal.SIGTERM)  # it makes no more, and waits for what is not acknowledged
    process.wait(60)
    reads = reads_between(appliance, begun - 1, time.time() + 1)
    total = matched(appliance)
    until(lambda: len(follower.hits()) >= total, lambda: f"{len(follower.hits())} of {total} told", 20)
    hits = [hit for hit in follower.end() if hit["kind"] != "clone"]
    met = each_read_met_one_version(lists, reads, hits)
    in_their_order(hits)
    used = len({(hit["list_name"], hit["version"]) for hit in hits})
    print(f" {used} versions met {len(reads)} reads,", end="")
    check(used > 5 and met > 1000, f"{used} versions of all that were made met a read, {met} reads met a list")
    appliance.stop()


if __name__ == "__main__":
    raise SystemExit(main("swaps", [("a storm of swaps under load", storm)]))
