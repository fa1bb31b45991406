"""Counts the TAP of a suite: how many tests passed, failed and were skipped.

    tap_count.py FILE STATUS      STATUS: the exit status of the suite

The first line of the answer is "PASSED FAILED SKIPPED".  A line follows for each failed test, each skipped test and
for each problem of the suite as a whole, and a problem counts as a failed test: a plan that was
not met, a test outside the plan, no test at all, "Bail out!", or an exit status that no failed
test explains.  A test marked TODO that fails is a failed test.

A suite may print the TAP of several programs one after the other.  Their plans come first or last.
A suite that prints no plan is counted without one.  Subtests, which are indented, have plans of
their own, and each of their lines counts.
"""

import re
import sys

# prove ends each program with a bare "ok", which is no test.
TEST = re.compile(r"( *)(?:ok (?P<passed>.*)|not ok\b(?P<failed>.*))$")
PLAN = re.compile(r"( *)1\.\.(\d+)(.*)$")
BAIL_OUT = re.compile(r" *Bail out!")
SKIP, TODO = re.compile(r"(?<!\\)# *skip", re.I), re.compile(r"(?<!\\)# *todo", re.I)


class Program:
    """The tests of one program, or of one subtest, until its plan is met."""

    def __init__(self, planned=None):
        self.planned, self.seen, self.last = planned, 0, "none"


class Count:
    def __init__(self):
        self.passed = self.failed = 0
        self.failures, self.skipped, self.problems = [], [], []
        self.programs = {}  # by indentation
        self.has_plan = False

    def end_program(self, level, planned=None):
        program = self.programs.pop(level, None)
        if program is None:
            return
        planned = program.planned if planned is None else planned
        if planned is None:
            if self.has_plan:
                self.problems.append(f"{program.seen} tests ran outside of any plan")
        elif planned != program.seen:
            self.problems.append(f"{planned} tests were planned, {program.seen} ran")

    def end_deeper(self, level):
        for deeper in sorted((each for each in self.programs if each > level), reverse=True):
            self.end_program(deeper)

    def add_plan(self, level, planned, comment):
        self.end_deeper(level)
        program = self.programs.get(level)
        self.has_plan = True
        if program is not None and program.planned is None:
            self.end_program(level, planned)
            return
        self.end_program(level)
        if planned > 0:
            self.programs[level] = Program(planned)
        elif SKIP.search(comment):
            self.skipped.append(f"a whole program {comment.strip()}")
        else:
            self.problems.append("a program planned no test")

    def add_test(self, level, has_passed, text):
        self.end_deeper(level)
        program = self.programs.get(level)
        if program is not None and program.planned == program.seen:
            self.end_program(level)
            program = None
        if program is None:
            program = self.programs[level] = Program()
        program.seen += 1
        number = re.match(r" *(\d+)\b", text)
        if number and int(number.group(1)) != program.seen:
            self.problems.append(
                f"a test has number {number.group(1)}, {program.seen} was due: {text.strip()}; the test before it: {program.last}"
            )
            # What follows is in order again: a lost line is one problem, not one for each line behind it.
            program.seen = int(number.group(1))
        program.last = text.strip()
        if not has_passed:
            self.failed += 1
            self.failures.append(text.strip())
        elif SKIP.search(text) and not TODO.search(text):
            self.skipped.append(text.strip())
        else:
            self.passed += 1

    def read(self, lines):
        for line in lines:
            line = line.rstrip("\r\n")
            if found := TEST.match(line):
                has_passed = found["passed"] is not None
                self.add_test(len(found[1]), has_passed, found["passed"] if has_passed else found["failed"])
            elif found := PLAN.match(line):
                self.add_plan(len(found[1]), int(found[2]), found[3])
            elif BAIL_OUT.match(line):
                self.problems.append(line.strip())
        self.end_deeper(-1)

    def end(self, status):
        if self.passed + self.failed + len(self.problems) == 0:
            self.problems.append("every test was skipped" if self.skipped else "no test reported")
        if status != 0 and self.failed + len(self.problems) == 0:
            self.problems.append(f"exit status {status}, although no test failed")


def main(path, status):
    count = Count()
    with open(path, errors="replace") as lines:
        count.read(lines)
    count.end(int(status))
    print(count.passed, count.failed + len(count.problems), len(count.skipped))
    for failure in count.failures:
        print("failed:", failure)
    for skipped in count.skipped:
        print("skipped:", skipped)
    for problem in count.problems:
        print("problem:", problem)


if __name__ == "__main__":
    main(*sys.argv[1:])
