# SPDX-License-Identifier: Apache-2.0
"""What the figures were taken on."""

import datetime
import os
import platform
import re
import shutil
import subprocess


def first_line(argv):
    """Of what a program says, on either stream; empty if it cannot be run."""
    try:
        out = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError:
        return ""
    lines = out.stdout.decode(errors="replace").splitlines()
    return lines[0].strip() if lines else ""


def read(path, default=""):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read().strip()
    except OSError:
        return default


def openssl_version():
    """As "3.0.17"."""
    words = first_line(["openssl", "version"]).split()
    return words[1] if len(words) > 1 else "unknown"


def compiler_version():
    match = re.search(r"\d+(\.\d+)+", first_line(["gcc", "--version"]).split(")")[-1])
    return f"gcc {match[0]}" if match else "unknown"


def unit():
    """What a nanosecond of CPU time is here: in a VM whose clock counts them, an instruction."""
    return "instructions" if os.environ.get("SALLYPORT_VM_ACCEL") == "icount" else "ns"


def cpu_model():
    match = re.search(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    return match[1] if match else platform.machine()


def memory_gib():
    match = re.search(r"^MemTotal:\s*(\d+)", read("/proc/meminfo"), re.M)
    return round(int(match[1]) / 2**20, 1) if match else 0


def distribution():
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.M)
    return match[1] if match else "unknown"


def java_version():
    """Of what would run Kafka."""
    java = os.path.join(os.environ.get("JAVA_HOME", ""), "bin", "java")
    found = java if os.access(java, os.X_OK) else shutil.which("java")
    return first_line([found, "-version"]) if found else ""


def load_average():
    return os.getloadavg()[0]


def describe():
    """A dict of texts and numbers."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "host": os.environ.get("SALLYPORT_BENCH_HOST") or platform.node() or "unknown",
        "cpu": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "virtual": "hypervisor" in read("/proc/cpuinfo"),
        "memory_gib": memory_gib(),
        "kernel": platform.release(),
        "system": distribution(),
        "openssl": openssl_version(),
        "compiler": compiler_version(),
        "emulator": os.environ.get("SALLYPORT_BENCH_EMULATOR", ""),
        "init_on_alloc": kernel_setting("init_on_alloc"),
        "kernel_tls": os.path.exists("/proc/net/tls_stat"),
        "load_average": round(load_average(), 2),
    }


def kernel_setting(name):
    """From the kernel's command line; else "default"."""
    match = re.search(rf"\b{name}=(\S+)", read("/proc/cmdline"))
    return match[1] if match else "default"
