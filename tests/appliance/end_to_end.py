"""The appliance as its users meet it: the socket's verbs over real traffic, answers before and after sealing and restart,
what must not be found in clear, a full disk, a rotten byte, an idle core."""

import json
import os
import signal
import subprocess
import sys
import time

from compare import Comparison, dump_rows
from rig import GANTRYCTL, GANTRYD, GROUNDS, LOAD, Appliance, Skip, check, day_number, end_all, fleet, fleet_result, iso, \
    key_of, main, matches, micros, run, start, under_load, until


def send(appliance, name="fleet", seconds="1", rate="10000", more=(), **kind):
    process = fleet(appliance, name=name, rate=rate, more=["--duration", seconds, "--drain", "30", *more], **kind)
    process.wait(90)
    result = fleet_result(appliance, name)
    check(process.returncode == 0, f"gantry-load: {result}")
    return result


def rows(appliance, *arguments):
    answer = appliance.ctl("search", *arguments, *GROUNDS)
    return answer[:-1], answer[-1]


def load_list(appliance, name, lines, *more):
    path = os.path.join(appliance.directory, name + ".csv")
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")
    return appliance.ctl("lists", "load", path, "--name", name, *more)[-1]


def totals(appliance):
    return appliance.ctl("status")[-1]["totals"]


def sums_hold(appliance, result):
    of = totals(appliance)
    check(of["acknowledged"] == of["stored"] + of["collapsed"] + of["refused"] + of["erased"], f"the totals do not add up: {of}")
    check(of["acknowledged"] == result["sent"], f"sent {result['sent']}, acknowledged {of['acknowledged']}")
    check(of["balance_ok"], f"counters do not add up: {of}")


def stored_reads(appliance):
    """Every read as the files have it, for a plain model of search: (vrm text, capture µs, camera, kind)."""
    path = os.path.join(appliance.directory, "model")
    appliance.fsck(path)
    reads = [(content[2], int(content[0]), int(content[1]), content[5]) for _, content, _ in dump_rows(path)]
    os.unlink(path)
    return reads


def search_agrees_with_a_plain_model(directory, random):
    """The same questions before sealing, after it, and after a restart; the model is built from the files."""
    appliance = Appliance(directory, **{"storage.journal_roll": "3600"})
    appliance.start()
    appliance.register()
    send(appliance, rate="20000", more=["--not-read", "3", "--foreign", "0"])
    questions = []
    known = run([LOAD, "list", "--cameras", "200", "--vehicles", "5000", "--seed", "1", "--entries", "40", "--patterns",
                 "0"]).splitlines()[1:]
    for line in known[:20]:
        vrm = line.split(",")[0].strip('"')
        spots = random.sample(range(len(vrm)), 2)
        questions += [vrm, "".join("?" if i in spots else c for i, c in enumerate(vrm)), vrm[:2] + "*", "*" + vrm[-3:],
                      vrm.lower()[:3] + "*" + vrm[-1]]
    windows = []
    before = {}
    now = int(time.time() * 1e6)
    for question in questions:
        options = []
        window = (now - random.randint(1, 3000) * 1000000, now + 1000000) if random.random() < 0.3 else None
        cameras = sorted(random.sample(range(1, 201), 40)) if random.random() < 0.3 else None
        if window:
            options += ["--from", iso(window[0]), "--to", iso(window[1])]
        for camera in cameras or []:
            options += ["--camera", str(camera)]
        windows.append((question, options, window, cameras))

    def ask():
        answers = {}
        for index, (question, options, _, _) in enumerate(windows):
            found, result = rows(appliance, question, "--limit", "10000", *options)
            check(result["complete"] and result["count"] == len(found), f"{question}: {result}")
            count = appliance.ctl("search", question, "--count", *options, *GROUNDS)[-1]
            check(count["count"] == len(found), f"{question}: counted {count['count']}, found {len(found)}")
            answers[index] = [(row["id"], row["vrm"], row["capture"], row["camera"]) for row in found]
        return answers

    before = ask()
    check(sum(map(len, before.values())) > 200, "the questions found next to nothing")
    appliance.stop()
    appliance.start()
    check(appliance.ctl("status")[-1]["storage"]["unsealed_reads"] == 0, "a clean stop left reads unsealed")
    check(ask() == before, "answers changed by sealing and a restart")
    appliance.stop()
    model = stored_reads(appliance)
    for index, (question, _, window, cameras) in enumerate(windows):
        pattern = question.upper().replace("O", "0").replace("I", "1")
        expected = sorted((capture, camera) for text, capture, camera, kind in model
                          if kind == "0" and key_of(text) is not None and matches(pattern, key_of(text))
                          and (window is None or window[0] <= capture < window[1]) and (not cameras or camera in cameras))
        answer = sorted((micros(capture), camera) for _, _, capture, camera in before[index])
        check(answer == expected, f"{question}: {len(answer)} found, {len(expected)} expected")


