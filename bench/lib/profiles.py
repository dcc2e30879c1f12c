# SPDX-License-Identifier: Apache-2.0
"""Which work there is and how much of it a run does."""

import kafka
import works

ALL = {work.name: work for work in
       (works.Core, works.Records, works.Fanout, works.Requests, works.Handshakes, works.Storm, works.Reconnect, works.Idle,
        kafka.Kafka)}

# Rounds, and what each work is given. A work that a profile does not name is done only when asked for,
# with what ASKED or else the full profile says.
PROFILES = {
    "quick": (3, {
        "core": {"handshakes": 60, "lengths": ("48M", "32M+12345"), "round_trips": 1500},
        "records": {"rounds": 2, "sizes": {"1k": "16M", "16k": "48M"}},
        "fanout": {"rounds": 2, "consumers": {8: "6M"}, "paced": {}, "seconds": 1},
        "requests": {"rounds": 1, "connections": (100,), "seconds": 1},
        "reconnect": {"rounds": 1, "clients": (200,)},
        "idle": {"rounds": 1, "connections": (300,), "settle": 0.2},
    }),
    "standard": (5, {
        "core": {"handshakes": 200, "lengths": ("256M", "192M+12345", "128M+7"), "round_trips": 5000},
        "records": {"rounds": 3, "sizes": {"100": "3M", "1k": "32M", "16k": "128M", "1M": "192M"}},
        "fanout": {"rounds": 3, "consumers": {8: "16M", 32: "4M"}, "paced": {8: 2000}, "seconds": 2},
        "requests": {"rounds": 3, "connections": (100, 1000), "seconds": 2},
        "handshakes": {"rounds": 3, "clients": (16,), "count": 800},
        "storm": {"rounds": 2, "rate": 2000, "count": 2000, "warm_up": 1},
        "reconnect": {"rounds": 2, "clients": (1000,)},
        "idle": {"rounds": 2, "connections": (1000,), "settle": 0.5},
        "kafka": {"rounds": 3, "warm_up": 2, "records": 200_000, "consumed": 800_000},
    }),
    "full": (8, {
        "core": {"handshakes": 400, "lengths": ("512M", "384M+12345", "256M+7"), "round_trips": 10000},
        "records": {"rounds": 4, "sizes": {"100": "6M", "300": "16M", "1k": "48M", "4k": "128M", "16k": "256M",
                                           "64k": "256M", "256k": "256M", "1M": "256M"}},
        "fanout": {"rounds": 4, "consumers": {1: "64M", 8: "24M", 64: "4M"},
                   "paced": {8: 2000, 32: 500}, "seconds": 4},
        "requests": {"rounds": 2, "connections": (1, 10, 100, 1000, 10000), "seconds": 3},
        "handshakes": {"rounds": 4, "clients": (1, 16, 64), "count": 1500},
        "storm": {"rounds": 3, "rate": 2000, "count": 3000, "warm_up": 2},
        "reconnect": {"rounds": 2, "clients": (1000, 10000)},
        "idle": {"rounds": 1, "connections": (1000, 10000), "settle": 1},
        "kafka": {"rounds": 6, "warm_up": 3, "records": 400_000, "consumed": 1_600_000},
    }),
    # In the VM that counts instructions: emulated, so small, and steady, so few rounds.
    "vm": (9, {
        "core": {"handshakes": 20, "lengths": ("20M", "16M+12345", "12M+7"), "round_trips": 1000},
    }),
    "vm-quick": (6, {
        "core": {"handshakes": 20, "lengths": ("12M", "8M+12345"), "round_trips": 1000},
    }),
}


# An emulated CPU: small loads.
ASKED = {
    "vm": {
        "records": {"rounds": 2, "sizes": {"100": "300k", "1k": "3M", "16k": "8M", "1M": "12M"}},
        "fanout": {"rounds": 2, "consumers": {4: "4M"}, "paced": {}, "seconds": 1},
        "idle": {"rounds": 1, "connections": (300,), "settle": 1},
    },
}
ASKED["vm-quick"] = ASKED["vm"]


def chosen(profile, names):
    """The works of a profile, or those named."""
    rounds, params = PROFILES[profile]
    known = dict(PROFILES["full"][1], **ASKED.get(profile, {}), **params)
    return [ALL[name](known[name], rounds) for name in names or params]
