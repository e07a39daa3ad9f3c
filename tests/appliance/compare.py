"""Holds the fleet's ledger (what was acknowledged) against gantry-fsck's dump (what is in the files)."""

import collections
import os
import subprocess

from rig import LOAD, check


def ledger_rows(path):
    """(feed, epoch, lane, sequence) and fate of every acknowledged read, and its content as the dump would print it."""
    output = subprocess.run([LOAD, "ledger", path], capture_output=True, text=True, timeout=300)
    check(output.returncode == 0, f"gantry-load ledger: {output.stderr}")
    for line in output.stdout.splitlines():
        fields = line.split("\t")
        yield tuple(fields[:4]), fields[4], (int(fields[0]), tuple(fields[5:]))


def dump_rows(path):
    """(feed, content) of every read in the store: content in the order of the ledger's columns."""
    with open(path, errors="surrogateescape") as file:
        for line in file:
            f = line.rstrip("\n").split("\t")
            if f[0] == "refused":
                continue
            # day where feed epoch capture receipt camera text key lat lon kind confidence lane direction flags country images
            flags = str(int(f[15]) & 0xff)
            text = "" if f[11] == "1" else f[7]  # not read: the dump prints a dash
            yield int(f[2]), (f[4], f[6], text, f[9], f[10], f[11], f[12], f[13], f[14], flags, f[16], f[17]), int(f[0])


class Comparison:
    """Every acknowledged read is in the store, and none twice. Reads of purged days must be gone instead."""

    def __init__(self, appliance):
        self.appliance = appliance

    def compare(self, purged=()):
        dump = os.path.join(self.appliance.directory, "dump")
        report = self.appliance.fsck(dump)
        check(report["clean"], f"gantry-fsck found damage: {report['damage']}")
        held = collections.Counter()
        contents = set()
        for feed, content, day in dump_rows(dump):
            check(day not in purged, f"a read of purged day {day} is in the store")
            held[(feed, content)] += 1
            contents.add(content)
        twice = [row for row, count in held.items() if count > 1]
        check(not twice, f"{len(twice)} read(s) stand twice in the store, {twice[:1]}")
        ledger = os.path.join(self.appliance.directory, "ledger")
        acknowledged = 0
        lost = []
        for identity, fate, (feed, content) in ledger_rows(ledger) if os.path.exists(ledger) else []:
            if fate != "acknowledged" or int(content[0]) // 86400000000 in purged:
                continue
            acknowledged += 1
            # A read that came through two feeds is collapsed to one of them: then its content stands once.
            if (feed, content) not in held and content not in contents:
                lost.append((identity, content))
        check(not lost, f"{len(lost)} of {acknowledged} acknowledged reads are not in the store, such as {lost[:1]}")
        os.unlink(dump)
        return acknowledged, sum(held.values())
