# The lines of "pytest -v" as TAP.  Run with sed -u -E -f.
# A module that is skipped as a whole has no line of its own, but is in the line of the plan.
s/^(collecting \.\.\. )?collected .*\/ ([0-9]+) selected$/1..\2/
s/^(collecting \.\.\. )?collected 0 items \/ ([0-9]+) skipped$/1..0 # SKIP \2 modules/
s/^(collecting \.\.\. )?collected ([0-9]+) items? \/ ([0-9]+) skipped$/1..\2\n1..0 # SKIP \3 modules/
s/^(collecting \.\.\. )?collected ([0-9]+) items?( \/ [0-9]+ errors?)?$/1..\2/
s/^(.*::.*) PASSED.*/ok - \1/
s/^(.*::.*) (FAILED|ERROR)\b.*/not ok - \1/
s/^(.*::.*) SKIPPED(.*)/ok - \1 # SKIP\2/
s/^(.*::.*) (XFAIL|XPASS)\b.*/not ok - \1 # TODO \2/