def pages_by_cursor(directory, random):
    appliance = Appliance(directory)
    appliance.start()
    appliance.register()
    send(appliance)
    whole, _ = rows(appliance, "*A*", "--limit", "10000", "--order", "oldest")
    seen = []
    more = []
    while True:
        page, result = rows(appliance, "*A*", "--limit", "700", "--order", "oldest", *more)
        seen += page
        if not result["truncated"]:
            break
        more = ["--cursor", result["cursor"]]
    check([row["id"] for row in seen] == [row["id"] for row in whole], f"{len(seen)} by pages, {len(whole)} at once")
    check(len(whole) > 1500, "too few rows to need pages")
    for other in (["*B*", "--order", "oldest"], ["*A*", "--order", "newest"], ["*A*", "--order", "oldest", "--camera", "1"],
                  ["*A*", "--order", "oldest", "--tolerant"], ["*A*", "--order", "oldest", "--from", WEEK_AGO]):
        check("another question" in appliance.refused("search", *other, *more, *GROUNDS), f"{other} takes the cursor of another")
    check(not any(row["vrm"].encode().hex() in more[1].lower() for row in seen
                  if len(row["vrm"]) > 5), "a cursor shows a VRM")


def grounds_are_asked_for_and_audited(directory, random):
    appliance = Appliance(directory)
    appliance.start()
    appliance.register()
    for missing in ([], ["--purpose", "serious"], ["--purpose", "serious", "--case", "C-1"],
                    ["--purpose", "serious", "--case", "-", "--reason", "-"]):
        appliance.refused("search", "AB12CDE", *missing)
    rows(appliance, "AB12CDE")
    entries = [json.loads(line) for line in run(
        [GANTRYCTL, "--socket", appliance.socket, "audit", "show", "--json", *GROUNDS]).splitlines()]
    text = json.dumps(entries)
    searches = [entry for entry in entries if entry.get("verb") == "reads.search"]
    outcomes = [entry["outcome"] for entry in searches]
    check(outcomes.count("refused") == 4, f"refusals in the audit log: {outcomes}")
    check("intent" in outcomes and "done" in outcomes, f"the search itself: {outcomes}")
    check(all(entry["uid"] == os.getuid() for entry in searches), "the peer's uid is not in the entry")
    check("AB12CDE" in text, "the body of the entry does not say what was searched")
    check(appliance.ctl("audit", "verify")[-1]["size"] >= len(entries), "verify saw fewer entries than show")
    export = os.path.join(directory, "export")
    run([GANTRYCTL, "--socket", appliance.socket, "audit", "export", "--out", export, *GROUNDS])
    key = run([GANTRYCTL, "--socket", appliance.socket, "audit", "key"]).strip()
    appliance.stop()
    run([GANTRYCTL, "audit", "verify", "--file", export, "--key", key])
    with open(export, "r+b") as file:
        file.seek(os.path.getsize(export) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    done = subprocess.run([GANTRYCTL, "audit", "verify", "--file", export, "--key", key], capture_output=True, text=True)
    check(done.returncode == 1, f"a flipped bit in the export was not seen: {done.stdout}{done.stderr}")


def refusals_and_deferrals(directory, random):
    appliance = Appliance(directory)
    appliance.start()
    appliance.register(feeds=1, cameras=50, bind=False)
    # Not bound: deferred, nothing acknowledged, nothing lost.
    process = fleet(appliance, rate="2000", cameras=50, more=["--duration", "1", "--drain", "2"])
    process.wait(30)
    result = fleet_result(appliance)
    check(process.returncode == 3 and result["acknowledged"] == 0, f"unbound cameras were acknowledged: {result}")
    check(totals(appliance)["deferred"] > 0 and appliance.ctl("status")[-1]["alarms"], "no alarm of deferred reads")
    # Bound now: the same spool is taken whole.
    appliance.ctl("cameras", "bind", "--feed", "1", "--all")
    result = send(appliance, rate="100", cameras=50)
    before = totals(appliance)
    check(before["stored"] >= result["sent"], f"{result} {before}")
    # Suspended: acknowledged as refused, by reason.
    for camera in range(1, 51):
        appliance.ctl("cameras", "suspend", "--camera", str(camera), "--reason", "not mended in 30 days")
    result = send(appliance, rate="2000", cameras=50)
    check(result["refused_by"]["camera_suspended"] == result["refused"] > 0, f"{result}")
    check(totals(appliance)["stored"] == before["stored"], "reads of suspended cameras were stored")
    appliance.ctl("cameras", "resume", "--camera", "7", "--reason", "mended")
    after = totals(appliance)
    check(after["refused_by"]["camera_suspended"] == after["refused"], f"{after}")
    # A restart still knows what was refused: the books balance.
    appliance.kill()
    appliance.start()
    again = totals(appliance)
    check(again["refused"] == after["refused"] and again["stored"] == after["stored"], f"{after} then {again}")


WEEK_AGO = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 7 * 86400))


