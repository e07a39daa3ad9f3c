"""A plain kernel UDP sender reaches the appliance through af_packet, over a veth pair in namespaces made for it."""

import os
import shutil
import subprocess
import sys
import time

from compare import Comparison
from rig import Appliance, LOAD, Skip, check, fleet, fleet_result, main, start


def need(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Skip(f"{' '.join(command[:4])}: {done.stderr.strip()}")


def through_a_veth_pair(directory, random, six=False):
    if os.geteuid() != 0:
        raise Skip("network namespaces and raw sockets need root")
    if shutil.which("ip") is None:
        raise Skip("no iproute2 here")
    tag = f"g{os.getpid() % 100000}{'s' if six else 'f'}"
    space, ours, theirs = f"gantry-{tag}", f"{tag}a", f"{tag}b"
    need(["ip", "netns", "add", space])
    try:
        need(["ip", "netns", "add", space + "-a"])
        # Both ends in namespaces of their own: nothing of this touches the host's network.
        need(["ip", "-n", space + "-a", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", space])
        need(["ip", "-n", space + "-a", "link", "set", ours, "up"])
        need(["ip", "-n", space, "link", "set", theirs, "up"])
        need(["ip", "-n", space, "addr", "add", "10.77.0.2/24", "dev", theirs])
        need(["ip", "-n", space, "addr", "add", "fd77::2/64", "dev", theirs, "nodad"])
        appliance = Appliance(directory, **{"port.port": "af_packet", "port.device": ours, "eal.memory": "128"})
        command = appliance.command
        appliance.command = lambda *more: ["ip", "netns", "exec", space + "-a", *command(*more)]
        appliance.start()
        appliance.register()
        # The kernel asks for our MAC, by ARP or neighbour solicitation, before its first datagram; and pings us.
        address = "fd77::1" if six else "10.77.0.1"
        if shutil.which("ping") is not None:
            done = subprocess.run(["ip", "netns", "exec", space, "ping", "-c", "2", "-i", "0.2", "-W", "3", address],
                                  capture_output=True, text=True)
            check(done.returncode == 0, f"ping: {done.stdout}{done.stderr}")
        transport = f"udp:[{address}]:4717" if six else f"udp:{address}:4717"
        process = start(["ip", "netns", "exec", space, LOAD, "run", "--feeds", appliance.feeds, "--transport", transport,
                         "--rate", "5000", "--duration", "2", "--drain", "20", "--cameras", "200", "--vehicles", "5000",
                         "--json", "--spool", os.path.join(directory, "spool"), "--ledger", os.path.join(directory, "ledger")],
                        os.path.join(directory, "fleet.log"), stdout=open(os.path.join(directory, "fleet.json"), "wb"))
        process.wait(60)
        result = fleet_result(appliance)
        check(process.returncode == 0 and result["acknowledged"] == result["sent"] > 5000, f"{result}")
        counters = appliance.ctl("counters")[-1]
        check(counters["frames"]["nd_answered" if six else "arp_answered"] > 0, f"{counters['frames']}")
        appliance.stop()
        acknowledged, held = Comparison(appliance).compare()
        check(acknowledged == held == result["sent"], f"{acknowledged} acknowledged, {held} held, {result['sent']} sent")
    finally:
        from rig import end_all
        end_all()
        time.sleep(0.1)
        for name in (space, space + "-a"):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def through_ipv6(directory, random):
    through_a_veth_pair(directory, random, six=True)


if __name__ == "__main__":
    sys.exit(main("veth", [
        ("a kernel sender over IPv4", through_a_veth_pair),
        ("a kernel sender over IPv6", through_ipv6),
    ]))
