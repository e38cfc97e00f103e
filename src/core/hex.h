/*
 * Hexadecimal digits. Free of PostgreSQL.
 */
#ifndef INTEG_CORE_HEX_H
#define INTEG_CORE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a digit stands for, of either case; -1 where it is none. */
static inline int
integ_hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit |= 0x20;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Decodes len digits into out, which has len / 2 bytes. False where one is none, or the last has no partner. */
static inline bool
integ_hex_decode(const char *text, size_t len, uint8_t *out)
{
	if (len % 2 != 0)
		return false;
	for (size_t i = 0; i < len; i += 2)
	{
		int high = integ_hex_value(text[i]), low = integ_hex_value(text[i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (uint8_t) (high << 4 | low);
	}
	return true;
}

#endif /* INTEG_CORE_HEX_H */
