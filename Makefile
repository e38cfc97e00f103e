# integ: integrations inside PostgreSQL.
#
#   make check   install what is missing, build, test everything
#   make demo    install what is missing, build, watch an integration run
#
# make, make install and make installcheck work as in any PGXS extension;
# installcheck wants a running server that has integ preloaded. docs/testing.md
# describes the other targets.

CHECKS = check check-long check-asan check-matrix coverage lint format bench bench-long fuzz demo demo-stop

ifneq ($(filter $(CHECKS),$(MAKECMDGOALS)),)

# These need nothing but make: the scripts install what is missing, and build
# by calling make again.
.PHONY: $(MAKECMDGOALS)
check:; @test/run.sh
check-long:; @INTEG_LONG=1 test/run.sh
check-asan:; @test/run.sh --asan
check-matrix:; @test/matrix.sh
coverage:; @test/run.sh --coverage
lint:; @test/lint.sh
format:; @test/lint.sh --format
bench:; @test/bench.sh
bench-long:; @INTEG_LONG=1 test/bench.sh
fuzz:; @test/fuzz.sh
demo:; @test/demo.sh
demo-stop:; @test/demo.sh --stop
$(filter-out $(CHECKS),$(MAKECMDGOALS)):; @$(MAKE) --no-print-directory $@

else

EXTENSION = integ
EXTVERSION = 0.1.0
MODULE_big = integ

# The HTTP server is a module of its own, so that no other process loads its library.
INGRESS_OBJS = src/ingress/module.o src/ingress/server.o src/ingress/tls.o
OBJS = $(filter-out $(INGRESS_OBJS),$(patsubst %.c,%.o,$(sort $(wildcard src/*/*.c background_workers/*.c))))

# The install script: these files in this order.
SQL_PARTS = \
	src/core/roles.sql \
	src/access/access.sql \
	src/core/options.sql \
	src/schema/schema.sql \
	src/template/template.sql \
	src/definitions/definitions.sql \
	src/instances/instances.sql \
	src/vault/vault.sql \
	src/record/record.sql \
	src/operate/operate.sql \
	src/execute/answers.sql \
	src/limits/limits.sql \
	src/execute/execute.sql \
	src/fetch/fetch.sql \
	src/many/many.sql \
	src/gateway/gateway.sql \
	src/discovery/discovery.sql \
	src/definitions/views.sql \
	src/handlers/handlers.sql \
	src/approvals/approvals.sql \
	src/calls/calls.sql \
	src/oauth/oauth.sql \
	src/convert/records.sql \
	src/search/search.sql \
	src/convert/convert.sql \
	src/schedule/schedule.sql \
	src/convert/relations.sql \
	src/sync/sync.sql \
	src/sync/seen.sql \
	src/sync/into.sql \
	src/cards/cards.sql \
	src/webhooks/webhooks.sql \
	src/webhooks/registration.sql \
	src/endpoints/endpoints.sql \
	src/endpoints/changes.sql \
	src/core/ownership.sql

# The definitions that integ brings: mirrored once everything else exists.
CONNECTORS = $(filter-out connectors/manifest.schema.json,$(sort $(wildcard connectors/*.json)))

DATA_built = $(EXTENSION)--$(EXTVERSION).sql
EXTRA_CLEAN = $(DATA_built) $(INGRESS_OBJS) integ_ingress$(DLSUFFIX) build src/definitions/manifest_schema.inc

PG_CONFIG ?= pg_config

PG_CPPFLAGS = -I$(srcdir:%/=%)/src -DINTEG_VERSION=\"$(EXTVERSION)\"
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers \
	-Wno-sign-compare -Wno-declaration-after-statement -Wno-clobbered
# libxml2's headers have a folder of their own.
PG_CPPFLAGS += $(or $(shell xml2-config --cflags 2>/dev/null),-I/usr/include/libxml2)
SHLIB_LINK = -lxml2 -lcurl -lcrypto -lssl -lyaml -lz

# Bitcode serves expression inlining, of which integ has none.
override with_llvm = no

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=$(EXTENSION) --no-locale --encoding=UTF8
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=build/isolation --load-extension=$(EXTENSION) \
	--no-locale --encoding=UTF8

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(PGXS),)
$(error $(PG_CONFIG) does not work: install postgresql-server-dev,
	or set PG_CONFIG (make check installs what is missing))
endif
include $(PGXS)

$(EXTENSION)--$(EXTVERSION).sql: $(wildcard $(SQL_PARTS)) $(CONNECTORS) Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION integ" to load this file. \quit'; \
	  cat $(wildcard $(SQL_PARTS)); \
	  for file in $(CONNECTORS); do \
	      printf '\nSELECT integ.mirror_definition($$integ$$\n'; cat $$file; printf '$$integ$$);\n'; \
	  done; } > $@

# pg_isolation_regress makes no folder above its own.
installcheck: | build/isolation
build/isolation:
	mkdir -p $@

all: integ_ingress$(DLSUFFIX)
integ_ingress$(DLSUFFIX): $(INGRESS_OBJS)
	$(CC) $(CFLAGS) $(INGRESS_OBJS) $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@ -lmicrohttpd -lgnutls

install: install-ingress
install-ingress: integ_ingress$(DLSUFFIX) installdirs
	$(INSTALL_SHLIB) $< '$(DESTDIR)$(pkglibdir)/'
uninstall: uninstall-ingress
uninstall-ingress:
	rm -f '$(DESTDIR)$(pkglibdir)/integ_ingress$(DLSUFFIX)'

# The manifests' schema as a C string literal, a line each.
src/definitions/manifest_schema.inc: connectors/manifest.schema.json
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^ *//' -e 's/.*/"&\\n"/' $< > $@
src/definitions/check.o: src/definitions/manifest_schema.inc

# Headers change structs that several objects share.
$(OBJS) $(INGRESS_OBJS): $(wildcard src/*/*.h background_workers/*.h)

endif