def hits_found(appliance, *arguments):
    """All pages of a search for hits, by their numbers."""
    hits = []
    more = []
    while True:
        *page, result = appliance.ctl("hits", "search", "--from", WEEK_AGO, *arguments, *more, *GROUNDS)
        check(result["complete"] and result["count"] == len(page), f"{arguments}: {result}")
        hits += page
        if not result["truncated"]:
            break
        more = ["--cursor", result["cursor"]]
    found = {hit["number"]: hit for hit in hits}
    check(len(found) == len(hits), f"{arguments}: a hit is there twice")
    counted = appliance.ctl("hits", "search", "--from", WEEK_AGO, "--count", *arguments, *GROUNDS)[-1]
    check(counted["count"] == len(found), f"{arguments}: {counted} but {len(found)} found")
    return found


def hits_are_found_again(appliance, arrived, vrm):
    """hits.search has what followers were told, and each hit the same number wherever its read lies."""
    def plain(hit):
        return hit["version"], hit["entry"], hit["kind"], hit["priority"], json.dumps(hit["read"], sort_keys=True)

    first = hits_found(appliance, "--limit", "37")
    check(sorted(map(plain, first.values())) == sorted(map(plain, arrived)), "not what followers were told")
    times = [hit["read"]["capture"] for hit in first.values()]
    check(times == sorted(times, reverse=True), "not the newest first")
    oldest = hits_found(appliance, "--limit", "10000", "--order", "oldest")
    check(oldest == first and list(oldest) != list(first), "another order, other hits")
    exact = hits_found(appliance, "--kind", "exact", "--list", "crime", "--priority-min", "90")
    check(exact == {number: hit for number, hit in first.items() if hit["kind"] == "exact"}, "kind exact")
    check(not hits_found(appliance, "--priority-min", "91"), "there is no such priority")
    mine = hits_found(appliance, vrm)
    check(mine == {number: hit for number, hit in first.items() if key_of(hit["read"]["vrm"]) == key_of(vrm)}, vrm)
    camera = next(iter(first.values()))["read"]["camera"]
    there = hits_found(appliance, "--camera", str(camera))
    check(there == {number: hit for number, hit in first.items() if hit["read"]["camera"] == camera}, f"{camera}")
    cursor = appliance.ctl("hits", "search", "--from", WEEK_AGO, "--limit", "1", *GROUNDS)[-1]["cursor"]
    check("another question" in appliance.refused("hits", "search", "--from", WEEK_AGO, "--kind", "exact", "--cursor",
                                                  cursor, *GROUNDS), "a cursor of another question is taken")
    check("span 31 days" in appliance.refused("hits", "search", "--from", "2020-01-01", *GROUNDS), "years of everyone")
    check("not every name" in appliance.refused("hits", "search", "--from", WEEK_AGO, "--list", "none", *GROUNDS),
          "a list that nobody knows is searched for")
    return first


