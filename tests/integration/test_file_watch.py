# SPDX-License-Identifier: Apache-2.0
"""Files that change are read again without an order: whichever way they are replaced."""
import os
import shutil
import signal

import pytest
from changing import Load, OwnFiles, end, serial_of
from waiting import wait_until


@pytest.fixture
def watched(new_door, files):
    return new_door(tls=files.tls(), workers=2)


@pytest.fixture
def watched_anywhere(new_door, files):
    """Without the sandbox, which lets nobody into folders that were not there at start."""
    return new_door(tls=files.tls(), workers=2, process={"top": {"sandbox": "off"}})


def shows(door, serial):
    with door.client("echo") as client:
        door.round_trip(client)
        end(client)
    return serial_of(client) == serial


def wait_shown(door, serial):
    wait_until(lambda: f"certificate {serial}:\n{door.proxy.tail()}", lambda: shows(door, serial))


def test_written_in_place(watched, files):
    """Certificate and key are two files: between them they may not match, and that is no harm."""
    watched.proxy.expected_errors.add("reload_failed")
    with Load(watched, 2) as load:
        for _ in range(3):
            files.write_identity()
            wait_shown(watched, files.serial)
            load.moves()


def test_renamed_over(watched, files, tmp_path):
    fresh = OwnFiles(tmp_path / "fresh", files.pki)
    watched.proxy.expected_errors.add("reload_failed")
    os.rename(fresh.key, files.key)
    os.rename(fresh.certificate, files.certificate)
    wait_shown(watched, fresh.serial)


def test_half_written(watched, files):
    """It is refused as long as it is half, and taken when it is whole."""
    old = files.serial
    identity = files.identity()
    watched.proxy.expected_errors.add("reload_failed")
    whole = open(files.certificate, "rb").read()
    open(files.certificate, "wb").write(whole[:300])
    wait_until("the half file to be refused", lambda: watched.proxy.lines(event="reload_failed"))
    assert shows(watched, old)
    files.write_identity(identity)
    wait_shown(watched, identity.serial)


def test_configuration(watched):
    watched.proxy.config["listeners"][0]["allow"] = [{"cn": "nobody"}]
    watched.proxy.write_config()
    wait_until("the new rules", lambda: watched.proxy.lines(event="reloaded"))
    assert watched.proxy.lines(event="files_changed")
    watched.proxy.config["listeners"][0]["allow"] = [{"cn": "svc-a"}]
    watched.proxy.write_config()
    wait_until("the old rules", lambda: watched.proxy.lines(event="reloaded")[1:])


def test_a_key_made_private(watched, files):
    """A change of nothing but the mode counts: it may be what was wrong."""
    watched.proxy.expected_errors.add("reload_failed")
    os.chmod(files.key, 0o644)
    wait_until("the key to be refused", lambda: watched.proxy.lines(event="reload_failed"))
    os.chmod(files.key, 0o600)
    wait_until("the key to be taken", lambda: watched.proxy.lines(event="reloaded"))


def test_the_same_again_is_no_change(watched, files, tmp_path):
    """Neither a touch nor the same bytes in another file; the real change behind them is seen, so
    that they had their chance."""
    for path in (files.certificate, files.key, files.roots, watched.proxy.folder / "config.yaml"):
        os.utime(path)
        shutil.copy(path, tmp_path / "copy")
        os.rename(tmp_path / "copy", path)
    watched.proxy.write_config()
    # A reload by order after them, then a look that finds a change and nothing before it.
    files.write_roots(files.pki.root)
    wait_until("the change", lambda: watched.proxy.lines(event="reloaded"))
    assert len(watched.proxy.lines(event="files_changed")) == 1
    watched.proxy.reload()  # what an order has read is not read once more
    files.write_roots(files.pki.root, files.pki.root_rsa)
    wait_until("the change", lambda: len(watched.proxy.lines(event="files_changed")) >= 2)
    wait_until("the reload", lambda: len(watched.proxy.lines(event="reloaded")) == 3)
    assert len(watched.proxy.lines(event="files_changed")) == 2


