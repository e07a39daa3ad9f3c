"""Holds the fleet's ledger (what was acknowledged) against gantry-fsck's dump (what is in the files)."""

import os
import subprocess

from rig import LOAD, check


def acknowledged_rows(path):
    """(feed, epoch, lane, sequence) as text, and the content as the dump would print it, of every acknowledged read."""
    output = subprocess.run([LOAD, "ledger", path], capture_output=True, text=True, timeout=300)
    check(output.returncode == 0, f"gantry-load ledger: {output.stderr}")
    for line in output.stdout.splitlines():
        identity, acknowledged, content = line.partition("\tacknowledged\t")
        if acknowledged:
            yield identity, content


def dump_lines(path):
    """(feed, content, day) of every read in the store: content in the order of the ledger's columns, tabs between them."""
    with open(path, errors="surrogateescape") as file:
        for line in file:
            f = line.rstrip("\n").split("\t")
            if f[0] == "refused":
                continue
            # day where feed epoch capture receipt camera text key lat lon kind confidence lane direction flags country images
            flags = f[15] if len(f[15]) < 3 else str(int(f[15]) & 0xff)
            text = "" if f[11] == "1" else f[7]  # not read: the dump prints a dash
            content = "\t".join((f[4], f[6], text, *f[9:15], flags, f[16], f[17]))
            yield f[2], content, f[0]


def dump_rows(path):
    """The same with the content's columns apart."""
    for feed, content, day in dump_lines(path):
        yield int(feed), tuple(content.split("\t")), int(day)


class Comparison:
    """Every acknowledged read is in the store, and none twice. Reads of purged days must be gone instead."""

    def __init__(self, appliance):
        self.appliance = appliance
        self.ledger = os.path.join(appliance.directory, "ledger")
        self.ledger_state = None
        self.acknowledged = []

    def acknowledged_rows(self):
        """Read anew only when the fleet wrote since: after a death one ledger is held against the files twice."""
        if not os.path.exists(self.ledger):
            return []
        state = os.stat(self.ledger)
        state = state.st_size, state.st_mtime_ns
        if state != self.ledger_state:
            self.acknowledged = list(acknowledged_rows(self.ledger))
            self.ledger_state = state
        return self.acknowledged

    def compare(self, purged=()):
        dump = os.path.join(self.appliance.directory, "dump")
        report = self.appliance.fsck(dump)
        check(report["clean"], f"gantry-fsck found damage: {report['damage']}")
        # Hundreds of thousands of reads after each death: one look-up each.
        feeds_of = {}
        held = 0
        twice = []
        gone = {str(day) for day in purged}
        for feed, content, day in dump_lines(dump):
            if day in gone:
                check(False, f"a read of purged day {day} is in the store")
            held += 1
            before = feeds_of.get(content)
            if before is not None and feed in before:
                twice.append((feed, content))
            feeds_of[content] = (feed,) if before is None else (*before, feed)
        check(not twice, f"{len(twice)} read(s) stand twice in the store, {twice[:1]}")
        acknowledged = 0
        lost = []
        for identity, content in self.acknowledged_rows():
            if purged and int(content[:content.index("\t")]) // 86400000000 in purged:
                continue
            acknowledged += 1
            # Its content alone counts: a read that came through two feeds is collapsed to one of them.
            if content not in feeds_of:
                lost.append((identity, content))
        check(not lost, f"{len(lost)} of {acknowledged} acknowledged reads are not in the store, such as {lost[:1]}")
        os.unlink(dump)
        return acknowledged, held