def lists_are_swapped_under_load(directory, random):
    appliance = Appliance(directory)
    appliance.start()
    appliance.register()
    vrm = run([LOAD, "sample", "--cameras", "200", "--vehicles", "5000", "--seed", "1"]).split("\t")[1].split("\n")[0]
    first = load_list(appliance, "crime", ["vrm,reason,action", f"{vrm},test,stop"], "--priority", "90", "--owner", "Test")
    check(first["version"] == 1, f"{first}")
    appliance.ctl("subscriptions", "add", "room", "--organisation", "Test")
    out = open(os.path.join(directory, "hits"), "wb")
    follower = start([GANTRYCTL, "--socket", appliance.socket, "hits", "follow", "room", *GROUNDS, "--json"],
                     os.path.join(directory, "hits.log"), stdout=out)
    process = fleet(appliance, rate="20000", more=["--duration", "120", "--drain", "20"])

    def arrived():
        with open(os.path.join(directory, "hits")) as file:
            return [json.loads(line) for line in file if line.endswith("}\n") and '"kind"' in line]
    until(arrived, "no hit of the first version")
    for version in range(2, 8):  # each is seen to hit before the next replaces it
        load_list(appliance, "crime", ["vrm,reason,action", f"{vrm},version {version},stop", f"{vrm[:3]}*,partial,report"])
        until(lambda: any(hit["version"] == version for hit in arrived()), f"no hit of version {version}")
    appliance.refused("lists", "load", os.path.join(directory, "crime.csv"), "--name", "crime", "--version", "3")
    until(lambda: len(arrived()) > 50, "too few hits")
    process.send_signal(signal.SIGTERM)  # it makes no more, and waits for what is not acknowledged
    process.wait(60)
    check(process.returncode == 0, f"gantry-load: {fleet_result(appliance)}")
    total = appliance.ctl("status")[-1]["hits"]["total"]
    until(lambda: len(arrived()) >= total, lambda: f"{total} hits, but {len(arrived())} arrived")
    follower.send_signal(signal.SIGINT)
    follower.wait(10)
    hits = arrived()
    check({hit["version"] for hit in hits} == set(range(1, 8)), f"versions seen: {sorted({hit['version'] for hit in hits})}")
    for hit in hits:
        key = key_of(hit["read"]["vrm"])
        check(key is not None and key.startswith(key_of(vrm)[:3]), f"{hit} is no hit")
        check(hit["version"] > 1 or hit["kind"] == "exact", "version 1 had no pattern")
    status = appliance.ctl("status")[-1]
    check(status["hits"]["total"] == len(hits), f"{status['hits']} but {len(hits)} arrived")
    found = hits_are_found_again(appliance, hits, vrm)
    appliance.stop()
    appliance.start()  # sealed now
    check(hits_are_found_again(appliance, hits, vrm) == found, "sealed, hits have other numbers")
    appliance.ctl("lists", "remove", "--name", "crime")
    before = appliance.ctl("status")[-1]["hits"]["total"]
    send(appliance, name="later")
    check(appliance.ctl("status")[-1]["hits"]["total"] == before, "a removed list still hits")


def workers_come_and_go(directory, random):
    """Two workers, one busy queue: datagrams cross over to their owners. Then one worker takes all up, then two again."""
    appliance = Appliance(directory, **{"appliance.workers": "2", "storage.journal_roll": "3600"})
    comparison = Comparison(appliance)
    appliance.start()
    appliance.register(feeds=4)
    send(appliance, seconds="2", more=["--queues", "2", "--memory", "320"])
    reads = appliance.ctl("counters")[-1]["reads"]
    check(reads["crossed"] > 100 and reads["cross_dropped"] < reads["crossed"], f"{reads}")
    workers = appliance.ctl("status")[-1]["workers"]
    check(len(workers) == 2 and all(worker["reads"] > 1000 for worker in workers), f"{workers}")
    for count in ("1", "2"):
        appliance.kill()
        appliance.settings["appliance.workers"] = count
        appliance.start()
        send(appliance, name=f"with{count}", more=["--queues", count, "--memory", "320"])
    appliance.stop()
    acknowledged, held = comparison.compare()
    check(acknowledged == held > 30000, f"{acknowledged} acknowledged, {held} held")