class Volume:
    """A volume as the kubelet writes it: the files are links through ..data to a directory, and a
    new version swaps ..data."""

    def __init__(self, folder, pki):
        self.folder, self.pki, self.version = folder, pki, 0
        folder.mkdir()
        self.swap()
        for name in ("own.crt", "own.key", "roots.pem"):
            (folder / name).symlink_to(f"..data/{name}")

    def swap(self):
        self.version += 1
        target = self.folder / f"..version_{self.version}"
        self.serial = OwnFiles(target, self.pki).serial
        (self.folder / "..data_tmp").symlink_to(target.name)
        os.rename(self.folder / "..data_tmp", self.folder / "..data")
        old = self.folder / f"..version_{self.version - 1}"
        if old.exists():
            shutil.rmtree(old)

    def tls(self):
        return {"certificate": str(self.folder / "own.crt"), "key": str(self.folder / "own.key"),
                "roots": [str(self.folder / "roots.pem")]}


def test_kubernetes_volume(new_door, pki, tmp_path):
    """Certificate and key change at one stroke. (A look may still fall between the two reads.)"""
    volume = Volume(tmp_path / "volume", pki)
    door = new_door(tls=volume.tls(), workers=2)
    door.proxy.expected_errors.add("reload_failed")
    with Load(door, 2) as load:
        for _ in range(4):
            volume.swap()
            wait_shown(door, volume.serial)
            load.moves()


def test_a_directory_swapped_by_its_own_link(new_door, pki, tmp_path):
    """live -> v1 becomes live -> v2, somewhere above the files."""
    versions = [OwnFiles(tmp_path / f"v{i}" / "deep" / "er", pki) for i in range(3)]
    link = tmp_path / "live"
    link.symlink_to("v0")
    tls = {"certificate": str(link / "deep/er/own.crt"), "key": str(link / "deep/er/own.key"),
           "roots": [str(link / "deep/er/roots.pem")]}
    door = new_door(tls=tls)
    for i in (1, 2):
        (tmp_path / "fresh").symlink_to(f"v{i}")
        os.rename(tmp_path / "fresh", link)
        wait_shown(door, versions[i].serial)


def test_a_directory_that_goes_and_comes(watched_anywhere, files, tmp_path):
    old = files.serial
    watched_anywhere.proxy.expected_errors.add("reload_failed")
    os.rename(files.folder, tmp_path / "away")
    wait_until("it to be missed", lambda: watched_anywhere.proxy.lines(event="reload_failed"))
    assert shows(watched_anywhere, old)
    fresh = OwnFiles(tmp_path / "fresh", files.pki)
    os.rename(fresh.folder, files.folder)
    wait_shown(watched_anywhere, fresh.serial)


def test_a_file_that_is_named_before_it_is_there(watched_anywhere, files, tmp_path):
    """The configuration names a certificate that comes only later."""
    watched_anywhere.proxy.expected_errors.add("reload_failed")
    later = tmp_path / "later"
    tls = {"certificate": str(later / "own.crt"), "key": str(later / "own.key"),
           "roots": [str(files.roots)]}
    for listener in watched_anywhere.proxy.config["listeners"]:
        listener["tls"] = tls
    watched_anywhere.proxy.write_config()
    wait_until("it to be missed", lambda: watched_anywhere.proxy.lines(event="reload_failed"))
    fresh = OwnFiles(later, files.pki)
    wait_shown(watched_anywhere, fresh.serial)


def test_switched_off_and_on(new_door, files):
    """reload: manual leaves changed files alone; the key itself changes live."""
    door = new_door(tls=files.tls(), process={"top": {"reload": "manual"}})
    old = files.serial
    fds = door.proxy.fds()
    files.write_identity()
    door.proxy.config["reload"] = "auto"
    door.proxy.write_config()
    door.proxy.signal(signal.SIGUSR1)
    wait_until("a sign of life", lambda: door.proxy.lines(event="totals"))
    assert shows(door, old)
    door.proxy.reload()
    assert shows(door, files.serial)
    door.proxy.expected_errors.add("reload_failed")
    files.write_identity()
    wait_shown(door, files.serial)
    door.proxy.config["reload"] = "manual"
    door.proxy.write_config()
    wait_until("the watch to end", lambda: door.proxy.fds() <= fds)


def test_other_files_beside_them_are_nothing(watched, files):
    """Events of strangers make it look, no more."""
    for i in range(200):
        (files.folder / f"stranger-{i % 5}").write_text(str(i))
    files.write_roots(files.pki.root)
    wait_until("the change", lambda: watched.proxy.lines(event="reloaded"))
    assert len(watched.proxy.lines(event="files_changed")) == 1
