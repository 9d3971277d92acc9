# Collects devices with PyEZ, as the order on standard input says, and prints
# what that cost. Imports are not counted, and neither are devices that PyEZ
# cannot read to the end: ncclient decodes what it has of a reply, and fails
# where that ends inside a character.
import json
import resource
import sys
import time

from jnpr.junos import Device

order = json.load(sys.stdin)


def used():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


def collect(d):
    with Device(host=d["address"], port=d["port"], user=d["username"], password=d["password"], gather_facts=False,
                normalize=False, auto_probe=0, allow_agent=False, look_for_keys=False) as dev:
        dev.timeout = 120
        for rpc in order["RPCs"]:
            try:
                dev.execute(rpc)
            except Exception as e:  # a refusal of the device is an answer, as it is to all clients
                if not hasattr(e, "rsp"):
                    raise


devices, cpu, seconds = 0, 0.0, 0.0
for device in order["Devices"]:
    begun, before = time.time(), used()
    try:
        collect(device)
    except UnicodeDecodeError:
        continue
    devices, cpu, seconds = devices + 1, cpu + used() - before, seconds + time.time() - begun
json.dump({"Devices": devices, "Seconds": seconds, "CPU": cpu,
           "PeakMiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}, sys.stdout)