def a_fleet_outlives_the_appliance(directory, random):
    """One gantry-load, three lives of gantryd: it says hello again, and all it sent is there once."""
    appliance = Appliance(directory)
    comparison = Comparison(appliance)
    appliance.start()
    appliance.register()
    process = fleet(appliance, rate="5000", more=["--duration", "120", "--drain", "30"])
    for life in range(3):
        under_load(appliance, process)
        if life < 2:
            appliance.kill()
            appliance.start()
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    result = fleet_result(appliance)
    check(process.returncode == 0 and result["violations"] == 0, f"{result}")
    appliance.stop()
    acknowledged, held = comparison.compare()
    check(acknowledged == held == result["sent"], f"{acknowledged} acknowledged, {held} held, {result['sent']} sent")


def keys_are_rotated(directory, random):
    appliance = Appliance(directory)
    appliance.start()
    appliance.register(feeds=1)
    send(appliance, rate="2000")
    with open(appliance.feeds) as file:
        old = file.read()
    new = appliance.ctl("feeds", "rotate", "--feed", "1")[-1]["key"]
    send(appliance, name="old", rate="2000")
    with open(appliance.feeds, "w") as file:
        file.write(f"1 {new}\n")
    send(appliance, name="new", rate="2000")
    appliance.ctl("feeds", "retire", "--feed", "1")
    send(appliance, name="retired", rate="2000")
    for text, verb in ((old, None), (f"1 {new}\n", "remove")):
        if verb is not None:
            appliance.ctl("feeds", verb, "--feed", "1")
        with open(appliance.feeds, "w") as file:
            file.write(text)
        process = fleet(appliance, name="refused", rate="100", ledger=False, more=["--reads", "20", "--drain", "1"])
        process.wait(60)
        check(fleet_result(appliance, "refused")["acknowledged"] == 0, f"a dead key was taken ({verb})")
    feed = appliance.ctl("counters")[-1]["feed"]
    check(feed["drop_bad_tag"] > 0 and feed["drop_unknown_feed"] > 0, f"{feed}")


