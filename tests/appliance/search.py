"""Search as its users ask for it, through the whole appliance: every kind of question against a plain model made from the
files, consecutive reads, the rules of time, budgets, cancelling, CSV, and what segments.show says."""

import csv
import functools
import io
import json
import math
import os
import socket
import subprocess
import sys
import time

from compare import dump_rows
from rig import GANTRYCTL, GROUNDS, LOAD, Appliance, check, fleet, fleet_result, iso, key_of, main, matches, micros, run

CLASSES = ["0ODQ", "1I", "2Z", "5S", "8B", "6G"]
MOVING = ("mobile", "dashboard", "portable")
DAY_US = 86400 * 1000000


def send(appliance, name="fleet", rate="20000", more=("--duration", "1"), **kind):
    process = fleet(appliance, name=name, rate=rate, more=["--drain", "30", *more], **kind)
    process.wait(90)
    check(process.returncode == 0, f"gantry-load: {fleet_result(appliance, name)}")
    return fleet_result(appliance, name)


def ask(appliance, *arguments, code=0):
    """gantryctl with grounds and --json, whatever it ends with: rows, result."""
    done = subprocess.run([GANTRYCTL, "--socket", appliance.socket, *arguments, "--json", *GROUNDS], capture_output=True,
                          text=True, timeout=120)
    check(done.returncode == code, f"{arguments} ended with {done.returncode}: {done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[:-1], lines[-1]


def ask_all(appliance, *arguments):
    """All pages of the answer."""
    rows, result = ask(appliance, *arguments, "--limit", "10000")
    while result["truncated"]:
        more, result = ask(appliance, *arguments, "--limit", "10000", "--cursor", result["cursor"])
        rows += more
    check(result["complete"], f"{arguments}: {result}")
    return rows


@functools.cache
def fold(key):
    for group in CLASSES:
        for character in group:
            key = key.replace(character, group[0])
    return key


def metres(a, b):
    """Along a sphere: good to half a per cent, so borders are kept away from."""
    lat1, lon1, lat2, lon2 = map(math.radians, (*a, *b))
    of = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371008.8 * math.asin(math.sqrt(of))


def in_polygon(polygon, point):
    inside = False
    for (lat1, lon1), (lat2, lon2) in zip(polygon, polygon[1:] + polygon[:1]):
        if (lat1 <= point[0]) != (lat2 <= point[0]) and \
                point[1] < lon1 + (lon2 - lon1) * (point[0] - lat1) / (lat2 - lat1):
            inside = not inside
    return inside


class Model:
    """The reads as the files have them, and the cameras as the register has them."""

    def __init__(self, appliance):
        path = os.path.join(appliance.directory, "model")
        appliance.fsck(path)
        self.reads = []
        for _, f, _ in dump_rows(path):
            self.reads.append({"capture": int(f[0]), "camera": int(f[1]), "text": f[2], "place": (int(f[3]), int(f[4])),
                               "read": f[5] == "0", "flags": int(f[9])})
        os.unlink(path)
        with open(os.path.join(appliance.directory, "cameras.csv")) as file:
            self.cameras = {int(row["camera"]): row for row in csv.DictReader(file)}

    def place(self, read):
        """Where an area search takes the read to be."""
        camera = self.cameras[read["camera"]]
        if camera["type"] in MOVING and read["flags"] & 1:
            return tuple(e7 / 1e7 for e7 in read["place"])
        return float(camera["lat"]), float(camera["lon"])

    def answer(self, wanted):
        return sorted((read["capture"], read["camera"]) for read in self.reads if wanted(read))


def brief(found):
    return sorted((micros(row["capture"]), row["camera"]) for row in found)


def every_kind_agrees_with_a_plain_model(directory, random):
    appliance = Appliance(directory, **{"storage.journal_roll": "3600"})
    appliance.start()
    appliance.register()
    mix = ["--reads", "20000", "--not-read", "3", "--tests", "2", "--misread", "20", "--foreign", "1"]
    send(appliance, more=mix)
    appliance.stop()
    appliance.start()
    send(appliance, name="second", more=mix)  # these stay in the memtable
    check(appliance.ctl("status")[-1]["storage"]["unsealed_reads"] > 5000, "nothing is in the memtable")

    plates = [line.split(",")[0].strip('"') for line in run(
        [LOAD, "list", "--cameras", "200", "--vehicles", "5000", "--seed", "1", "--entries", "9", "--patterns",
         "0"]).splitlines()[1:]]
    questions = []  # what was asked, the answer, and the model's idea of a read that belongs to it
    for plate in plates:
        key = key_of(plate)
        if key is None or len(key) < 4:
            continue
        for options in ([plate], ["?" + plate[1:]], [plate[:3] + "*"], ["*" + plate[-4:]]):
            pattern = fold(key_of(options[0].replace("?", "").replace("*", "")) if "?" not in options[0] and
                           "*" not in options[0] else options[0].replace(" ", "").replace("O", "0").replace("I", "1"))
            questions.append((["search", *options, "--tolerant"],
                              lambda read, pattern=pattern: read["read"] and key_of(read["text"]) is not None and
                              matches(pattern, fold(key_of(read["text"])))))
        questions.append((["search", plate, "--strict"],
                          lambda read, plate=plate: read["read"] and read["text"] == plate))
        questions.append((["search", plate[:4] + "*", "--strict"],
                          lambda read, plate=plate: read["read"] and matches(plate[:4] + "*", read["text"])))
    questions.append((["search", "--not-read"], lambda read: not read["read"]))
    with open(os.path.join(directory, "cameras.csv")) as file:
        cameras = list(csv.DictReader(file))
    moving = [camera for camera in cameras if camera["type"] in MOVING]
    for camera in random.sample(cameras, 3) + random.sample(moving, 3):
        centre = float(camera["lat"]), float(camera["lon"])
        radius = random.choice([700, 1500, 20000])
        questions.append((["search", "--circle", f"{centre[0]},{centre[1]},{radius}"],
                          lambda read, c=centre, r=radius: metres(c, where(read)) <= r))
        corners = [(round(centre[0] + math.sin(i) * d / 100, 7), round(centre[1] + math.cos(i) * d / 60, 7))
                   for i, d in ((0.1, 1), (1.3, 0.4), (2.2, 1), (3.9, 0.7), (5.1, 1))]
        questions.append((["search", "--polygon", " ".join(f"{lat},{lon}" for lat, lon in corners)],
                          lambda read, p=corners: in_polygon(p, where(read))))
    answers = []
    for question, _ in questions:
        found = ask_all(appliance, *question)
        count = ask(appliance, *question, "--count")[1]
        check(count["count"] == len(found), f"{question}: {count['count']} counted, {len(found)} found")
        answers.append(found)
    spans = [(camera, random.choice([1, 40, 250]), span) for camera in random.sample(range(1, 201), 6)
             for span in (["--from", iso(int(time.time() * 1e6) - random.randint(1, 200000) * 1000000)], ["--before", iso(
                 int(time.time() * 1e6) + 1000000)], [])]
    runs = [ask(appliance, "consecutive", str(camera), "--count", str(count), *span) for camera, count, span in spans]
    appliance.stop()

    model = Model(appliance)
    where = model.place
    total = 0
    for (question, wanted), found in zip(questions, answers):
        expected = model.answer(wanted)
        if "--circle" in question:  # the model is coarse at the border
            centre, radius = [float(part) for part in question[2].split(",")[:2]], float(question[2].split(",")[2])
            edge = set(model.answer(lambda read: abs(metres(centre, where(read)) - radius) < radius / 100))
            check(set(brief(found)) ^ set(expected) <= edge, f"{question}: {len(found)} found, {len(expected)} expected")
        elif "--strict" not in question and "--tolerant" in question and any(not row["vrm"].isascii() for row in found):
            pass
        else:
            check(brief(found) == expected, f"{question}: {len(found)} found, {len(expected)} expected")
        total += len(found)
    check(total > 500, f"the questions found only {total} reads")
    for (camera, count, span), (found, result) in zip(spans, runs):
        times = sorted(read["capture"] for read in model.reads if read["camera"] == camera)
        if "--from" in span:
            times = [us for us in times if us >= micros(span[1])][:count]
        else:
            times = times[-count:]
        check([micros(row["capture"]) for row in found] == times, f"consecutive {camera} {count} {span}: {len(found)} found")
        check(result["count"] == len(found) and result["camera"] == camera, f"{result}")
        check(result["not_read"] == sum(row["kind"] == "not-read" for row in found), f"{result}")
        check(result["tests"] == sum("test" in row["flags"] for row in found), f"{result}")


def rows_say_everything(directory, random):
    """One row in its three forms: JSON, CSV, table."""
    appliance = Appliance(directory)
    appliance.start()
    appliance.register()
    send(appliance, more=["--duration", "1", "--tests", "30", "--not-read", "10"])
    with open(os.path.join(directory, "cameras.csv")) as file:
        cameras = {int(row["camera"]): row for row in csv.DictReader(file)}
    found, _ = ask(appliance, "search", "--limit", "2000")
    seen = {"own": 0, "test": 0, "not-read": 0}
    for row in found:
        check(row["camera_name"] == cameras[row["camera"]]["name"] and len(row["id"]) == 32, f"{row}")
        check((row["position"] == "own") == ("position" in row["flags"]), f"{row}")
        check(set(row["images"]) <= {"plate", "overview"}, f"{row}")
        if row["position"] == "register":
            check(abs(row["lat"] - float(cameras[row["camera"]]["lat"])) < 1e-9, f"{row}")
        seen["own"] += row["position"] == "own"
        seen["test"] += "test" in row["flags"]
        seen["not-read"] += row["kind"] == "not-read" and row["vrm"] == "" and row["key"] == ""
    check(all(seen.values()), f"{seen}")
    text = run([GANTRYCTL, "--socket", appliance.socket, "search", "--limit", "2000", "--csv", *GROUNDS])
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    check([row["id"] for row in table] == [row["id"] for row in found], f"{len(table)} lines of CSV")
    for line, row in zip(table, found):
        check(line["flags"].split() == row["flags"] and line["vrm"] == row["vrm"] and line["capture"] == row["capture"] and
              line["images"].split() == row["images"] and int(line["camera"]) == row["camera"] and
              abs(float(line["lat"]) - row["lat"]) < 1e-7, f"{line} is not {row}")
    text = run([GANTRYCTL, "--socket", appliance.socket, "search", "--limit", "50", *GROUNDS])
    check(all(word in text for word in ("CAPTURED", "PLACE", "test", "not-read", found[0]["id"])), text)
    text = run([GANTRYCTL, "--socket", appliance.socket, "consecutive", "7", "--count", "3", "--csv", *GROUNDS])
    check(len(text.splitlines()) == 4 and text.startswith("id,capture,"), text)


def time_is_bounded(directory, random):
    """What is older than the retention is hidden by the clock at once, held or not; open searches are short."""
    appliance = Appliance(directory)
    appliance.start()
    appliance.register()
    now = int(time.time() * 1e6)
    old = time.strftime("%Y-%m-%d", time.gmtime(now / 1e6 - 40 * 86400))
    send(appliance, name="old", rate="max", more=["--reads", "5000", "--day", old, "--punctual"])
    send(appliance, more=["--duration", "1", "--punctual"])
    week = ["--from", iso(now - 44 * DAY_US), "--to", iso(now - 37 * DAY_US)]
    found, result = ask(appliance, "search", *week, "--limit", "500")
    check(len(found) == 500, "the old day is not there")
    camera = str(found[0]["camera"])
    plate = next(row["vrm"] for row in found if row["vrm"].isascii() and len(row["vrm"]) > 4)
    recent = ask(appliance, "search", "--count", "--from", iso(now - DAY_US))[1]["count"]
    # Open: without a beginning 31 days, with too early a one refused; a place or a plate lifts it.
    for open_question in ([], ["*"], ["?????*"], ["*A*"], ["--not-read"]):
        result = ask(appliance, "search", *open_question, "--count")[1]
        check(abs(micros(result["to"]) - micros(result["from"]) - 31 * DAY_US) < 1000000, f"{open_question}: {result}")
        check(result["count"] <= recent, f"{open_question} reached back: {result}")
        check(abs(micros(result["to"]) - time.time() * 1000000 - 600 * 1000000) < 30000000, f"no `to`: {result}")
        said = appliance.refused("search", *open_question, "--from", iso(now - 60 * DAY_US), *GROUNDS)
        check("31 days" in said and "-32001" in said, said)
    for closed_question in ([plate], [plate[:2] + "*"], ["--camera", camera], ["*", "--circle", "54,-2,1000000"]):
        result = ask(appliance, "search", *closed_question, "--count", "--from", iso(now - 60 * DAY_US))[1]
        check(result["count"] > 0, f"{closed_question} found nothing")
    appliance.stop()

    appliance.settings["reads.retention"] = "20"
    appliance.start()
    for verb in (["search", plate, "--to", iso(now - 37 * DAY_US)], ["search", "--count", *week],
                 ["consecutive", camera, "--before", iso(now - 37 * DAY_US)]):
        said = appliance.refused(*verb, *GROUNDS)
        check("R34" in said and "20 days" in said and "-32001" in said, said)
    result = ask(appliance, "search", plate, "--from", iso(now - 60 * DAY_US), "--limit", "10000")
    check(micros(result[1]["from"]) >= now - 20 * DAY_US, f"{result[1]}")
    check(all(micros(row["capture"]) >= now - 20 * DAY_US for row in result[0]), "an over-age read was shown")
    check(ask(appliance, "search", "--count")[1]["count"] <= recent, "over-age reads were counted")
    found, result = ask(appliance, "consecutive", camera, "--count", "10000", "--from", iso(now - 60 * DAY_US))
    check(all(micros(row["capture"]) >= now - 20 * DAY_US for row in found), "an over-age read was given")
    check(any(row["day"] == old for row in appliance.ctl("segments", "show", "--by-day")[:-1]), "the day is unknown")
    check("no 9999 in the register" in appliance.refused("consecutive", "9999", *GROUNDS), "a camera that nobody knows")
    said = appliance.refused("search", "A?", "--from", iso(now), "--to", iso(now - 1), *GROUNDS)
    check("from is not before to" in said, said)


def budgets_and_cancel(directory, random):
    appliance = Appliance(directory, **{"search.rows_max": "1000000"})
    appliance.start()
    appliance.register()
    send(appliance, rate="50000")
    whole = ask(appliance, "search", "*1*", "--count")[1]
    check("stopped" not in whole and whole["rows_seen"] > 1000 and whole["elapsed_ms"] > 0, f"{whole}")
    part = ask(appliance, "search", "--count", "--rows-max", "1000", code=4)[1]
    check(part["stopped"] == "rows_max" and not part["complete"] and part["rows_seen"] < 20000, f"{part}")
    check(part["count"] < ask(appliance, "search", "--count")[1]["count"], f"{part}")
    said = subprocess.run([GANTRYCTL, "--socket", appliance.socket, "search", "--rows-max", "1000", *GROUNDS],
                          capture_output=True, text=True)
    check(said.returncode == 4 and "INCOMPLETE" in said.stderr and "rows_max" in said.stderr, said.stderr)
    appliance.stop()
    appliance.settings["search.rows_max"] = "1000"  # a request cannot raise what the settings allow
    appliance.start()
    part = ask(appliance, "search", "--count", "--rows-max", "100000000", code=4)[1]
    check(part["stopped"] == "rows_max" and part["segments"] > 0 and part["pages_read"] > 0, f"{part}")
    part = ask(appliance, "search", "--count", "--bytes-max", "5000", code=4)[1]
    check(part["stopped"] == "bytes_max", f"{part}")
    appliance.stop()
    appliance.settings["search.rows_max"] = "1000000000"
    appliance.start()
    # A search that waits for its reader's credit is under way until it is cancelled.
    params = {"limit": 10000, "window": 1, "purpose": "serious", "case": "TEST-1", "reason": "testing the cancel"}
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(appliance.socket)
        client.settimeout(10)
        lines = client.makefile("rw", encoding="utf-8", newline="\n")
        lines.write(json.dumps({"jsonrpc": "2.0", "id": 7, "method": "reads.search", "params": params}) + "\n")
        lines.flush()
        while json.loads(lines.readline()).get("method") != "reads.rows":
            pass
        begun = time.monotonic()
        lines.write(json.dumps({"jsonrpc": "2.0", "method": "cancel", "params": {"id": 7}}) + "\n")
        lines.flush()
        answer = json.loads(lines.readline())
        check(answer.get("id") == 7 and answer["error"]["code"] == -32004, f"{answer}")
        check(time.monotonic() - begun < 2, "a cancel took two seconds")


def segments_are_shown(directory, random):
    appliance = Appliance(directory, **{"storage.journal_roll": "3600"})
    appliance.start()
    appliance.register()
    for name in ("one", "two"):
        send(appliance, name=name)
        appliance.stop()
        appliance.start()
    *segments, totals = appliance.ctl("segments", "show")
    *days, again = appliance.ctl("segments", "show", "--by-day")
    check(totals == again and totals["segments"] == len(segments) and totals["days"] == len(days), f"{totals} {again}")
    check(sum(row["reads"] for row in segments) == totals["reads"] == sum(row["reads"] for row in days), f"{totals}")
    check(sum(row["bytes"] for row in segments) == totals["bytes"], f"{totals}")
    check(abs(totals["bytes_per_read"] - totals["bytes"] / totals["reads"]) < 1e-6, f"{totals}")
    for row in segments:
        check(row["made_of"] in ("journals", "segments") and row["parents"] > 0 and row["state"] == "open", f"{row}")
        check(row["first"] <= row["last"] and row["first"][:10] == row["day"] and len(row["segment"]) == 16, f"{row}")
    day = max(days, key=lambda row: row["reads"])
    *some, sums = appliance.ctl("segments", "show", "--day", day["day"])
    check({row["day"] for row in some} == {day["day"]} and sums["reads"] == day["reads"], f"{sums} {day}")
    *some, sums = appliance.ctl("segments", "show", "--from", day["day"], "--to", day["day"], "--by-day")
    check(len(some) == 1 and some[0] == day, f"{some} {day}")
    check(appliance.ctl("segments", "show", "--to", "2001-01-01")[-1]["segments"] == 0, "segments of 2001")
    appliance.refused("segments", "show", "--day", day["day"], "--from", day["day"])
    appliance.refused("segments", "show", "--from", "2026-02-02", "--to", "2026-02-01")
    text = run([GANTRYCTL, "--socket", appliance.socket, "segments", "show"])
    check("B/READ" in text and segments[0]["segment"] in text and "bytes_per_read" in text, text)
    appliance.stop()
    check(appliance.fsck()["segment_rows"] == totals["reads"], f"{totals}")


if __name__ == "__main__":
    sys.exit(main("search", [
        ("every kind agrees with a plain model", every_kind_agrees_with_a_plain_model),
        ("rows say everything, in three forms", rows_say_everything),
        ("time is bounded", time_is_bounded),
        ("budgets, and a cancel", budgets_and_cancel),
        ("segments are shown", segments_are_shown),
    ]))
