# SPDX-License-Identifier: Apache-2.0
"""What a run consists of, without running it."""
import pytest

import profiles
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
    assert "10000 connections" in work.notes()[-1] and "500 instead" in work.notes()[-1]


def test_usual_subjects_are_known():
    assert set(subjects.USUAL) <= set(subjects.CATALOGUE)