def nothing_in_clear(directory, random):
    """No VRM sent, listed or searched for, as text, as key or in UTF-16, anywhere under the data directory."""
    appliance = Appliance(directory, **{"storage.journal_roll": "2"})
    appliance.start()
    appliance.register()
    lines = run([LOAD, "list", "--cameras", "200", "--vehicles", "5000", "--seed", "1", "--entries", "300", "--patterns",
                 "10"]).splitlines()
    load_list(appliance, "clear", lines)
    wanted = [line.split(",")[0].strip('"') for line in lines[1:]] + ["ZZ99XQJ"]
    rows(appliance, "ZZ99XQJ")
    send(appliance, seconds="3", more=["--foreign", "0"])
    time.sleep(0.5)
    needles = set()
    for vrm in wanted:
        key = key_of(vrm) if "?" not in vrm and "*" not in vrm else vrm
        if len(vrm) < 6:
            continue  # too short to be told from chance in gigabytes of ciphertext
        for text in {vrm, key}:
            needles |= {text.encode(), text.encode("utf-16-le"), text.lower().encode(), text.encode().hex().encode()}
    patterns = os.path.join(directory, "needles")
    with open(patterns, "wb") as file:
        file.write(b"\n".join(sorted(needles)) + b"\n")

    def in_clear(*where):
        """Files in which a needle stands; grep looks for thousands of them in one pass."""
        done = subprocess.run(["grep", "-rlaF", "-f", patterns, *where], capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C"})
        check(done.returncode in (0, 1), f"grep: {done.stderr}")
        return done.stdout.splitlines()

    # Each of them amid bytes of no text is found: then silence below means something.
    control = os.path.join(directory, "control")
    os.mkdir(control)
    for number, needle in enumerate(sorted(needles)):
        with open(os.path.join(control, str(number)), "wb") as file:
            file.write(os.urandom(500) + b"\0\xff" + needle + b"\xff\0" + os.urandom(500))
    check(len(in_clear(control)) == len(needles) > 300, "needles would not be found")
    for phase in ("running", "stopped"):
        if phase == "stopped":
            appliance.stop()
        found = in_clear(appliance.data, appliance.log)
        check(not found, f"{phase}: VRMs in clear in {found}")


def a_full_disk(directory, random):
    """A small file system fills: credit goes to zero, status says why; a purge makes room and service resumes."""
    if os.geteuid() != 0:
        raise Skip("a small file system is mounted: needs root")
    mount = os.path.join(directory, "disk")
    os.mkdir(mount)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", mount], capture_output=True).returncode != 0:
        raise Skip("tmpfs cannot be mounted here")
    try:
        appliance = Appliance(directory, **{"appliance.data_directory": os.path.join(mount, "data"),
                                            "storage.memtable": "64", "storage.catalog_map": "64"})
        appliance.data = os.path.join(mount, "data")
        comparison = Comparison(appliance)
        appliance.start()
        appliance.register()
        process = fleet(appliance, rate="300000", more=["--duration", "60", "--drain", "3", "--late", "60", "--backlog", "0"])

        def filled():
            status = appliance.ctl("status")[-1]
            return status if status["storage"]["state"] == "disk full" and status["workers"][0]["credit"] == 0 else None
        full = until(filled, lambda: f"the disk did not fill: {appliance.ctl('status')[-1]['storage']}", 45)
        check(full["storage"]["why"], f"{full['storage']}")
        time.sleep(1)
        acknowledged = totals(appliance)["acknowledged"]
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        days = appliance.ctl("purge", "plan")[-1]["days"]
        check(days, "no past day to purge")
        appliance.purge(days[0]["day"], "room")
        until(lambda: appliance.ctl("status")[-1]["workers"][0]["credit"] > 0,
              lambda: f"service did not resume: {appliance.ctl('status')[-1]['storage']}", 20)
        process = fleet(appliance, rate="2000", more=["--duration", "1", "--drain", "40"])
        process.wait(60)
        result = fleet_result(appliance)
        check(process.returncode == 0, f"not drained after the purge: {result}")
        check(totals(appliance)["acknowledged"] > acknowledged, "nothing was taken after the purge")
        appliance.stop()
        comparison.compare({day_number(days[0]["day"])})
    finally:
        end_all()
        subprocess.run(["umount", "-l", mount], capture_output=True)


def a_rotten_byte(directory, random):
    """A byte rots in an acknowledged journal frame: reported as damage, later frames kept, the rest served."""
    appliance = Appliance(directory, **{"storage.journal_roll": "3600", "storage.journal_file": "64"})
    appliance.start()
    appliance.register()
    result = send(appliance, seconds="2")
    appliance.kill()
    journals = os.path.join(appliance.data, "journal")
    name = max(os.listdir(journals), key=lambda n: os.path.getsize(os.path.join(journals, n)) if "0001." in n else 0)
    path = os.path.join(journals, name)
    with open(path, "r+b") as file:
        offset = 4096 * 12 + 160  # behind a frame's header, and before the padding of the smallest body
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x40]))
    report = appliance.fsck()
    check(not report["clean"] and report["damage"], "gantry-fsck did not see it")
    held = report["segment_rows"] + report["journal_rows"]
    check(0 < result["sent"] - held < result["sent"] / 4, f"{held} of {result['sent']} reads survived one rotten byte")
    appliance.start()
    status = appliance.ctl("status")[-1]
    check(status["storage"]["damage_count"] > 0 and status["storage"]["damage"], "status does not tell of the damage")
    check(status["storage"]["held_reads"] == held, f"{status['storage']['held_reads']} held, {held} survive in the file")
    send(appliance, name="after")


