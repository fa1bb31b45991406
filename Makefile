# admin_ext: PGXS build.  make; make install; make installcheck  for whoever has
# a server.  make demo, make test and make bench bring what they need themselves.

EXTENSION = admin_ext
EXTVERSION = 1.0
MODULE_big = admin_ext
PGFILEDESC = "admin_ext - audited approvals with exactly-once delivery"

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c src/sinks/ndjson/*.c)))
HEADERS = src/include/admin_ext_sink.h
SQL_PARTS = $(sort $(wildcard sql/install/*.sql))
DATA_built = sql/$(EXTENSION)--$(EXTVERSION).sql

REGRESS = $(notdir $(basename $(sort $(wildcard sql/*_test.sql))))
ISOLATION = $(notdir $(basename $(sort $(wildcard test/isolation/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=test/isolation --load-extension=admin_ext
EXTRA_CLEAN = sql/$(EXTENSION)--$(EXTVERSION).sql test/unit/build test/fuzz/build test/isolation/output_iso test/isolation/results

PG_CPPFLAGS = -I$(srcdir)/src -I$(srcdir)/src/include
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers $(WERROR)
SHLIB_LINK = -lcrypto

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# A server is seldom built to track them.
$(OBJS): $(wildcard src/*.h src/*/*.h src/sinks/*/*.h)

sql/$(EXTENSION)--$(EXTVERSION).sql: $(SQL_PARTS)
	cat $^ > $@

.PHONY: test demo bench
test:
	test/run

demo:
	test/demo

bench:
	test/bench/run
