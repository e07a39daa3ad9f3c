"""The second half of appliance/quickstart: drives the built programs as an operator would and adds up what they say."""

import argparse
import atexit
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GANTRYD = os.path.join(ROOT, "build/appliance/gantryd")
GANTRYCTL = os.path.join(ROOT, "build/mgmt/gantryctl")
LOAD = os.path.join(ROOT, "build/bench/gantry-load")
FSCK = os.path.join(ROOT, "build/storage/gantry-fsck")
GROUNDS = ["--purpose", "serious", "--case", "QUICKSTART-1", "--reason", "trying out a new appliance"]
FEEDS = 4


def say(text):
    print(text, file=sys.stderr, flush=True)


class Failed(Exception):
    pass


class Quickstart:
    def __init__(self, options):
        self.options = options
        self.made_directory = options.data is None
        self.directory = os.path.abspath(options.data or tempfile.mkdtemp(prefix="gantry-quickstart-"))
        self.run_directory = os.path.join(self.directory, "run")
        self.socket = os.path.join(self.run_directory, "gantry.sock")
        self.processes = []
        os.umask(0o077)  # lists and hits are personal data, here too
        os.makedirs(self.directory, exist_ok=True)

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def ctl(self, *arguments, parse=True):
        command = [GANTRYCTL, "--socket", self.socket, *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"gantryctl {' '.join(arguments[:2])}: {done.stderr.strip() or done.stdout.strip()}")
        if not parse:
            return done.stdout
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    def start(self, command, name, **more):
        log = open(self.path(name + ".log"), "ab")
        process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **more)
        process.name = name
        self.processes.append(process)
        return process

    def tail(self, name):
        try:
            with open(self.path(name + ".log"), errors="replace") as log:
                return "".join(log.readlines()[-15:])
        except OSError:
            return ""

    def pinned(self, core, command):
        """With two cores or more the appliance's worker and the fleet each get one of their own."""
        if os.cpu_count() < 2 or shutil.which("taskset") is None:
            return command
        return ["taskset", "-c", str(core), *command]

    def settings(self):
        settings = {
            "appliance.data_directory": self.path("data"),
            "appliance.master_key": self.path("key", "master.key"),
            "appliance.run_directory": self.run_directory,
        }
        if os.cpu_count() >= 2:
            settings["appliance.first_worker_core"] = "0"
        return [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]

    def start_appliance(self):
        if os.path.exists(self.socket):
            try:
                self.ctl("status")
            except Failed:
                pass  # left behind by one that died
            else:
                raise Failed(f"an appliance serves {self.directory} already; stop it, or give another --data")
        command = [GANTRYD, *self.settings()]
        say("starting the appliance: a vhost port, no hugepages, data in " + self.path("data"))
        self.appliance = self.start(command, "gantryd", stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        last = "no socket"
        while True:
            if self.appliance.poll() is not None:
                raise Failed("gantryd ended at once:\n" + self.tail("gantryd"))
            if os.path.exists(self.socket):
                try:
                    self.ctl("status")
                    return
                except Failed as failure:
                    last = failure
            if time.monotonic() > deadline:
                raise Failed(f"gantryd does not answer: {last}\n" + self.tail("gantryd"))
            time.sleep(0.05)

    def fleet_options(self):
        return ["--seed", str(self.options.seed), "--cameras", str(self.options.cameras), "--vehicles",
                str(self.options.vehicles)]

    def load(self, *arguments):
        done = subprocess.run([LOAD, *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"gantry-load {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def register(self):
        """Feeds with their keys, cameras, bindings, a list: what an operator does once."""
        known = {feed["feed"] for feed in self.ctl("feeds", "show")[-1]["feeds"]}
        if not known:
            say(f"registering {FEEDS} feeds and {self.options.cameras} cameras")
            with open(self.path("cameras.csv"), "w") as file:
                file.write(self.load("cameras", *self.fleet_options()))
            self.ctl("cameras", "load", self.path("cameras.csv"))
            descriptor = os.open(self.path("feeds"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                for feed in range(1, FEEDS + 1):
                    answer = self.ctl("feeds", "add", "--feed", str(feed), "--name", f"quickstart {feed}", "--organisation",
                                      "Quickstart Police")[-1]
                    file.write(f"{feed} {answer['key']}\n")
                    self.ctl("cameras", "bind", "--feed", str(feed), "--all")
        say("loading a list of vehicles of interest: exact and partial VRMs")
        with open(self.path("list.csv"), "w") as file:
            file.write(self.load("list", "--entries", "50", "--patterns", "5", *self.fleet_options()))
        self.ctl("lists", "load", self.path("list.csv"), "--name", "quickstart", "--priority", "80", "--owner",
                 "Quickstart Police")

    def follow(self):
        self.hits_path = self.path("hits.jsonl")
        if not any(row["name"] == "quickstart" for row in self.ctl("subscriptions", "show")[-1]["subscriptions"]):
            self.ctl("subscriptions", "add", "quickstart", "--organisation", "Quickstart Police")
        out = open(self.hits_path, "wb")
        self.follower = self.start([GANTRYCTL, "--socket", self.socket, "hits", "follow", "quickstart", *GROUNDS,
                                    "--json"], "hits", stdout=out)

    def show_hits(self, offset, limit):
        """The newest hits since `offset`, a few at most; returns the new offset."""
        with open(self.hits_path, "rb") as file:
            file.seek(offset)
            text = file.read()
        end = text.rfind(b"\n") + 1
        lines = text[:end].splitlines()
        for line in lines[-limit:] if limit else []:
            try:
                hit = json.loads(line)
            except ValueError:
                continue
            read = hit.get("read", {})
            say(f"    hit  {read.get('vrm', ''):<12} {hit.get('kind', ''):<8} list {hit.get('list_name', '')}  "
                f"{read.get('camera_name') or ''}")
        return offset + end

    def send(self):
        arguments = [LOAD, "run", "--feeds", self.path("feeds"), "--transport", "virtio:" + self.path("run", "port.sock"),
                     "--rate", str(self.options.rate), "--dual", "1", "--not-read", "1", "--duration", f"{self.options.duration:g}", "--spool",
                     self.path("spool"), "--json", *self.fleet_options()]
        say(f"starting the fleet for {self.options.duration:g} s at "
            + ("full speed" if self.options.rate == "max" else f"{self.options.rate} reads a second"))
        fleet = self.start(self.pinned(1, arguments), "gantry-load", stdout=open(self.path("load.json"), "wb"))
        offset = 0
        before = None
        while fleet.poll() is None:
            time.sleep(1)
            try:
                status = self.ctl("status")[-1]
            except Failed:
                if self.appliance.poll() is not None:
                    raise Failed("gantryd ended:\n" + self.tail("gantryd")) from None
                continue
            totals = status["totals"]
            now = time.monotonic()
            rate = 0
            if before is not None:
                rate = (totals["acknowledged"] - before[1]) / (now - before[0])
            before = (now, totals["acknowledged"])
            offset = self.show_hits(offset, 2)
            say(f"  {totals['acknowledged']:>12,} acknowledged  {rate:>10,.0f} reads/s  {status['hits']['total']:>8,} hits"
                f"  memtable {100 * status['storage']['memtable_bytes'] // status['storage']['memtable_bytes_max']:>3} %")
        with open(self.path("load.json"), errors="replace") as file:
            lines = [line for line in file if line.startswith("{")]
        if not lines:
            raise Failed("gantry-load ended without its figures:\n" + self.tail("gantry-load"))
        self.fleet = json.loads(lines[-1])
        if fleet.returncode != 0:
            say(f"gantry-load ended with status {fleet.returncode}:\n" + self.tail("gantry-load"))

    def search(self):
        sample = dict(line.split("\t") for line in self.load("sample", *self.fleet_options()).splitlines() if "\t" in line)
        figures = {}
        for kind, vrm in (("exact", sample["vehicle"]), ("partial", sample["pattern"])):
            rows = self.ctl("search", vrm, "--limit", "1000", *GROUNDS)
            result = rows[-1]
            figures[kind] = result["elapsed_ms"]
            say(f"search {vrm}: {result['count']} read(s) in {result['elapsed_ms']:.1f} ms"
                + (" and there are more" if result.get("truncated") else ""))
            for row in rows[:3] if len(rows) > 1 else []:
                if "vrm" in row:
                    say(f"    {row['vrm']:<12} {local(row['capture'])}  {row.get('camera_name') or row['camera']}")
        return figures

    def audit(self):
        verified = self.ctl("audit", "verify")[-1]
        say(f"audit log verified: {verified['size']} entries, root {verified['root'][:16]}…")

    def stop(self):
        if self.follower.poll() is None:
            self.follower.send_signal(signal.SIGINT)
            try:
                self.follower.wait(10)
            except subprocess.TimeoutExpired:
                self.follower.kill()
        if self.options.keep:
            return
        say("stopping: what is journalled is sealed first")
        self.ctl("stop", "--reason", "quickstart is done")
        if self.appliance.wait(300) != 0:
            raise Failed("gantryd did not stop cleanly:\n" + self.tail("gantryd"))

    def bytes_on_disk(self):
        total = 0
        for name in ("segments", "catalog", "keyring.a", "keyring.b"):
            top = self.path("data", name)
            if os.path.isfile(top):
                total += os.stat(top).st_blocks * 512
            for directory, _, files in os.walk(top):
                total += sum(os.stat(os.path.join(directory, file)).st_blocks * 512 for file in files)
        return total

    def run(self):
        self.start_appliance()
        self.register()
        before = self.ctl("status")[-1]["totals"]
        self.follow()
        self.send()
        time.sleep(0.2)
        searches = self.search()
        self.audit()
        status = self.ctl("status")[-1]
        self.stop()
        return self.figures(before, status, searches)

    def figures(self, before, status, searches):
        totals = {name: status["totals"][name] - before[name] for name in ("acknowledged", "stored", "collapsed", "refused", "erased")}
        if not self.options.keep:
            # Equal reads are found when journals are sealed, which the stop did: now the appliance's books are final.
            # What they call stored must be what gantry-fsck, which knows nothing of them, finds in the files.
            books = json.loads(run_or_fail([GANTRYD, *self.settings(), "--recover"]).splitlines()[-1])
            files = json.loads(run_or_fail([FSCK, self.path("data"), "--master-key", self.path("key", "master.key"),
                                            "--json"]).splitlines()[-1])
            totals = {name: books[name] - before[name] for name in totals}
            totals["stored"] = files["segment_rows"] + files["journal_rows"] + books["purged"] - before["stored"]
        bytes_held = status["storage"]["bytes"] if self.options.keep else self.bytes_on_disk()
        reads_held = status["storage"]["held_reads"] if self.options.keep else before["stored"] + totals["stored"]
        urgent = next(lane for lane in status["hits"]["lanes"] if lane["lane"] == "urgent")
        return {
            "sent": self.fleet["sent"],
            "acknowledged": self.fleet["acknowledged"],
            "appliance_acknowledged": totals["acknowledged"],
            "stored": totals["stored"],
            "collapsed": totals["collapsed"],
            "refused": totals["refused"],
            "erased": totals["erased"],
            "refused_by": {reason: count - before["refused_by"][reason]
                           for reason, count in status["totals"]["refused_by"].items()},
            "hits": status["hits"]["total"],
            "reads_per_s": round(self.fleet["reads_per_s"]),
            "bytes_per_read": round(bytes_held / reads_held, 1) if reads_held else None,
            "hit_p50_us": urgent["latency_p50_us"],
            "hit_p99_us": urgent["latency_p99_us"],
            "search_exact_ms": round(searches["exact"], 2),
            "search_partial_ms": round(searches["partial"], 2),
            "ack_p50_us": self.fleet.get("ack_p50_us"),
            "ack_p99_us": self.fleet.get("ack_p99_us"),
            "retransmitted": self.fleet.get("retransmitted"),
            "violations": self.fleet.get("violations"),
        }

    def clean(self):
        for process in self.processes:
            if self.options.keep and process.name == "gantryd":
                continue
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
        if self.made_directory and not self.options.keep:
            shutil.rmtree(self.directory, ignore_errors=True)


def run_or_fail(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{os.path.basename(command[0])} ended with {done.returncode}: {done.stderr.strip()}{done.stdout.strip()}")
    return done.stdout


def local(text):
    time_utc = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return time_utc.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def balanced(figures):
    return (figures["sent"] == figures["acknowledged"] == figures["appliance_acknowledged"]
            == figures["stored"] + figures["collapsed"] + figures["refused"] + figures["erased"] and not figures["violations"])


def table(figures):
    rows = [("reads sent", f"{figures['sent']:,}"), ("acknowledged", f"{figures['acknowledged']:,}"),
            ("stored", f"{figures['stored']:,}"), ("collapsed", f"{figures['collapsed']:,}"),
            ("refused", f"{figures['refused']:,}")]
    rows += [(f"  {reason.replace('_', ' ')}", f"{count:,}") for reason, count in figures["refused_by"].items() if count]
    rows += [("hits", f"{figures['hits']:,}"), ("reads/s, durable and acknowledged", f"{figures['reads_per_s']:,}")]
    if figures["bytes_per_read"] is not None:
        rows.append(("bytes per read on disk", f"{figures['bytes_per_read']}"))
    rows += [("receipt to hit, p50 / p99", f"{figures['hit_p50_us'] / 1000:.2f} / {figures['hit_p99_us'] / 1000:.2f} ms"),
             ("search, one VRM / partial", f"{figures['search_exact_ms']} / {figures['search_partial_ms']} ms")]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value:>20}" for name, value in rows)


def main():
    parser = argparse.ArgumentParser(prog="appliance/quickstart")
    parser.add_argument("--duration", type=int, default=10)
    parser.add_argument("--rate", default="max")
    parser.add_argument("--data")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cameras", type=int, default=2000)
    parser.add_argument("--vehicles", type=int, default=1000000)
    options = parser.parse_args()
    if options.rate != "max" and not options.rate.isdigit():
        parser.error("--rate wants a whole number of reads a second, or max")
    if options.duration < 1:
        parser.error("--duration wants a whole number of seconds, 1 or more")
    quickstart = Quickstart(options)
    atexit.register(quickstart.clean)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        figures = quickstart.run()
    except Failed as failure:
        say(f"quickstart: {failure}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    good = balanced(figures)
    if not options.json:
        print("\n" + table(figures))
        print("\n  " + ("sent = acknowledged = stored + collapsed + refused" if good
                        else "NOT BALANCED: sent, acknowledged and stored + collapsed + refused differ"))
    if options.keep:
        say(f"\nThe appliance goes on running (pid {quickstart.appliance.pid}). Talk to it:\n"
            f"  export GANTRY_SOCKET={quickstart.socket}\n  {os.path.relpath(GANTRYCTL)} status\n"
            f"  {os.path.relpath(GANTRYCTL)} stop --reason done")
    if options.json:
        print(json.dumps(figures))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
