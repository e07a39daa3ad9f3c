"""Pattern databases are made by another process: whatever becomes of it, lists go on matching and the operator is told."""
import glob
import os
import stat

from rig import BUILD, GROUNDS, Appliance, check, main, until

HURT = {
    "killed": ("exec sh -c 'kill -9 $$'", {}, "died of signal 9"),
    "silent": ("exit 0", {}, ""),
    "wrong": ("head -c 100 /dev/urandom >&0", {}, ""),
    "hanging": ("exec sleep 60", {"lists.compiler_seconds": "1"}, "took too long"),
    "hungry": (None, {"lists.compiler_memory": "16"}, "memory"),
}


def script(directory, body):
    """What gantryd takes for its compiler; the last line is the real one, which a test may uncover."""
    path = os.path.join(directory, "compiler")
    with open(path + ".new", "w") as file:
        file.write("#!/bin/sh\n" + (body or "exec " + os.path.join(BUILD, "matcher/gantry-compile") + ' "$@"') + "\n")
    os.chmod(path + ".new", stat.S_IRWXU)
    os.rename(path + ".new", path)
    return path


def letters(number):
    return "".join("ABCDEFGHJKLMNPRSTUVWXY"[number // 22 ** i % 22] for i in range(4))


def rows(appliance, first, count):
    """So many patterns that no table takes them: two wildcards of any length each."""
    path = os.path.join(appliance.directory, "rows.csv")
    with open(path, "w") as file:
        file.write("vrm\n" + "".join(f"{letters(i)}*1*\n" for i in range(first, first + count)))
    return path


def load(appliance, first, count, verb="load"):
    return appliance.ctl("lists", verb, rows(appliance, first, count), "--name", "partials")[-1]


def matching(appliance):
    return appliance.ctl("status")[-1]["matching"]


def told(appliance):
    return [text for text in appliance.ctl("status")[-1]["alarms"] if "lists go on matching" in text]


def meets(appliance, vrm):
    return appliance.ctl("lists", "check", "partials", "--vrm", vrm, *GROUNDS)[-1]["found"]


def folded(appliance, beyond):
    until(lambda: matching(appliance)["folds"] > beyond and not matching(appliance)["folding"],
          lambda: f"no new base: {matching(appliance)}", 60)


def a_compiler_that_fails(directory, random, kind):
    body, settings, why = HURT[kind]
    appliance = Appliance(directory, **{"lists.compiler": script(directory, None), **settings})
    if kind == "hungry":
        appliance.settings.pop("lists.compiler_memory")
        appliance.start()
        load(appliance, 0, 150)
        folded(appliance, 0)
        appliance.stop()
        appliance.settings.update(settings)
        appliance.start()
        beyond = 0
    else:
        appliance.start()
        load(appliance, 0, 150)
        folded(appliance, 0)
        beyond = matching(appliance)["folds"]
        script(directory, body)
    check(told(appliance) == [], f"{told(appliance)}")
    load(appliance, 150, 150, verb="add")
    until(lambda: matching(appliance)["failed"] > 0, lambda: f"{matching(appliance)}", 60)
    state = matching(appliance)
    check(state["folds"] == beyond and why in state["why"] and state["why"], f"{state}")
    check(len(told(appliance)) == 1, f"{appliance.ctl('status')[-1]['alarms']}")
    # What was there before matches, and so does what came since.
    for number in (0, 149, 150, 299):
        check(meets(appliance, f"{letters(number)}X1Y"), f"pattern {number} does not match")
    check(not meets(appliance, f"{letters(9000)}X1Y"), "a pattern that nobody loaded matches")
    if kind == "hungry":
        # More than can wait for the next base: refused, and nothing is changed.
        said = appliance.refused("lists", "add", rows(appliance, 300, 3000), "--name", "partials")
        check("the former version stays" in said and "memory" in said, said)
        check(meets(appliance, f"{letters(299)}X1Y") and not meets(appliance, f"{letters(300)}X1Y"), "half a list")
    else:
        script(directory, None)
        load(appliance, 300, 150, verb="add")
        folded(appliance, beyond)
        check(told(appliance) == [], f"the alarm stays: {told(appliance)}")
        check(matching(appliance)["delta_patterns"] == 0, f"{matching(appliance)}")
    appliance.stop()


def a_damaged_cache(directory, random):
    appliance = Appliance(directory)
    appliance.start()
    load(appliance, 0, 200)
    folded(appliance, 0)
    appliance.stop()
    appliance.start()
    check(matching(appliance)["base_entries"] == 200 and matching(appliance)["folds"] == 0, f"{matching(appliance)}")
    appliance.stop()
    paths = glob.glob(os.path.join(appliance.data, "**/*.cache"), recursive=True)
    check(paths, "no cache was kept")
    for path in paths:
        with open(path, "r+b") as file:
            size = os.path.getsize(path)
            file.seek(random.randrange(size))
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1 << random.randrange(8)]))
    appliance.start()
    for number in (0, 199):
        check(meets(appliance, f"{letters(number)}X1Y"), f"pattern {number} does not match")
    folded(appliance, 0)
    check("compiled anew" in appliance.tail(), f"nobody was told: {appliance.tail()}")
    appliance.stop()
    appliance.start()
    check(matching(appliance)["base_entries"] == 200 and matching(appliance)["folds"] == 0, f"{matching(appliance)}")
    appliance.stop()


def hostile_patterns(directory, random):
    """Each is refused with its reason, and nothing of its file is loaded with --strict."""
    appliance = Appliance(directory)
    appliance.start()
    for pattern in ("****", "*", "?", "????????????????", "", "A*", "*A", "A?B?C?D?E?F?G?H?I?J", "*A*B*C*D*E*F*G*H*I*", "\x01"):
        path = os.path.join(directory, "rows.csv")
        with open(path, "w") as file:
            file.write(f'vrm,reason\nAB12CDE,good\n"{pattern}",bad\n')
        appliance.refused("lists", "load", path, "--name", "hostile", "--strict")
        done = appliance.ctl_partly("lists", "load", path, "--name", "hostile")[-1]
        check(done["entries"] == 1 and done["rejected_count"] == 1 and done["rejected"][0]["line"] == 3 and
              done["rejected"][0]["reason"], f"{pattern!r}: {done}")
    appliance.stop()


if __name__ == "__main__":
    main("matching", [(f"a compiler that is {kind}", lambda directory, random, kind=kind:
                       a_compiler_that_fails(directory, random, kind)) for kind in HURT] +
         [("a damaged cache", a_damaged_cache), ("hostile patterns", hostile_patterns)])