def an_idle_core(directory, random):
    appliance = Appliance(directory)
    appliance.start()
    time.sleep(2)
    ticks = os.sysconf("SC_CLK_TCK")

    def used():
        with open(f"/proc/{appliance.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    before, begun = used(), time.monotonic()
    time.sleep(3)
    share = (used() - before) / (time.monotonic() - begun)
    check(share < 0.15, f"an idle appliance used {100 * share:.1f} % of a core")
    print(f" [{100 * share:.1f} % of a core]", end="")


def counters_on_the_telemetry_socket(directory, random):
    import re
    import socket
    appliance = Appliance(directory)
    appliance.start()
    appliance.register()
    result = send(appliance)
    with open(appliance.log) as log:
        name = re.search(r"telemetry (\S+)", log.read()).group(1)
    root = os.environ.get("RUNTIME_DIRECTORY") or ("/var/run" if os.geteuid() == 0
                                                   else os.environ.get("XDG_RUNTIME_DIR", "/tmp"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(os.path.join(root, "dpdk", name, "dpdk_telemetry.v2"))
        client.recv(4096)
        client.send(b"/gantry/reads")
        answer = json.loads(client.recv(65536))["/gantry/reads"]
    check(answer["durable_reads"] == result["sent"], f"{answer}")
    check(answer == appliance.ctl("counters")[-1]["reads"], "the telemetry socket and the management socket disagree")


def garbage_on_the_socket(directory, random):
    import socket
    appliance = Appliance(directory)
    appliance.start()
    good = b'{"jsonrpc":"2.0","id":1,"method":"reads.search","params":{"vrm":"AB12","limit":5,"purpose":"serious"}}\n'
    for _ in range(300):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(appliance.socket)
            client.settimeout(2)
            line = bytearray(good)
            for _ in range(random.randint(1, 8)):
                line[random.randrange(len(line))] = random.randrange(256)
            try:
                client.sendall(bytes(line[:random.randint(1, len(line))]) + b"\n")
                client.recv(65536)
            except OSError:
                pass
    check(appliance.ctl("status")[-1]["state"] == "running", "garbage on the socket was not survived")


def configuration_is_checked(directory, random):
    done = subprocess.run([GANTRYD, "--set", "port.udp_port=99999"], capture_output=True, text=True)
    check(done.returncode == 2 and "port.udp_port" in done.stderr, f"{done}")
    done = subprocess.run([GANTRYD, "--check", "--set", f"appliance.data_directory={directory}/d", "--set",
                           f"appliance.master_key={directory}/k", "--set", f"appliance.run_directory={directory}/r"],
                          capture_output=True, text=True)
    check(done.returncode == 0 and "Ready." in done.stdout, f"{done}")
    done = subprocess.run([GANTRYD, "--check", "--set", "port.port=af_packet", "--set", "port.device=no-such-if"],
                          capture_output=True, text=True)
    check(done.returncode == 1 and "MEND" in done.stdout, f"{done}")
    check("storage.commit" in run([GANTRYD, "--settings-markdown"]), "the settings' table is empty")
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/operations.md")) as file:
        page = file.read()
    check(run([GANTRYD, "--settings-markdown"]) in page, "docs/operations.md does not hold gantryd --settings-markdown")


if __name__ == "__main__":
    sys.exit(main("end to end", [
        ("search agrees with a plain model, sealed or not", search_agrees_with_a_plain_model),
        ("pages follow each other by cursor", pages_by_cursor),
        ("grounds are asked for, and everything is audited", grounds_are_asked_for_and_audited),
        ("refusals and deferrals", refusals_and_deferrals),
        ("lists are swapped under load", lists_are_swapped_under_load),
        ("workers come and go, datagrams cross over", workers_come_and_go),
        ("a fleet outlives the appliance", a_fleet_outlives_the_appliance),
        ("keys are rotated, retired, removed", keys_are_rotated),
        ("nothing in clear under the data directory", nothing_in_clear),
        ("a full disk", a_full_disk),
        ("a rotten byte in a journal", a_rotten_byte),
        ("an idle appliance", an_idle_core),
        ("counters on DPDK's telemetry socket", counters_on_the_telemetry_socket),
        ("garbage on the socket", garbage_on_the_socket),
        ("configuration is checked", configuration_is_checked),
    ]))
