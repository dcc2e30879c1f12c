# SPDX-License-Identifier: Apache-2.0
"""What a run consists of, without running it."""
import pytest

import kafka
import measure
import profiles
import runner
import subjects


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_every_profile_can_do_every_work(profile):
    for work in profiles.chosen(profile, list(profiles.ALL)):
        labels = [label for label, _ in work.points()]
        assert labels and len(labels) == len(set(labels))
        assert all(work.metrics_of(label) for label in labels)
        assert work.rounds >= 1


def test_what_open_files_do_not_allow_is_cut_and_said(monkeypatch):
    monkeypatch.setattr("measure.fd_limit", lambda: 1200)
    (work,) = profiles.chosen("full", ["idle"])
    assert [options["connections"] for _, options in work.points()] == [500]
    assert [label for label, _ in work.points()] == ["500 connections"]
    (note,) = [line for line in work.notes() if "10000 connections" in line]
    assert "500 instead" in note


def test_stunnel_can_hold_them_too(monkeypatch):
    monkeypatch.setattr("measure.fd_limit", lambda: 20000)
    assert measure.connections_max() < 20000 * 125 // 256
    monkeypatch.setattr("measure.fd_limit", lambda: 21334)
    assert measure.connections_max() >= 10000


def test_usual_subjects_are_known():
    assert set(subjects.USUAL) <= set(subjects.CATALOGUE)


# Where the kernel has no TLS and all packages are installed.
NAMES = ["direct", "plain-splice", "sallyport", "sallyport-aead-limits", "nginx", "haproxy", "stunnel", "hitch"]


@pytest.mark.parametrize("profile, least, most", [("quick", 1, 3), ("standard", 14, 22), ("full", 50, 75)])
def test_profiles_take_as_long_as_they_are_said_to(profile, least, most):
    minutes = sum(runner.reckoned(work, NAMES) for work in profiles.chosen(profile, None)) / 60
    assert least <= minutes <= most


def test_progress_believes_what_it_has_seen(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("measure.note", lambda text: None)
    progress = runner.Progress(timed=True)
    progress.expect(1000)
    assert progress.left() == 1000
    now[0] = 490  # a machine half as fast
    progress.add(240, "some of it")
    assert 1450 < progress.left() < 1550
    progress.add(760, "the rest")
    assert progress.left() == 0


def test_the_proxy_has_a_core_of_its_own():
    assert measure.cores({3}) == (None, None, None)
    assert measure.cores({0, 1}, pinned=False) == (None, None, None)
    assert measure.cores({0, 1}) == ({1}, {0}, {0})
    assert measure.cores({4, 5, 6}) == ({5}, {6}, {4})
    assert measure.cores(set(range(8))) == ({1}, {2}, {0, 3, 4, 5, 6, 7})


def test_what_the_broker_uses_anyhow_is_taken_off_and_never_guessed():
    assert kafka.beyond_idle(1000, 100, 2) == 800
    assert kafka.beyond_idle(1000, 400, 2) == 200
    assert kafka.beyond_idle(1000, 401, 2) is None
    assert kafka.beyond_idle(1000, 600, 2) is None
