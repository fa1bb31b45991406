"""Benchmarks of admin_ext, as ratios of sides that alternate in one run.

Run by test/bench/run, which starts the scratch server and, for Kafka, a broker.  Each
benchmark prints a line and writes a Markdown table and an SVG plot of every round to
test/bench/results.
"""

import sys

import archiver
import chain
import checks
import ff_client
import hostile
import kafka
import refresh
import rivals
import seams
import verifier
from core import RESULTS

import cutover
import delivery
import identity

ALL = {
    "P1": checks.p1,
    "P2": checks.p2,
    "P3": checks.p3,
    "P4": checks.p4,
    "P7": delivery.p7,
    "P9": delivery.p9,
    "P10": delivery.p10,
    "P11": delivery.p11,
    "P12": identity.p12,
    "P13": delivery.p13,
    "P11k": kafka.p11k,
    "P5": kafka.p5,
    "P9k": kafka.p9k,
    "P10k": kafka.p10k,
    "P6": rivals.p6,
    "P8": rivals.p8,
    "P14": refresh.p14,
    "P15": seams.p15,
    "P16": seams.p16,
    "P17": ff_client.p17,
    "P18": cutover.p18,
    "P19": archiver.p19,
    "P20": verifier.p20,
    "P21": chain.p21,
    "P22": verifier.p22,
    "P26": hostile.p26,
}

if __name__ == "__main__":
    RESULTS.mkdir(exist_ok=True)
    for wanted in sys.argv[1:] or ALL:
        ALL[wanted]()
