"""Keys through the whole appliance: what keys show says, rotation of the master key, and the escrow drill exactly as
docs/operations.md has it, with openssl alone: master key lost, data directory open again, searches answered."""

import json
import os
import re
import shutil
import subprocess

from rig import BUILD, FSCK, GANTRYCTL, Appliance, check, fleet, fleet_result, main, run

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/operations.md")


def officer(directory, name, algorithm=("rsa:3072",), days="30", subject=None):
    key, certificate = (os.path.join(directory, name + end) for end in (".key", ".pem"))
    run(["openssl", "req", "-x509", "-newkey", *algorithm, "-nodes", "-keyout", key, "-out", certificate, "-days", days,
         "-subj", subject or f"/O=Gantry test/CN={name}"])
    return key, certificate


def traffic(appliance, name="fleet"):
    process = fleet(appliance, name=name, rate="5000", more=["--duration", "1", "--drain", "30"])
    process.wait(90)
    result = fleet_result(appliance, name)
    check(process.returncode == 0, f"gantry-load: {result}")
    return result


def with_reads(directory):
    appliance = Appliance(directory)
    appliance.start()
    appliance.register()
    traffic(appliance)
    return appliance


def search(appliance):
    grounds = ["--purpose", "serious", "--case", "TEST-1", "--reason", "testing the keys"]
    answer = appliance.ctl("search", "*A*", "--limit", "10000", *grounds)
    check(answer[-1]["complete"], f"incomplete: {answer[-1]}")
    return sorted(row["id"] for row in answer[:-1])


def keys(appliance):
    return appliance.ctl("keys", "show")[-1]


def master_of(appliance):
    with open(appliance.master) as file:
        return file.read()


def nothing_secret(appliance, texts):
    secrets = [master_of(appliance).strip()]
    with open(appliance.log, errors="replace") as log:
        texts = texts + [log.read()]
    for secret in secrets:
        check(not any(secret in text for text in texts), "a key stands in an answer or in the log")


def fsck(data, master, *more):
    done = subprocess.run([FSCK, data, "--master-key", master, "--json", *more], capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}, done.stderr


