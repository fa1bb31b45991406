# admin_ext: PGXS build.  make; make install; make installcheck  for whoever has
# a server.  make demo, make demo-kafka, make demo-redis, make test and make
# bench bring what they need themselves.

EXTENSION = admin_ext admin_ext_cutover
EXTVERSION = 1.0
MODULE_big = admin_ext
PGFILEDESC = "admin_ext - audited approvals with exactly-once delivery"

# The C of admin_ext_cutover (src/cutover) is in the same library.  It reads approvals and signatures, decides and writes
# JSON by some twenty functions of the core, each of which a library of its own would need exported.
# Every session knows the settings of the sinks, whose libraries the worker alone loads.
SINK_SETTINGS = $(wildcard src/sinks/*/*_settings.c) src/sinks/kafka/kafka_property.c
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c src/sinks/ndjson/*.c) $(SINK_SETTINGS)))
HEADERS = src/include/admin_ext_sink.h
DATA = schema/admin_ext_event.schema.json
DOCS = doc/architecture.md doc/archive.md doc/auditor.md doc/copies.md doc/cutover.md doc/dba.md doc/evidence.md doc/ff.md doc/identity.md doc/kafka.md doc/quickstart.md doc/receipts.md doc/redis.md doc/reference.md
DATA_built = $(EXTENSION:%=sql/%--$(EXTVERSION).sql)

REGRESS = $(notdir $(basename $(sort $(wildcard sql/*_test.sql))))
ISOLATION = $(notdir $(basename $(sort $(wildcard test/isolation/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=test/isolation --load-extension=admin_ext
EXTRA_CLEAN = $(DATA_built) test/unit/build test/fuzz/build test/isolation/output_iso test/isolation/results

PG_CPPFLAGS = -I$(srcdir)/src -I$(srcdir)/src/include
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wmissing-prototypes $(WERROR)
SHLIB_LINK = -lcrypto -lpthread

# The Kafka sink is a library of its own, built where librdkafka and libcurl are.
ifeq ($(shell pkg-config --exists rdkafka libcurl 2>/dev/null && echo yes),yes)
KAFKA_OBJS = $(patsubst %.c,%.o,$(sort $(filter-out $(SINK_SETTINGS),$(wildcard src/sinks/kafka/*.c))))
EXTRA_CLEAN += $(KAFKA_OBJS) admin_ext_kafka.so
endif

# The Redis sink likewise, where hiredis, OpenSSL and libcurl are.  What is pure it shares with us.
ifeq ($(shell pkg-config --exists hiredis openssl libcurl 2>/dev/null && echo yes),yes)
REDIS_OBJS = $(patsubst %.c,%.o,$(sort $(filter-out $(SINK_SETTINGS),$(wildcard src/sinks/redis/*.c))))
REDIS_SHARED_OBJS = src/decision/ttl.o
EXTRA_CLEAN += $(REDIS_OBJS) admin_ext_redis.so
endif

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# A server is seldom built to track them.
$(OBJS) $(KAFKA_OBJS) $(REDIS_OBJS): $(wildcard src/*.h src/*/*.h src/sinks/*/*.h src/*/*.inc)

# $(call sink_library,NAME,OBJECTS,LIBRARIES): admin_ext_NAME.so, built and installed with the rest.
define sink_library
all: admin_ext_$(1).so

admin_ext_$(1).so: $(2)
	$$(CC) $$(CFLAGS) $(2) $$(LDFLAGS) $$(LDFLAGS_SL) -shared -o $$@ $(3)

.PHONY: install-$(1) uninstall-$(1)
install: install-$(1)
install-$(1): admin_ext_$(1).so installdirs
	$$(INSTALL_SHLIB) admin_ext_$(1).so '$$(DESTDIR)$$(pkglibdir)/'

uninstall: uninstall-$(1)
uninstall-$(1):
	rm -f '$$(DESTDIR)$$(pkglibdir)/admin_ext_$(1).so'
endef

ifdef KAFKA_OBJS
$(eval $(call sink_library,kafka,$(KAFKA_OBJS),$(shell pkg-config --libs rdkafka libcurl) -lpthread))
endif
ifdef REDIS_OBJS
$(eval $(call sink_library,redis,$(REDIS_OBJS) $(REDIS_SHARED_OBJS),$(shell pkg-config --libs hiredis openssl libcurl)))
endif

# $(call extension_script,NAME,FOLDER): the script of an extension, joined from its parts.
define extension_script
sql/$(1)--$(EXTVERSION).sql: $(sort $(wildcard sql/install/$(2)/*.sql))
	cat $$^ > $$@
endef

$(eval $(call extension_script,admin_ext,admin_ext))
$(eval $(call extension_script,admin_ext_cutover,cutover))

# The list of objects that readiness compares with, written anew after a change of the script.
.PHONY: manifest
manifest:
	PG_CONFIG="$(PG_CONFIG)" test/lib/manifest.sh

.PHONY: test test-release demo demo-kafka demo-redis demo-archive bench verifier
test:
	test/run

# Hours: what CI runs with many more rounds, half an hour of mutations, and what CI has no time for.
test-release:
	test/release

demo:
	test/demo ndjson

demo-kafka:
	test/demo kafka

demo-redis:
	test/demo redis

demo-archive:
	test/demo archive

bench:
	test/bench/run

# One file that needs Python and cryptography only: doc/auditor.md.
verifier:
	python3 clients/python/build_verifier.py admin_verify.pyz
