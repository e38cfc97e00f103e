/*
 * The formats by name, and those that are a matter of characters.
 */
#include "schema/format.h"

#include <string.h>

#include "schema/ecma.h"
#include "schema/format_parts.h"

typedef struct FormatRule
{
	const char *name;
	IntegFormat format;
	bool (*valid)(const char *text, size_t len);
} FormatRule;

static bool
valid_uuid(const char *text, size_t len)
{
	if (len != 36)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !format_is_hex(text[i]))
			return false;
	}
	return true;
}

static bool
valid_json_pointer(const char *text, size_t len)
{
	if (len > 0 && text[0] != '/')
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] == '~' && (i + 1 == len || (text[i + 1] != '0' && text[i + 1] != '1')))
			return false;
	return true;
}

static bool
valid_relative_json_pointer(const char *text, size_t len)
{
	size_t digits = format_digits(text, len);

	if (digits == 0 || (text[0] == '0' && digits > 1))
		return false;
	if (digits + 1 == len && text[digits] == '#')
		return true;
	return valid_json_pointer(text + digits, len - digits);
}

static bool
valid_regex(const char *text, size_t len)
{
	IntegEcmaResult result;

	return integ_ecma_translate(text, len, NULL, 0, &result);
}

static bool
valid_byte(const char *text, size_t len)
{
	size_t body = len;

	if (len % 4 != 0)
		return false;
	while (body > 0 && len - body < 2 && text[body - 1] == '=')
		body--;
	for (size_t i = 0; i < body; i++)
		if (!format_is_alnum(text[i]) && text[i] != '+' && text[i] != '/')
			return false;
	return true;
}

static const FormatRule rules[] = {
	{"date-time", INTEG_FORMAT_DATE_TIME, format_date_time},
	{"date", INTEG_FORMAT_DATE, format_date},
	{"time", INTEG_FORMAT_TIME, format_time},
	{"duration", INTEG_FORMAT_DURATION, format_duration},
	{"email", INTEG_FORMAT_EMAIL, format_email},
	{"idn-email", INTEG_FORMAT_IDN_EMAIL, format_idn_email},
	{"hostname", INTEG_FORMAT_HOSTNAME, format_hostname},
	{"ipv4", INTEG_FORMAT_IPV4, format_ipv4},
	{"ipv6", INTEG_FORMAT_IPV6, format_ipv6},
	{"uri", INTEG_FORMAT_URI, format_uri},
	{"uri-reference", INTEG_FORMAT_URI_REFERENCE, format_uri_reference},
	{"iri", INTEG_FORMAT_IRI, format_iri},
	{"iri-reference", INTEG_FORMAT_IRI_REFERENCE, format_iri_reference},
	{"uri-template", INTEG_FORMAT_URI_TEMPLATE, format_uri_template},
	{"uuid", INTEG_FORMAT_UUID, valid_uuid},
	{"json-pointer", INTEG_FORMAT_JSON_POINTER, valid_json_pointer},
	{"relative-json-pointer", INTEG_FORMAT_RELATIVE_JSON_POINTER, valid_relative_json_pointer},
	{"regex", INTEG_FORMAT_REGEX, valid_regex},
	{"byte", INTEG_FORMAT_BYTE, valid_byte},
};

#define NRULES (sizeof(rules) / sizeof(rules[0]))

IntegFormat
integ_format_find(const char *name, size_t len)
{
	for (size_t i = 0; i < NRULES; i++)
		if (strlen(rules[i].name) == len && memcmp(rules[i].name, name, len) == 0)
			return rules[i].format;
	return INTEG_FORMAT_NONE;
}

const char *
integ_format_name(IntegFormat format)
{
	for (size_t i = 0; i < NRULES; i++)
		if (rules[i].format == format)
			return rules[i].name;
	return "any";
}

bool
integ_format_valid(IntegFormat format, const char *text, size_t len)
{
	for (size_t i = 0; i < NRULES; i++)
		if (rules[i].format == format)
			return rules[i].valid(text, len);
	return true;
}