def show_and_rotate(directory, random):
    appliance = with_reads(directory)
    before = keys(appliance)
    check(before["copies_current"] and [copy["state"] for copy in before["copies"]] == ["current"] * 2, f"{before}")
    check(before["escrow"] is None and before["kinds"]["register"] == 1, f"{before}")
    found = search(appliance)
    old = master_of(appliance)
    rotated = appliance.ctl("keys", "rotate-master", "--reason", "a test of rotation")[-1]
    check(rotated["generation"] > before["generation"], f"{rotated}")
    check(master_of(appliance) != old, "the master key is the same")
    check(os.stat(appliance.master).st_mode & 0o777 == 0o600, "the master key file is not for its owner alone")
    check(os.listdir(os.path.dirname(appliance.master)) == ["master.key"], "the old master key lies about")
    check(search(appliance) == found, "answers changed by a rotation")
    traffic(appliance, "second")
    found = search(appliance)
    nothing_secret(appliance, [json.dumps(keys(appliance)), json.dumps(rotated)])
    # A former ring, kept by somebody, and the old master key: no way into what was rotated since.
    appliance.kill()
    appliance.start()
    check(search(appliance) == found, "answers changed by a crash after the rotation")
    appliance.stop()
    kept = os.path.join(directory, "old.key")
    with open(os.open(kept, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(old)
    status, _, said = fsck(appliance.data, kept)
    check(status == 3 and "does not open this keyring" in said, f"the old master key: {status} {said}")
    check(appliance.fsck()["clean"], "damage after a rotation")


def expired_certificate(directory):
    """openssl's req makes none that has ended already; its ca does."""
    top = os.path.join(directory, "ca")
    os.mkdir(top)
    for name, text in (("index.txt", ""), ("serial", "01\n"), ("config", f"""
[ca]
default_ca = here
[here]
dir = {top}
database = {top}/index.txt
serial = {top}/serial
new_certs_dir = {top}
default_md = sha256
policy = any
[any]
commonName = supplied
""")):
        with open(os.path.join(top, name), "w") as file:
            file.write(text)
    key, request, out = (os.path.join(top, name) for name in ("late.key", "late.csr", "late.pem"))
    run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=late"])
    run(["openssl", "ca", "-batch", "-selfsign", "-config", os.path.join(top, "config"), "-keyfile", key, "-in", request,
         "-out", out, "-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-notext"])
    return out


def certificates_are_judged(directory, random):
    appliance = Appliance(directory)
    appliance.start()
    one, two = officer(directory, "one")[1], officer(directory, "two", ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"))[1]
    weak = officer(directory, "weak", ("rsa:1024",))[1]
    same_name = officer(directory, "other", subject="/O=Gantry test/CN=one")[1]
    expired = expired_certificate(directory)
    signer = os.path.join(directory, "signer.pem")
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", os.path.join(directory, "y.key"), "-out",
         signer, "-subj", "/CN=signer", "-addext", "keyUsage=critical,digitalSignature"])
    rubbish = os.path.join(directory, "rubbish.pem")
    with open(rubbish, "w") as file:
        file.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    out = os.path.join(directory, "escrow.pem")

    def refused(first, second, text):
        said = appliance.refused("keys", "escrow", "--officer", first, "--officer", second, "--out", out, "--reason", "a test")
        check(text in said, f"expected «{text}»: {said}")
        check(not os.path.exists(out), "a refused export left a file")

    refused(one, one, "same certificate")
    refused(one, same_name, "same subject")
    refused(one, weak, "too weak")
    refused(expired, one, "expired")
    refused(one, signer, "does not allow encryption")
    refused(rubbish, one, "not a certificate")
    check(keys(appliance)["escrow"] is None, "a refused export changed the keyring")
    done = subprocess.run([GANTRYCTL, "--socket", appliance.socket, "keys", "escrow", "--officer", one, "--out", out,
                           "--reason", "one is not enough"], capture_output=True, text=True)
    check(done.returncode == 2, f"one officer was enough: {done.stdout}{done.stderr}")
    made = appliance.ctl("keys", "escrow", "--officer", one, "--officer", two, "--out", out, "--reason", "a test")[-1]
    check(keys(appliance)["escrow"] == made["escrow"], f"{made}")
    check([entry["subject"] for entry in made["officers"]] == ["CN=one,O=Gantry test", "CN=two,O=Gantry test"], f"{made}")
    grounds = ["--purpose", "audit", "--case", "A-1", "--reason", "who exported what"]
    entries = [entry for entry in appliance.ctl("audit", "show", *grounds) if entry.get("verb") == "keys.escrow"]
    done = [entry for entry in entries if entry["outcome"] == "done"]
    check(len(done) == 1 and made["officers"][1]["sha256"] in json.dumps(done), "the audit log does not name both officers")
    check(made["escrow"] in json.dumps(done) and "BEGIN CMS" not in json.dumps(entries), f"{done}")
    # A second file is not written over.
    check("exists" in appliance.refused("keys", "escrow", "--officer", one, "--officer", two, "--out", out, "--reason",
                                        "again"), "an export was overwritten")
    check(keys(appliance)["escrow"] == made["escrow"], "an export that could not be written voided the former one")
    appliance.stop()


def documented(names):
    """The commands of the drill, as the page prints them, with its names replaced by this test's."""
    with open(DOCS) as page:
        text = page.read()
    block = re.search(r"<!-- drill -->\n```sh\n(.*?)```", text, re.S)
    check(block is not None, "docs/operations.md has no drill")
    commands = block.group(1)
    for name, path in names.items():
        check(name in commands, f"the drill does not speak of {name}")
        commands = commands.replace(name, path)
    return commands


def drill(directory, random, algorithms):
    appliance = with_reads(directory)
    first_key, first = officer(directory, "first", algorithms[0])
    second_key, second = officer(directory, "second", algorithms[1])
    out = os.path.join(directory, "escrow.pem")
    appliance.ctl("keys", "escrow", "--officer", first, "--officer", second, "--out", out, "--reason", "yearly export")
    # Later changes and a rotation do not take its power.
    appliance.ctl("keys", "rotate-master", "--reason", "yearly")
    traffic(appliance, "second")
    found = search(appliance)
    appliance.stop()
    os.unlink(appliance.master)  # the disaster

    opened = os.path.join(directory, "escrow.key")
    fresh = os.path.join(directory, "fresh.key")
    restored = os.path.join(directory, "restored")
    shutil.copytree(appliance.data, restored)
    names = {"/srv/restored": restored, "escrow.pem": out, "escrow.key": opened, "first.key": first_key,
             "first.pem": first, "second.key": second_key, "second.pem": second, "/etc/gantry/master.key": fresh,
             "gantry-fsck": FSCK}
    # One officer alone opens nothing.
    alone = subprocess.run(["openssl", "cms", "-decrypt", "-inform", "PEM", "-in", out, "-inkey", first_key, "-recip", first],
                           capture_output=True)
    check(alone.returncode != 0, "the first officer alone opened the export")
    outer = subprocess.run(["openssl", "cms", "-decrypt", "-inform", "PEM", "-in", out, "-inkey", second_key, "-recip",
                            second], capture_output=True)
    check(outer.returncode == 0 and outer.stdout.startswith(b"-----BEGIN CMS"), "the second officer alone read the key")
    # A changed byte is refused, not decrypted to something else.
    with open(out) as file:
        lines = file.read().splitlines()
    middle = len(lines) // 2
    lines[middle] = lines[middle][:10] + ("A" if lines[middle][10] != "A" else "B") + lines[middle][11:]
    bad = os.path.join(directory, "bad.pem")
    with open(bad, "w") as file:
        file.write("\n".join(lines) + "\n")
    changed = subprocess.run(["openssl", "cms", "-decrypt", "-inform", "PEM", "-in", bad, "-inkey", second_key, "-recip",
                              second], capture_output=True)
    check(changed.returncode != 0, "a changed export was opened")

    commands = documented(names)
    done = subprocess.run(["sh", "-eux", "-c", commands], capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"the drill: {done.stderr[-2000:]}")
    check(os.stat(opened).st_mode & 0o777 == 0o600 if os.path.exists(opened) else True, "the opened key is readable by all")

    again = Appliance(directory, **{"appliance.data_directory": restored, "appliance.master_key": fresh})
    again.feeds, again.data, again.master = appliance.feeds, restored, fresh
    again.start()
    check(search(again) == found, "the restored directory answers otherwise")
    check(keys(again)["escrow"] is None, "an export that was opened is still valid")
    traffic(again, "third")
    again.stop()
    check(again.fsck()["clean"], "damage after the drill")


def drill_rsa(directory, random):
    drill(directory, random, (("rsa:2048",), ("rsa:3072",)))


def drill_ec(directory, random):
    drill(directory, random, (("ec", "-pkeyopt", "ec_paramgen_curve:P-384"), ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")))


def a_credential_is_rotated_offline(directory, random):
    appliance = with_reads(directory)
    found = search(appliance)
    # The key's directory cannot be written, as with a systemd credential; root writes anywhere, so a file stands in the way.
    os.mkdir(appliance.master + ".new")
    said = appliance.refused("keys", "rotate-master", "--reason", "a credential")
    check("--new-master" in said and "the old one stands" in said, f"{said}")
    check(search(appliance) == found, "a refused rotation changed something")
    appliance.stop()
    os.rmdir(appliance.master + ".new")
    fresh = os.path.join(directory, "next.key")
    run([FSCK, appliance.data, "--master-key", appliance.master, "--new-master", fresh])
    check(os.stat(fresh).st_mode & 0o777 == 0o600, "the new key is readable by others")
    check(fsck(appliance.data, appliance.master)[0] == 3, "the old master key still opens")
    appliance.settings["appliance.master_key"] = fresh
    appliance.start()
    check(search(appliance) == found, "answers changed")
    appliance.stop()


if __name__ == "__main__":
    raise SystemExit(main("escrow", [
        ("show and rotate", show_and_rotate),
        ("certificates are judged", certificates_are_judged),
        ("the drill, RSA", drill_rsa),
        ("the drill, EC", drill_ec),
        ("a credential is rotated offline", a_credential_is_rotated_offline),
    ]))
