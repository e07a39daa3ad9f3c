"""The gate from outside: conditions rule hits out, repeats are kept and not told, clones are raised with their reads."""
import os

from rig import GROUNDS, LOAD, Appliance, Follower, check, fleet, fleet_result, key_of, main, run, until

CAMERAS, VEHICLES = 40, 300


def running(directory, **settings):
    appliance = Appliance(directory, **settings)
    appliance.start()
    appliance.register(cameras=CAMERAS)
    return appliance


def load_fleet_list(appliance, *head, name="all"):
    """Every vehicle of the fleet is wanted."""
    path = os.path.join(appliance.directory, "all.csv")
    with open(path, "w") as file:
        file.write(run([LOAD, "list", "--cameras", str(CAMERAS), "--vehicles", str(VEHICLES), "--entries", str(VEHICLES),
                        "--patterns", "0"]))
    return appliance.ctl("lists", "load", path, "--name", name, "--owner", Follower.OWNER, *head)[-1]


def drive(appliance, follower, *more):
    """Sends reads; what was delivered, when all that is journalled and no repeat has come, and the gate's counts."""
    process = fleet(appliance, rate="20000", cameras=CAMERAS, vehicles=VEHICLES, ledger=False,
                    more=["--reads", "30000", "--punctual", "--misread", "0", *more])
    check(process.wait(120) == 0, f"gantry-load: {fleet_result(appliance)}")
    status = appliance.ctl("status")[-1]
    expected = status["hits"]["total"] - status["gate"]["hits_repeated"]
    until(lambda: len(follower.hits()) >= expected, lambda: f"{expected} hits, but {len(follower.hits())} came")
    return follower.end(), status["gate"], status["hits"]["total"]


def repeats_are_not_told(directory, random):
    appliance = running(directory)
    load_fleet_list(appliance, "--suppress-minutes", "60", "--suppress-scope", "camera")
    hits, gate, total = drive(appliance, Follower(appliance, more=["--clones"]))
    spots = {(key_of(hit["read"]["vrm"]), hit["read"]["camera"]) for hit in hits}
    check(total > 20000, f"only {total} hits")
    # The first of each is told; a second one only when both came in one datagram.
    check(len(spots) <= len(hits) < 1.2 * len(spots), f"{len(hits)} told, {len(spots)} pairs of vehicle and camera")
    check(gate["hits_repeated"] == total - len(hits) and gate["repeats_forgotten"] == 0, f"{gate} {total} {len(hits)}")
    rows = appliance.ctl("search", "--camera", "1", "--limit", "10000", *GROUNDS)
    seen = {key_of(row["vrm"]) for row in rows if row.get("vrm") and row.get("kind") == "vrm"}
    missing = {vrm for vrm in seen if (vrm, 1) not in spots}
    check(seen and not missing, f"{len(missing)} vehicles of {len(seen)} were never told of at camera 1")
    appliance.stop()


def conditions_rule_hits_out(directory, random):
    appliance = running(directory)
    load_fleet_list(appliance, "--direction", "receding", "--camera-type", "fixed", "--circle", "52.5,-1.9,300000")
    hits, gate, total = drive(appliance, Follower(appliance, more=["--clones"]))
    check(hits and gate["hits_outside"] > 0 and total + gate["hits_outside"] > 20000, f"{len(hits)} {gate} {total}")
    check(all(hit["read"]["direction"] == "receding" for hit in hits), "a hit of another direction")
    types = {row["camera"]: row["type"] for row in appliance.ctl("cameras", "show")[-1]["cameras"]}
    check(all(types[hit["read"]["camera"]] == "fixed" for hit in hits), "a hit of another type of camera")
    check(gate["hits_repeated"] == 0, f"{gate}")
    appliance.stop()


def clones_are_raised(directory, random):
    # In a few seconds no side is seen twice by different cameras.
    appliance = running(directory, **{"clones.detect": "yes", "clones.sightings": "1", "clones.priority": "77"})
    hits, gate, total = drive(appliance, Follower(appliance, more=["--clones"]), "--clones", "20")
    check(hits and all(hit["kind"] == "clone" and hit["list"] == 0 and hit["priority"] == 77 for hit in hits),
          f"{hits[:1]}")
    check(gate["clones_raised"] == len(hits) and gate["clones_looked"] > 20000 and gate["hits_repeated"] > 0, f"{gate}")
    places = {row["camera"]: row for row in appliance.ctl("cameras", "show")[-1]["cameras"]}
    for hit in hits:
        here, there = places[hit["read"]["camera"]], places[hit["other_camera"]]
        check(abs(here["lat"] - there["lat"]) + abs(here["lon"] - there["lon"]) > 0.1, f"{hit}")
    check(len({hit["read"]["vrm"] for hit in hits}) <= 20, "more VRMs than clones")
    appliance.stop()
    appliance.start()  # what was journalled is read again
    check(appliance.ctl("status")[-1]["gate"]["clones_looked"] == 0, "counts outlive a restart")
    appliance.stop()


def every_hit_has_room(directory, random):
    """Full datagrams of reads that are on many lists: more hits than a journal's frame, or a whole burst's room, takes."""
    appliance = running(directory)
    loaded = 0
    for lists, slab, reads in ((30, "64", 280), (260, "256", 280)):
        appliance.stop()
        appliance.settings["storage.journal_slab"] = slab
        appliance.start()
        for number in range(loaded, lists):
            load_fleet_list(appliance, name=f"list{number}")
        loaded = lists
        process = fleet(appliance, name=f"fleet{lists}", rate="max", cameras=CAMERAS, vehicles=VEHICLES, ledger=False,
                        more=["--reads", str(reads), "--punctual", "--misread", "0", "--foreign", "0", "--drain", "60"])
        check(process.wait(120) == 0, f"gantry-load: {fleet_result(appliance, f'fleet{lists}')}")
        told = appliance.ctl("counters")[-1]["reads"]
        check(told["hits_lost"] == 0, f"{told['hits_lost']} hits of {lists} lists are lost")
        check(told["hits"] > 0.8 * reads * lists and told["hits"] % lists == 0, f"{told['hits']} hits of {lists} lists")
    appliance.stop()


main("the gate", [
    ("repeats are not told", repeats_are_not_told),
    ("conditions rule hits out", conditions_rule_hits_out),
    ("clones are raised", clones_are_raised),
    ("every hit has room", every_hit_has_room),
])
