# integ: integrations inside PostgreSQL.
#
#   make check   install what is missing, build, test everything
#   make demo    install what is missing, build, watch an integration run
#
# make, make install and make installcheck work as in any PGXS extension.

EXTENSION = integ
EXTVERSION = 0.1.0
MODULE_big = integ

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*/*.c background_workers/*.c)))

# The install script: these files in this order.
SQL_PARTS = \
	src/core/roles.sql \
	src/access/access.sql \
	src/vault/vault.sql \
	src/schema/schema.sql \
	src/template/template.sql \
	src/definitions/definitions.sql \
	src/instances/instances.sql \
	src/record/record.sql \
	src/operate/operate.sql \
	src/execute/execute.sql \
	src/core/ownership.sql

DATA_built = $(EXTENSION)--$(EXTVERSION).sql
EXTRA_CLEAN = $(DATA_built) build

PG_CONFIG ?= pg_config

PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers \
	-Wno-sign-compare -Wno-declaration-after-statement -Wno-clobbered
SHLIB_LINK = -lcurl -lcrypto -lssl

# Bitcode serves expression inlining, of which integ has none.
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(EXTENSION)--$(EXTVERSION).sql: $(wildcard $(SQL_PARTS)) Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION integ" to load this file. \quit'; cat $(wildcard $(SQL_PARTS)); } > $@

# Headers change structs that several objects share.
$(OBJS): $(wildcard src/*/*.h background_workers/*.h)
