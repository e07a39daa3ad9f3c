"""What the tests of the whole appliance share: starting, killing and asking the built programs, and counting tests."""

import calendar
import concurrent.futures
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

BUILD = os.environ.get("GANTRY_BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build"))
GANTRYD = os.path.join(BUILD, "appliance/gantryd")
GANTRYCTL = os.path.join(BUILD, "mgmt/gantryctl")
LOAD = os.path.join(BUILD, "bench/gantry-load")
FSCK = os.path.join(BUILD, "storage/gantry-fsck")
GROUNDS = ["--purpose", "serious", "--case", "TEST-1", "--reason", "testing the whole appliance"]

SEED = int(os.environ.get("GANTRY_SEED", time.time_ns() % 1000000007))
started = []


class Skip(Exception):
    """The test cannot run here; the text says why."""


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def run(command, code=0, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != code:
        raise AssertionError(f"{' '.join(command[:4])} … ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def start(command, log, **more):
    with open(log, "ab") as file:
        process = subprocess.Popen(command, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True, **more)
    started.append(process)
    return process


def end_all():
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def until(condition, text, seconds=30, pause=0.05):
    """Polls the condition and returns what it came to; fails with the text, or with what it says when called."""
    deadline = time.monotonic() + seconds
    while not (come := condition()):
        check(time.monotonic() < deadline, text() if callable(text) else text)
        time.sleep(pause)
    return come


def side_by_side(job, *arguments):
    """map() of a job over stores of their own, a few at once: most of their time is waiting for start and port."""
    with concurrent.futures.ThreadPoolExecutor(min(max(os.cpu_count(), 2), 4)) as pool:
        return list(pool.map(job, *arguments))


def iso(us):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(us // 1000000)) + f".{us % 1000000:06d}Z"


def micros(text):
    whole, fraction = text.rstrip("Z").split(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 1000000 + int(fraction)


def day_number(day):
    return calendar.timegm(time.strptime(day, "%Y-%m-%d")) // 86400


@functools.cache
def key_of(text):
    """The VRM key of a plain plate; None for one in letters beyond ASCII, which the models leave alone."""
    if not text.isascii():
        return None
    return "".join(c for c in text.upper() if c.isalnum()).replace("O", "0").replace("I", "1")


def matches(pattern, text):
    """Does the text match a pattern of ? and *, as plainly as can be said?"""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(matches(pattern[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and matches(pattern[1:], text[1:])


SECOND_UID = 65534


def another_account(uid):
    """How subprocess runs something as that account."""
    if os.geteuid() != 0:
        raise Skip("a second account is spoken as: needs root")
    return {"user": uid, "group": uid, "extra_groups": []}


class Appliance:
    """One data directory and the gantryd that serves it, again and again."""

    def __init__(self, directory, **settings):
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.master = os.path.join(directory, "key/master.key")
        self.socket = os.path.join(directory, "run/gantry.sock")
        self.port = os.path.join(directory, "run/port.sock")
        self.log = os.path.join(directory, "gantryd.log")
        self.settings = {
            "appliance.data_directory": self.data,
            "appliance.master_key": self.master,
            "appliance.run_directory": os.path.join(directory, "run"),
            "eal.memory": "96",
            "port.buffers": "4096",
            "storage.memtable": "128",
            "storage.journal_file": "8",
            "storage.journal_slab": "256",
            "storage.journal_roll": "1",
            "storage.reserve": "16",
            # Whether this machine has a time source is not what is tested; and a second account has to reach the socket.
            "clock.trust": "always",
            "management.mode": "0666",
        }
        self.settings.update(settings)
        self.asked = settings
        self.feeds = os.path.join(directory, "feeds")
        self.process = None

    def copy(self, directory):
        """An appliance of its own that goes on from here, and its fleet with it; this one must not be running."""
        shutil.copytree(self.directory, directory, ignore=shutil.ignore_patterns("run"))
        return Appliance(directory, **self.asked)

    def command(self, *more):
        command = [GANTRYD]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        return command + list(more)

    def start(self, kill=None, wait=True):
        environment = dict(os.environ)
        environment.pop("GANTRY_KILL", None)
        if kill is not None:
            environment["GANTRY_KILL"] = kill
        self.process = start(self.command(), self.log, stdout=subprocess.DEVNULL, env=environment)
        if wait:
            self.wait_ready()

    def ready(self):
        return os.path.exists(self.socket) and subprocess.run(
            [GANTRYCTL, "--socket", self.socket, "status", "--json"], capture_output=True).returncode == 0

    def wait_ready(self, seconds=60):
        deadline = time.monotonic() + seconds
        while not self.ready():
            if self.process.poll() is not None:
                raise AssertionError(f"gantryd ended with {self.process.returncode}: {self.tail()}")
            check(time.monotonic() < deadline, f"gantryd does not answer: {self.tail()}")
            time.sleep(0.02)

    def tail(self):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-12:])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        check(self.process.wait(120) == 0, f"gantryd did not stop cleanly: {self.tail()}")

    def lose_identity_key(self):
        """Takes the key of public ids out of the stopped appliance's keyring, both copies."""
        run([os.path.join(BUILD, "tests/appliance/lose_key"), self.master, os.path.join(self.data, "keyring.a"),
             os.path.join(self.data, "keyring.b")])

    def recover(self):
        """What a start does before its port opens, and no more."""
        with open(self.log, "ab") as log:
            done = subprocess.run(self.command("--recover"), stderr=log, stdout=subprocess.DEVNULL, timeout=120)
        check(done.returncode == 0, f"gantryd --recover ended with {done.returncode}: {self.tail()}")

    def ctl(self, *arguments, code=0):
        output = run([GANTRYCTL, "--socket", self.socket, *arguments, "--json"], code, timeout=120)
        return [json.loads(line) for line in output.splitlines() if line.strip()]

    def ctl_partly(self, *arguments):
        """The same of what must be done in part only."""
        done = subprocess.run([GANTRYCTL, "--socket", self.socket, *arguments, "--json"], capture_output=True, text=True, timeout=120)
        check(done.returncode == 4, f"{arguments} was not done in part: {done.returncode} {done.stdout} {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    def ctl_for_all(self):
        """A gantryctl that other accounts may run too: the tree may lie where they cannot look."""
        path = os.path.join(self.directory, "gantryctl")
        if not os.path.exists(path):
            shutil.copy(GANTRYCTL, path)
        return path

    def ctl_as(self, uid, *arguments):
        """The same, asked by another account."""
        output = run([self.ctl_for_all(), "--socket", self.socket, *arguments, "--json"], timeout=120, cwd="/",
                     **another_account(uid))
        return [json.loads(line) for line in output.splitlines() if line.strip()]

    def purge(self, day, authority="test of a purge"):
        """Two persons purge a day that is not due."""
        number = self.ctl("purge", "propose", day, "--authority", authority, *GROUNDS)[-1]["number"]
        return self.ctl_as(SECOND_UID, "purge", "approve", str(number), *GROUNDS)[-1]

    def refused(self, *arguments, uid=None):
        """Runs what must be refused; returns what gantryctl said."""
        if uid is None:
            done = subprocess.run([GANTRYCTL, "--socket", self.socket, *arguments], capture_output=True, text=True, timeout=60)
        else:
            done = subprocess.run([self.ctl_for_all(), "--socket", self.socket, *arguments], capture_output=True, text=True,
                                  timeout=60, cwd="/", **another_account(uid))
        check(done.returncode == 1, f"{arguments} was not refused: {done.returncode} {done.stdout}")
        return done.stderr

    def register(self, feeds=2, cameras=200, seed=1, bind=True):
        path = os.path.join(self.directory, "cameras.csv")
        with open(path, "w") as file:
            file.write(run([LOAD, "cameras", "--cameras", str(cameras), "--seed", str(seed)]))
        self.ctl("cameras", "load", path)
        with open(self.feeds, "w") as file:
            for feed in range(1, feeds + 1):
                key = self.ctl("feeds", "add", "--feed", str(feed), "--name", f"feed {feed}", "--organisation", "Test")[-1]
                file.write(f"{feed} {key['key']}\n")
                if bind:
                    self.ctl("cameras", "bind", "--feed", str(feed), "--all")

    def fsck(self, dump=None):
        command = [FSCK, self.data, "--master-key", self.master, "--json"]
        if dump is not None:
            command += ["--dump", dump]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        check(done.returncode in (0, 1), f"gantry-fsck: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])


class Follower:
    """gantryctl follows a subscription of its own and writes down what it is told. Lists for it have the same owner."""
    OWNER = "Test"

    def __init__(self, appliance, name="follower", more=()):
        self.path = os.path.join(appliance.directory, name + ".told")
        if not any(row["name"] == name for row in appliance.ctl("subscriptions", "show")[-1]["subscriptions"]):
            appliance.ctl("subscriptions", "add", name, "--organisation", self.OWNER, *more)
        self.process = start([GANTRYCTL, "--socket", appliance.socket, "hits", "follow", name, "--json", *GROUNDS],
                             os.path.join(appliance.directory, name + ".log"), stdout=open(self.path, "ab"))
        until(lambda: any(row["name"] == name and row["connected"]
                          for row in appliance.ctl("subscriptions", "show")[-1]["subscriptions"]), "nobody follows")

    def told(self):
        with open(self.path) as file:
            return [json.loads(line) for line in file if line.endswith("}\n")]

    def hits(self):
        return [event for event in self.told() if "read" in event]

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        return self.hits()


def fleet(appliance, name="fleet", rate="20000", seed=1, cameras=200, vehicles=5000, transport=None, more=(), ledger=True):
    """A gantry-load that goes on with the spool of the one before it."""
    command = [LOAD, "run", "--feeds", appliance.feeds, "--transport", transport or "virtio:" + appliance.port, "--rate",
               str(rate), "--seed", str(seed), "--cameras", str(cameras), "--vehicles", str(vehicles), "--spool",
               os.path.join(appliance.directory, "spool"), "--json", "--memory", "160", *more]
    if ledger:
        command += ["--ledger", os.path.join(appliance.directory, "ledger")]
    out = open(os.path.join(appliance.directory, name + ".json"), "wb")
    return start(command, os.path.join(appliance.directory, name + ".log"), stdout=out)


def under_load(appliance, process):
    """Waits until the fleet's reads are acknowledged: a fixed time may end before the port has even opened."""
    ledger = os.path.join(appliance.directory, "ledger")

    def size():
        return os.path.getsize(ledger) if os.path.exists(ledger) else 0
    enough = size() + 4096  # dozens of reads; a new ledger has a head
    until(lambda: size() > enough, lambda: f"nothing was acknowledged: {process.poll()} {appliance.tail()}", 60, 0.005)


def fleet_result(appliance, name="fleet"):
    with open(os.path.join(appliance.directory, name + ".json"), errors="replace") as file:
        lines = [line for line in file if line.startswith("{")]
    check(lines, "gantry-load printed no result: " + open(os.path.join(appliance.directory, name + ".log"),
                                                           errors="replace").read()[-1500:])
    return json.loads(lines[-1])


def main(suite, tests):
    """Runs the tests as tests/check.h's programs do, with the same closing line."""
    only = [name for name in sys.argv[1:] if not name.startswith("-")]
    passed = failed = skipped = 0
    top = tempfile.mkdtemp(prefix="gantry-test-")
    os.chmod(top, 0o755)  # for the second account
    print(f"seed {SEED}\n\nSuite: {suite}", flush=True)
    try:
        for name, test in tests:
            if only and not any(part in name for part in only):
                continue
            directory = os.path.join(top, str(passed + failed + skipped))
            os.mkdir(directory)
            print(f"  Test: {name} ...", end="", flush=True)
            begun = time.monotonic()
            try:
                test(directory, random.Random(SEED))
                passed += 1
                print(f"passed ({time.monotonic() - begun:.1f} s)", flush=True)
            except Skip as reason:
                skipped += 1
                print(f"skipped: {reason}", flush=True)
            except Exception:  # a test's failure, whatever it is: say it and go on with the next
                failed += 1
                print("FAILED\n" + traceback.format_exc() + f"    seed {SEED}", flush=True)
            finally:
                end_all()
                started.clear()
                if not os.environ.get("GANTRY_KEEP"):
                    shutil.rmtree(directory, ignore_errors=True)
    finally:
        end_all()
        if os.environ.get("GANTRY_KEEP"):
            print("kept: " + top)
        else:
            shutil.rmtree(top, ignore_errors=True)
    print(f"gantry-check: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0
