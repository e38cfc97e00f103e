/*
 * Semantic versions (semver.org 2.0.0). Free of PostgreSQL.
 */
#ifndef INTEG_DEFINITIONS_VERSION_H
#define INTEG_DEFINITIONS_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct IntegVersion
{
	uint64_t major;
	uint64_t minor;
	uint64_t patch;
	const char *prerelease; /* points into the text parsed; not terminated there */
	size_t prerelease_len;	/* 0: a release */
} IntegVersion;

/* Parses a version; false where the text is none. Build metadata is accepted and ignored. */
extern bool integ_version_parse(const char *text, IntegVersion *version);

/* Below, at or above zero as a precedes, equals or follows b (section 11). */
extern int integ_version_compare(const IntegVersion *a, const IntegVersion *b);

#endif /* INTEG_DEFINITIONS_VERSION_H */
