"""Hits reach those who subscribe: resumed where they acknowledged, after a disconnect, a kill, or a long sleep; a slow one
holds back nobody; an organisation that a list does not name gets nothing; an SMS carries four fields."""

import json
import os
import socket
import time

from rig import GANTRYCTL, GROUNDS, LOAD, SECOND_UID, Appliance, check, fleet, fleet_result, main, run, start, until

ORGANISATION = "Northshire Police"
WEEK_AGO = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 7 * 86400))


class Subscriber:
    """A client of its own: takes messages, and acknowledges when told to."""

    def __init__(self, appliance, name, size=None):
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX)
        if size is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        self.socket.settimeout(0.2)
        self.socket.connect(appliance.socket)
        self.bytes = b""
        self.next_id = 2
        self.hits = []      # of all messages
        self.cursors = {}   # newest of each lane
        self.messages = []
        self.answer = None
        self.acknowledged = 0
        self.in_flight = 0  # acknowledgements; the appliance takes eight requests of a connection at once
        self.ask(1, "hits.follow", subscription=name, purpose="serious", case="TEST-1", reason="testing hits")

    def ask(self, number, method, **params):
        self.socket.sendall(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n")

    def take(self):
        """What has come by now."""
        try:
            while data := self.socket.recv(1 << 20):
                self.bytes += data
                if len(data) < 65536:
                    break
        except TimeoutError:
            pass
        *lines, self.bytes = self.bytes.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if message.get("method") == "hits.hits":
                params = message["params"]
                self.messages.append(params)
                self.hits += params["hits"]
                self.cursors[params["lane"]] = params["cursor"]
            elif message.get("id") == 1:
                self.answer = message
            elif "result" in message:
                self.acknowledged += message["result"]["acknowledged"]
                self.in_flight -= 1
            else:
                check(message.get("method") == "hello", f"{message}")
        return self.hits

    def acknowledge(self):
        """What has no room now is acknowledged by a later cursor of its lane, or by the next call."""
        for lane in [lane for lane in self.cursors if self.in_flight < 6]:
            self.ask(self.next_id, "hits.ack", subscription=self.name, cursor=self.cursors.pop(lane))
            self.next_id += 1
            self.in_flight += 1

    def close(self):
        self.socket.close()

    def numbers(self):
        return [hit["number"] for hit in self.hits]


def list_of(appliance, entries, name, *more):
    lines = run([LOAD, "list", "--cameras", "200", "--vehicles", "5000", "--seed", "1", "--entries", str(entries), "--patterns",
                 "0"])
    path = os.path.join(appliance.directory, name + ".csv")
    with open(path, "w") as file:
        file.write(lines)
    return appliance.ctl("lists", "load", path, "--name", name, *more)[-1]


def begin(directory, entries=200, priority="80", **settings):
    appliance = Appliance(directory, **settings)
    appliance.start()
    appliance.register()
    list_of(appliance, entries, "crime", "--owner", ORGANISATION, "--priority", priority)
    return appliance


def subscribe(appliance, name, *more, organisation=ORGANISATION):
    return appliance.ctl("subscriptions", "add", name, "--organisation", organisation, *more)[-1]


def send(appliance, name="fleet", rate="10000", seconds="1"):
    process = fleet(appliance, name=name, rate=rate, more=["--duration", seconds, "--drain", "30"])
    process.wait(90)
    check(process.returncode == 0, f"gantry-load: {fleet_result(appliance, name)}")


def status(appliance):
    return appliance.ctl("status")[-1]["hits"]


def arrives(subscriber, total, acknowledge=False):
    """Waits until so many different hits have come."""
    def enough():
        subscriber.take()
        if acknowledge:
            subscriber.acknowledge()
        return len(set(subscriber.numbers())) >= total
    until(enough, lambda: f"{len(set(subscriber.numbers()))} of {total} hits: {subscriber.answer}", 60, 0)


def settled(appliance, name, acknowledged):
    """Waits until so many are known to be acknowledged, and that is durable."""
    def known():
        lanes = appliance.ctl("subscriptions", "show", name)[-1]["subscriptions"][0]["lanes"]
        return sum(lane["acknowledged"] for lane in lanes) >= acknowledged
    until(known, "the acknowledgements did not count")
    time.sleep(1.5)


def resumes_where_it_acknowledged(directory, random):
    appliance = begin(directory)
    subscribe(appliance, "room")
    first = Subscriber(appliance, "room")
    send(appliance)
    total = status(appliance)["total"]
    check(total > 50, f"only {total} hits")
    arrives(first, total)
    check(len(first.hits) == total, f"{len(first.hits)} came of {total}")
    check(all(hit["list_name"] == "crime" and hit["marking"] and hit["read"]["vrm"] for hit in first.hits), "a hit lacks fields")
    half = first.messages[len(first.messages) // 2]
    first.cursors = {half["lane"]: half["cursor"]}
    first.acknowledge()
    kept = sum(len(message["hits"]) for message in first.messages[:len(first.messages) // 2 + 1])
    settled(appliance, "room", kept)
    first.close()
    # The rest again, no more and no less, after a disconnect and after a kill.
    rest = first.numbers()[kept:]
    second = Subscriber(appliance, "room")
    arrives(second, len(rest))
    check(sorted(second.numbers()) == sorted(rest), f"{len(second.hits)} again, not {len(rest)}")
    appliance.kill()
    appliance.start()
    third = Subscriber(appliance, "room")
    arrives(third, len(rest))
    check(sorted(third.numbers()) == sorted(rest), f"{len(third.hits)} after the kill, not {len(rest)}")
    # A cursor of before it is good.
    third.cursors = dict(second.cursors)
    third.acknowledge()
    time.sleep(1.5)
    third.close()
    appliance.stop()
    appliance.start()
    fourth = Subscriber(appliance, "room")
    time.sleep(1)
    check(fourth.take() == [], f"{len(fourth.hits)} hits came again though acknowledged")
    refused = appliance.refused("hits", "ack", "room", "--cursor", half["cursor"][:-2] + "00")
    check("cursor" in refused, refused)
    shares = status(appliance)["r20"]
    check(isinstance(shares, list), f"{shares}")


def what_came_while_it_was_away(directory, random):
    """From segments: the rings are small, the appliance is restarted, most is sealed."""
    appliance = begin(directory, **{"hits.urgent_ring": "1024", "hits.window": "512"})
    subscribe(appliance, "room")
    for part in range(3):
        send(appliance, name=f"part{part}", rate="20000", seconds="2")
    total = status(appliance)["total"]
    check(total > 1500, f"only {total} hits")
    until(lambda: appliance.ctl("status")[-1]["storage"]["unsealed_reads"] < 100000, "nothing was sealed")
    subscriber = Subscriber(appliance, "room")
    arrives(subscriber, total, acknowledge=True)
    check(len(subscriber.hits) == len(set(subscriber.numbers())) == total, f"{len(subscriber.hits)} came of {total}")
    now = status(appliance)
    check(now["caught_up"] > 0, f"{now}")
    send(appliance, name="live")
    arrives(subscriber, status(appliance)["total"], acknowledge=True)
    check(now["r20"] and now["r20"][0]["hour"]["hits"] > 0, f"{now['r20']}")


def a_stalled_one_holds_back_nobody(directory, random):
    appliance = begin(directory, entries=2000, **{"hits.urgent_ring": "1024", "hits.window": "1024"})
    for name in ("asleep", "mute", "awake"):
        subscribe(appliance, name)
    asleep = Subscriber(appliance, "asleep", size=4096)  # takes nothing
    mute = Subscriber(appliance, "mute")                 # takes, and acknowledges nothing
    awake = Subscriber(appliance, "awake")
    process = fleet(appliance, rate="20000", more=["--duration", "3", "--drain", "30"])
    while process.poll() is None:
        awake.take()
        awake.acknowledge()
        mute.take()
    check(process.returncode == 0, f"gantry-load: {fleet_result(appliance)}")
    total = status(appliance)["total"]
    check(total > 5000, f"only {total} hits")
    arrives(awake, total, acknowledge=True)
    check(len(awake.hits) == total, f"{len(awake.hits)} of {total}")
    mute.take()
    check(len(mute.hits) == 1024, f"{len(mute.hits)} sent beyond a window of 1024")
    arrives(mute, total, acknowledge=True)
    arrives(asleep, total, acknowledge=True)
    check(len(mute.hits) == total, f"{len(mute.hits)} of {total}")


def what_nobody_acknowledges_is_told(directory, random):
    """The share within 2 s is of acknowledged hits: who says nothing must show beside it."""
    appliance = begin(directory)

    def waiting():
        return status(appliance)["waiting_over_2s"]
    subscribe(appliance, "stranger", organisation="Eastshire Police")
    send(appliance, name="before")
    subscribe(appliance, "room")
    before = status(appliance)["total"]
    time.sleep(2.5)
    check(waiting() == 0, "hits that nobody may have, or of before the subscription, wait")
    send(appliance)
    count = status(appliance)["total"] - before
    check(count > 20, f"{count} hits")
    until(lambda: waiting() == count, lambda: f"{waiting()} of {count} wait, not sent")
    room = Subscriber(appliance, "room")
    arrives(room, count)
    check(waiting() == count, f"{waiting()} of {count} wait, sent and not acknowledged")
    check("waiting_over_2s" in run([GANTRYCTL, "--socket", appliance.socket, "status"]), "the table does not show it")
    room.acknowledge()
    until(lambda: room.take() is not None and waiting() == 0, lambda: f"{waiting()} wait though acknowledged")


def only_whom_the_list_names(directory, random):
    appliance = Appliance(directory)
    appliance.start()
    appliance.register()
    list_of(appliance, 200, "crime", "--owner", ORGANISATION, "--subscriber", "Southshire Police")

    def alarm():
        return [text for text in appliance.ctl("status")[-1]["alarms"] if "nobody is told of hits" in text]
    until(lambda: alarm() and "crime" in alarm()[0], "no alarm of a list that nobody is subscribed to")
    subscribe(appliance, "stranger", organisation="Eastshire Police")
    time.sleep(1.2)
    check(alarm(), "a subscription that gets nothing ended the alarm")
    subscribe(appliance, "friend", organisation="Southshire Police")
    until(lambda: not alarm(), "the alarm stands though somebody is subscribed")
    subscribe(appliance, "sms", "--kind", "sms")
    who = {name: Subscriber(appliance, name) for name in ("stranger", "friend", "sms")}
    send(appliance)
    total = status(appliance)["total"]
    arrives(who["friend"], total)
    until(lambda: len(who["sms"].take()) >= total, "the SMS events did not come")
    check(who["stranger"].take() == [], f"{len(who['stranger'].hits)} hits went to a stranger")
    texts = {hit["read"]["vrm"] for hit in who["friend"].hits}
    for hit in who["sms"].hits:
        check(set(hit) == {"vrm", "time", "location", "list"}, f"an SMS carries {sorted(hit)}")
        check(hit["vrm"] in texts and hit["list"] == "crime" and hit["location"], f"{hit}")
    # The list as it is at delivery counts.
    who["friend"].acknowledge()
    appliance.ctl("lists", "edit", "crime", "--subscriber", "none")
    before = len(who["friend"].hits)
    send(appliance, name="later")
    until(lambda: len(who["sms"].take()) >= status(appliance)["total"], "the owner's did not come")
    check(len(who["friend"].take()) == before, "hits went to an organisation that the list names no more")


def what_was_marked_meanwhile(directory, random):
    """Hits wait in memory for a subscriber; reads erased, restricted and corrected before it comes are not told of."""
    appliance = begin(directory)
    subscribe(appliance, "room")
    send(appliance)
    found = appliance.ctl("hits", "search", "--from", WEEK_AGO, "--limit", "1000", *GROUNDS)[:-1]
    total = status(appliance)["total"]
    check(len(found) == total > 50, f"{len(found)} hits found of {total}")
    subject = ["--purpose", "subject-access", "--case", "SAR-7", "--reason", "asked for by the person concerned"]
    gone = set()
    for verb, more in (("erase", []), ("restrict", []), ("amend", ["--vrm", "ZZ99 ZZZ"])):
        read = random.choice([hit["read"] for hit in found if hit["number"] not in gone])
        row = next(row for row in appliance.ctl("search", read["vrm"], "--from", WEEK_AGO, "--limit", "1000", *GROUNDS)[:-1]
                   if (row["camera"], row["capture"]) == (read["camera"], read["capture"]))
        appliance.ctl("reads", verb, "--id", row["id"], "--camera", str(row["camera"]), "--captured", row["capture"],
                      *more, *subject)
        gone |= {hit["number"] for hit in found
                 if (hit["read"]["camera"], hit["read"]["capture"]) == (read["camera"], read["capture"])}
    subscriber = Subscriber(appliance, "room")
    arrives(subscriber, total - len(gone))
    time.sleep(0.5)
    subscriber.take()
    check(not gone & set(subscriber.numbers()), "a hit of a marked read was told")
    check(set(subscriber.numbers()) == {hit["number"] for hit in found} - gone, "other hits were not")
    check(status(appliance)["caught_up"] == 0, "they came from the store, not from memory")


def without_its_list(directory, random):
    """A list whose entries cannot be read matches nothing and is told of; hits that wait still reach its owner."""
    appliance = begin(directory)
    subscribe(appliance, "room")
    subscribe(appliance, "stranger", organisation="Eastshire Police")
    send(appliance)
    total = status(appliance)["total"]
    first = Subscriber(appliance, "room")
    arrives(first, total)
    list_of(appliance, 1, "other", "--owner", ORGANISATION)
    appliance.kill()
    lists = os.path.join(appliance.data, "lists")
    largest = max((os.path.join(lists, name) for name in os.listdir(lists) if name.endswith(".blob")), key=os.path.getsize)
    os.rename(largest, largest + ".away")
    appliance.start()
    alarms = appliance.ctl("status")[-1]["alarms"]
    check(any('"crime"' in text and "load it again" in text for text in alarms), f"no alarm: {alarms}")
    check([row["name"] for row in appliance.ctl("status")[-1]["lists"]] == ["other"], "the other list is not matched")
    second, stranger = Subscriber(appliance, "room"), Subscriber(appliance, "stranger")
    arrives(second, total)
    check(stranger.take() == [], "hits went to a stranger")
    # What comes meanwhile is matched with the other, and with the one that is missing when it is there again.
    send(appliance, name="meanwhile")
    # Nothing else hangs on it: lists are changed, the one that is missing by loading it again.
    list_of(appliance, 2, "other", "--owner", ORGANISATION)
    list_of(appliance, 200, "crime", "--owner", ORGANISATION)
    alarms = appliance.ctl("status")[-1]["alarms"]
    check(not any("crime" in text for text in alarms), f"the alarm stands: {alarms}")
    until(lambda: not any("unmatched" in text for text in appliance.ctl("status")[-1]["alarms"]), "what came is not matched")
    found = appliance.ctl("hits", "search", "--from", WEEK_AGO, "--limit", "5000", *GROUNDS)[:-1]
    check(any(hit["late"] and hit["list_name"] == "crime" for hit in found), "no hit of what came meanwhile")
    of_reads = [(hit["list"], hit["read"]["vrm"], hit["read"]["camera"], hit["read"]["capture"]) for hit in found]
    check(len(of_reads) == len(set(of_reads)), "a read was matched with the same list twice")
    arrives(second, len(found))
    send(appliance, name="later")
    arrives(second, len(appliance.ctl("hits", "search", "--from", WEEK_AGO, "--limit", "5000", *GROUNDS)) - 1)


def a_search_gives_only_ones_own(directory, random):
    appliance = begin(directory)
    send(appliance)
    total = status(appliance)["total"]

    def search():
        *rows, result = appliance.ctl_as(SECOND_UID, "hits", "search", "--from", WEEK_AGO, "--limit", "1000", *GROUNDS)
        check(result["lists"] == "own", f"{result}")
        return len(rows)
    all_of_them = appliance.ctl("hits", "search", "--from", WEEK_AGO, "--limit", "1000", *GROUNDS)
    check(len(all_of_them) - 1 == total > 50 and all_of_them[-1]["lists"] == "all", f"{all_of_them[-1]}")
    check(search() == 0, "an account without subscription found hits")
    subscribe(appliance, "stranger", "--uid", str(SECOND_UID), organisation="Eastshire Police")
    subscribe(appliance, "sms", "--uid", str(SECOND_UID), "--kind", "sms")
    check(search() == 0, "neither a stranger nor an sms has a way to hits")
    number = all_of_them[0]["number"]
    check(appliance.refused("hits", "show", number, *GROUNDS, uid=SECOND_UID), "shown to an sms")
    subscribe(appliance, "theirs", "--uid", str(SECOND_UID))
    check(search() == total, "not all were found")


def the_publisher_decides(directory, random):
    """Another account neither says who is told, nor changes a list that is not its organisation's."""
    appliance = begin(directory)
    rows = os.path.join(directory, "rows.csv")
    with open(rows, "w") as file:
        file.write("vrm\nAB12CDE\n")
    os.chmod(directory, 0o755)
    os.chmod(rows, 0o644)

    def refused(*arguments):
        said = appliance.refused(*arguments, uid=SECOND_UID)
        check("superuser" in said, f"{arguments}: {said}")

    def changes_of(name, *more):
        return [("lists", "load", rows, "--name", name, *more), ("lists", "add", rows, "--name", name),
                ("lists", "drop", rows, "--name", name), ("lists", "edit", name, "--priority", "3"),
                ("lists", "retro", name, "--days", "1", *GROUNDS), ("lists", "rollback", name), ("lists", "remove", name)]
    subscribe(appliance, "room")
    refused("subscriptions", "add", "spy", "--organisation", ORGANISATION)
    refused("subscriptions", "remove", "room")
    before = appliance.ctl("lists", "show", "crime")[-1]
    subscribe(appliance, "stranger", "--uid", str(SECOND_UID), organisation="Eastshire Police")
    subscribe(appliance, "sms", "--uid", str(SECOND_UID), "--kind", "sms")
    for change in changes_of("crime") + changes_of("crime", "--owner", "Eastshire Police"):
        refused(*change)
    theirs = appliance.ctl("lists", "retro", "crime", "--days", "1", *GROUNDS)[-1]["number"]
    refused("retros", "cancel", str(theirs))
    refused("lists", "load", rows, "--name", "fresh", "--owner", ORGANISATION)
    refused("lists", "load", rows, "--name", "fresh")
    check(appliance.ctl("lists", "show", "crime")[-1] == before, "the list changed")
    # Its own organisation's it may change, but not give to another, nor take a name over with the hits that it had.
    appliance.ctl_as(SECOND_UID, "lists", "load", rows, "--name", "own", "--owner", "Eastshire Police")
    refused("lists", "edit", "own", "--owner", ORGANISATION)
    for change in changes_of("own"):
        appliance.ctl_as(SECOND_UID, *change)
    refused("lists", "load", rows, "--name", "own", "--owner", "Eastshire Police")
    appliance.ctl("lists", "remove", "crime")
    refused("lists", "load", rows, "--name", "crime", "--owner", "Eastshire Police")


def what_a_subscription_may_have_is_told(directory, random):
    appliance = begin(directory)
    check(subscribe(appliance, "room")["lists"] == 1, "its own list is not counted")
    said = subscribe(appliance, "typo", organisation="Nortshire Police")
    check(said["lists"] == 0 and "no list" in said["warning"] and "lists_refused" not in said, f"{said}")
    list_of(appliance, 1, "other", "--owner", "Eastshire Police")
    said = subscribe(appliance, "both", "--list", "crime", "--list", "other")
    check(said["lists"] == 1 and said["lists_refused"] == ["other"] and "lists_refused" in said["warning"], f"{said}")
    said = subscribe(appliance, "clones", "--clones", organisation="Nortshire Police")
    check(said["lists"] == 0 and "warning" not in said, f"{said}")
    text = run([GANTRYCTL, "--socket", appliance.socket, "subscriptions", "add", "x", "--organisation", "X"])
    check("warning" in text and "no list" in text, text)


def one_connection_each(directory, random):
    appliance = begin(directory)
    number = subscribe(appliance, "room")["subscription"]
    check("of that name" in appliance.refused("subscriptions", "add", "room", "--organisation", "X"), "twice the same name")
    check("subscriptions.add" in appliance.refused("hits", "follow", "nobody", *GROUNDS), "no word of how to subscribe")
    check("subscriptions.show" in appliance.refused("subscriptions", "show", "nobody"), "nobody was shown")
    check("lists" in appliance.refused("subscriptions", "add", "x", "--organisation", "X", "--list", "nosuch"), "unknown list")
    first = Subscriber(appliance, "room")
    until(lambda: appliance.ctl("subscriptions", "show")[-1]["subscriptions"][0]["connected"], "not connected")
    second = Subscriber(appliance, "room")
    until(lambda: first.take() is not None and first.answer, "the first was not told")
    check("taken over" in first.answer["error"]["message"], f"{first.answer}")
    send(appliance)
    arrives(second, status(appliance)["total"])
    check(first.take() == [], "the first still gets hits")
    appliance.ctl("subscriptions", "remove", "room")
    until(lambda: second.take() is not None and second.answer, "the second was not told")
    check("removed" in second.answer["error"]["message"], f"{second.answer}")
    check(subscribe(appliance, "room")["subscription"] > number, "a number was given twice")
    subscribe(appliance, "theirs", "--uid", str(SECOND_UID))
    check("another account" in appliance.refused("hits", "follow", "theirs", *GROUNDS), "another account's was followed")
    appliance.kill()
    appliance.start()
    names = {row["name"] for row in appliance.ctl("subscriptions", "show")[-1]["subscriptions"]}
    check(names == {"room", "theirs"}, f"{names}")


def left_to_a_script(directory, random):
    """gantryctl that acknowledges nothing: what it tells of lane and cursor is enough to do so, and its end is no good one."""
    appliance = begin(directory)
    subscribe(appliance, "room")
    path, log = (os.path.join(directory, name) for name in ("told", "told.log"))

    def told():
        with open(path) as file:
            return [json.loads(line) for line in file if line.endswith("}\n")]
    client = start([GANTRYCTL, "--socket", appliance.socket, "hits", "follow", "room", *GROUNDS, "--json", "--no-ack"], log,
                   stdout=open(path, "ab"))
    until(lambda: appliance.ctl("subscriptions", "show")[-1]["subscriptions"][0]["connected"], "not connected")
    send(appliance)
    until(lambda: len(told()) == status(appliance)["total"], lambda: f"{len(told())} of {status(appliance)}")
    check(status(appliance)["acknowledged"] == 0, "it acknowledged")
    appliance.stop()
    check(client.wait(20) == 3, f"it ended with {client.returncode}")
    with open(log) as file:
        check("stopping" in file.read(), "it did not say why")
    appliance.start()
    rows = appliance.ctl("audit", "show", *GROUNDS)[:-1]
    sent = [row["body"]["rows_sent"] for row in rows if row["verb"] == "hits.follow" and row["outcome"] != "intent"]
    check(sent == [len(told())], f"{sent} in the audit log, {len(told())} hits")
    for lane in {hit["lane"] for hit in told()}:
        cursor = [hit["cursor"] for hit in told() if hit["lane"] == lane and "cursor" in hit][-1]
        appliance.ctl("hits", "ack", "room", "--cursor", cursor)
    again = run([GANTRYCTL, "--socket", appliance.socket, "hits", "follow", "room", *GROUNDS, "--json", "--for", "2"])
    check(again == "", f"told again: {again[:200]}")


if __name__ == "__main__":
    raise SystemExit(main("hits", [
        ("resumes where it acknowledged", resumes_where_it_acknowledged),
        ("what came while it was away", what_came_while_it_was_away),
        ("a stalled one holds back nobody", a_stalled_one_holds_back_nobody),
        ("what nobody acknowledges is told", what_nobody_acknowledges_is_told),
        ("only whom the list names", only_whom_the_list_names),
        ("what was marked meanwhile", what_was_marked_meanwhile),
        ("without its list", without_its_list),
        ("a search gives only one's own", a_search_gives_only_ones_own),
        ("the publisher decides", the_publisher_decides),
        ("what a subscription may have is told", what_a_subscription_may_have_is_told),
        ("one connection each", one_connection_each),
        ("left to a script", left_to_a_script),
    ]))
