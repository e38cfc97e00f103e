/*
 * The parts of the translator of patterns. Private to it.
 */
#ifndef INTEG_SCHEMA_ECMA_PARTS_H
#define INTEG_SCHEMA_ECMA_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct EcmaReader
{
	const char *pattern;
	size_t len;
	size_t at;
	char *out; /* NULL: only count */
	size_t size;
	size_t written;
	bool has_references;
	bool has_classes;
	const char *problem;
	size_t problem_at;
} EcmaReader;

/* A set such as \d, as the inside of a PostgreSQL bracket. */
typedef struct EcmaSet
{
	const char *ranges;
	const char *complement; /* the others, NULL where that cannot be written as ranges */
	bool negated;
} EcmaSet;

/* Keeps the first problem, with the reader's place. Always false. */
extern bool ecma_fail(EcmaReader *r, const char *problem);

extern bool ecma_emit(EcmaReader *r, const char *text, size_t len);
extern bool ecma_emit_text(EcmaReader *r, const char *text);
extern bool ecma_emit_code_point(EcmaReader *r, uint32_t c);

/* Reads one code point of the pattern; a byte that is not UTF-8 counts as one. */
extern uint32_t ecma_read_code_point(EcmaReader *r);

/* Reads an escape of one character, behind its backslash. */
extern bool ecma_read_escape(EcmaReader *r, uint32_t *c);

/* Reads \d \D \s \S \w \W \p{…} \P{…}, behind the backslash. False, with no problem, where it is none of these. */
extern bool ecma_read_set(EcmaReader *r, EcmaSet *set);

/* Reads a class behind its "[" to its "]" and writes it. */
extern bool ecma_read_class(EcmaReader *r);

/* The length of a group's name that ends in ">"; 0 where it is none. */
extern size_t ecma_group_name(const char *text, size_t len);

/* The number of the capturing group of a name, 0 where there is none; with name NULL how many groups capture. */
extern int ecma_find_group(const char *pattern, size_t len, const char *name, size_t name_len);

/* Whether the pattern has \1 … or \k outside brackets. */
extern bool ecma_has_references(const char *pattern, size_t len);

#endif /* INTEG_SCHEMA_ECMA_PARTS_H */
