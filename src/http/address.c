/*
 * The address guard.
 *
 * An address is held as 16 bytes, IPv4 in its IPv4-mapped form, so that one table and one
 * comparison serve both families.
 */
#include "http/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAPPED_BITS 96

typedef struct Address
{
	uint8_t bytes[16];
} Address;

typedef struct Network
{
	Address address;
	int bits; /* of the 128 */
} Network;

/* Not globally reachable, or reachable by nobody who means well. */
static const struct
{
	uint8_t bytes[4];
	int bits;
} special_ipv4[] = {
	{{0, 0, 0, 0}, 8},		  /* "this network", RFC 791 */
	{{10, 0, 0, 0}, 8},		  /* private, RFC 1918 */
	{{100, 64, 0, 0}, 10},	  /* shared address space, RFC 6598 */
	{{127, 0, 0, 0}, 8},	  /* loopback, RFC 1122 */
	{{168, 63, 129, 16}, 32}, /* platform service of a large cloud: public by number, local by reach */
	{{169, 254, 0, 0}, 16},	  /* link-local, RFC 3927; cloud metadata */
	{{172, 16, 0, 0}, 12},	  /* private, RFC 1918 */
	{{192, 0, 0, 0}, 24},	  /* IETF protocol assignments, RFC 6890 */
	{{192, 0, 2, 0}, 24},	  /* documentation, RFC 5737 */
	{{192, 88, 99, 0}, 24},	  /* 6to4 relays, deprecated by RFC 7526 */
	{{192, 168, 0, 0}, 16},	  /* private, RFC 1918 */
	{{198, 18, 0, 0}, 15},	  /* benchmarking, RFC 2544 */
	{{198, 51, 100, 0}, 24},  /* documentation, RFC 5737 */
	{{203, 0, 113, 0}, 24},	  /* documentation, RFC 5737 */
	{{224, 0, 0, 0}, 4},	  /* multicast, RFC 5771 */
	{{240, 0, 0, 0}, 4},	  /* reserved, RFC 1112; limited broadcast */
};

/* Within 2000::/3; everything outside of it is special. */
static const struct
{
	uint16_t words[3];
	int bits;
} special_ipv6[] = {
	{{0x2001, 0x0000, 0}, 23}, /* IETF protocol assignments, RFC 2928: Teredo, benchmarking, ORCHID, … */
	{{0x2001, 0x0db8, 0}, 32}, /* documentation, RFC 3849 */
	{{0x2002, 0x0000, 0}, 16}, /* 6to4, RFC 3056 */
	{{0x3fff, 0x0000, 0}, 20}, /* documentation, RFC 9637 */
};

static bool
in_network(const Address *address, const Address *network, int bits)
{
	int whole = bits / 8, rest = bits % 8;

	if (memcmp(address->bytes, network->bytes, whole) != 0)
		return false;
	return rest == 0 || ((address->bytes[whole] ^ network->bytes[whole]) >> (8 - rest)) == 0;
}

static void
set_ipv4(Address *address, const uint8_t *ipv4)
{
	memset(address->bytes, 0, 10);
	memset(address->bytes + 10, 0xff, 2);
	memcpy(address->bytes + 12, ipv4, 4);
}

static bool
is_ipv4(const Address *address)
{
	static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return memcmp(address->bytes, prefix, sizeof(prefix)) == 0;
}

static uint16_t
word(const Address *address, int i)
{
	return (uint16_t) (address->bytes[2 * i] << 8 | address->bytes[2 * i + 1]);
}

static bool
from_sockaddr(const struct sockaddr *socket_address, Address *address)
{
	if (socket_address->sa_family == AF_INET)
	{
		set_ipv4(address, (const uint8_t *) &((const struct sockaddr_in *) socket_address)->sin_addr);
		return true;
	}
	if (socket_address->sa_family == AF_INET6)
	{
		memcpy(address->bytes, &((const struct sockaddr_in6 *) socket_address)->sin6_addr, 16);
		return true;
	}
	return false;
}

static bool
from_text(const char *text, Address *address, int *family)
{
	uint8_t ipv4[4];

	if (inet_pton(AF_INET, text, ipv4) == 1)
	{
		set_ipv4(address, ipv4);
		*family = AF_INET;
		return true;
	}
	*family = AF_INET6;
	return inet_pton(AF_INET6, text, address->bytes) == 1;
}

static bool
is_special_ipv4(const Address *address)
{
	for (size_t i = 0; i < sizeof(special_ipv4) / sizeof(special_ipv4[0]); i++)
	{
		Address network;

		set_ipv4(&network, special_ipv4[i].bytes);
		if (in_network(address, &network, MAPPED_BITS + special_ipv4[i].bits))
			return true;
	}
	return false;
}

static bool
is_special_ipv6(const Address *address)
{
	if ((address->bytes[0] & 0xe0) != 0x20)
		return true;
	for (size_t i = 0; i < sizeof(special_ipv6) / sizeof(special_ipv6[0]); i++)
	{
		Address network = {{0}};

		for (int w = 0; w < 3; w++)
		{
			network.bytes[2 * w] = (uint8_t) (special_ipv6[i].words[w] >> 8);
			network.bytes[2 * w + 1] = (uint8_t) special_ipv6[i].words[w];
		}
		if (in_network(address, &network, special_ipv6[i].bits))
			return true;
	}
	return false;
}

/* NAT64's well-known prefix 64:ff9b::/96 (RFC 6052): public where the address behind it is. */
static bool
is_nat64(const Address *address)
{
	static const uint8_t prefix[12] = {0x00, 0x64, 0xff, 0x9b};

	return memcmp(address->bytes, prefix, sizeof(prefix)) == 0;
}

/*
 * The IPv4 addresses that an IPv6 address carries, at most two; returns how many.
 */
static int
embedded_ipv4(const Address *address, Address *embedded)
{
	const uint8_t *b = address->bytes;
	uint8_t ipv4[4];

	if (is_nat64(address))
	{
		set_ipv4(&embedded[0], b + 12);
		return 1;
	}
	if (word(address, 0) == 0x0064 && word(address, 1) == 0xff9b && word(address, 2) == 1)
	{
		/* RFC 8215 leaves the length of the prefix open: in the /48 form the last 40 bits are zero. */
		static const uint8_t zeros[5];

		if (b[8] == 0 && memcmp(b + 11, zeros, 5) == 0)
			set_ipv4(&embedded[0], (uint8_t[4]){b[6], b[7], b[9], b[10]});
		else
			set_ipv4(&embedded[0], b + 12);
		return 1;
	}
	if (word(address, 0) == 0x2002)
	{
		set_ipv4(&embedded[0], b + 2);
		return 1;
	}
	if (word(address, 0) == 0x2001 && word(address, 1) == 0)
	{
		/* Teredo (RFC 4380): the server, and the client with its bits inverted. */
		for (int i = 0; i < 4; i++)
			ipv4[i] = (uint8_t) ~b[12 + i];
		set_ipv4(&embedded[0], b + 4);
		set_ipv4(&embedded[1], ipv4);
		return 2;
	}
	/* ISATAP (RFC 5214): an interface identifier under any prefix. */
	if ((word(address, 4) & 0xfdff) == 0 && word(address, 5) == 0x5efe)
	{
		set_ipv4(&embedded[0], b + 12);
		return 1;
	}
	/* IPv4-compatible, deprecated; :: and ::1 are addresses of their own. */
	if (in_network(address, &(Address){{0}}, MAPPED_BITS) && (b[12] != 0 || b[13] != 0))
	{
		set_ipv4(&embedded[0], b + 12);
		return 1;
	}
	return 0;
}

/* One item of a list; false with a sentence where it is no network. */
static bool
parse_network(const char *item, size_t len, Network *network, char *problem, size_t size)
{
	char text[INTEG_ADDRESS_TEXT_SIZE];
	char *slash, *end;
	int family, most;
	long bits;

	if (len == 0 || len >= sizeof(text))
	{
		snprintf(problem, size,
				 len == 0 ? "An item of the list is empty." : "An item of the list is too long to be a network.");
		return false;
	}
	memcpy(text, item, len);
	text[len] = '\0';
	slash = strchr(text, '/');
	if (slash != NULL)
		*slash = '\0';
	if (!from_text(text, &network->address, &family))
	{
		snprintf(problem, size, "\"%.*s\" is not an IPv4 or IPv6 network.", (int) len, item);
		return false;
	}
	most = family == AF_INET ? 32 : 128;
	bits = most;
	if (slash != NULL)
	{
		bits = strtol(slash + 1, &end, 10);
		if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > most)
		{
			snprintf(problem, size, "\"%.*s\" has a mask that is not between 0 and %d.", (int) len, item, most);
			return false;
		}
	}
	network->bits = (int) bits + (family == AF_INET ? MAPPED_BITS : 0);
	for (int bit = network->bits; bit < 128; bit++)
		if (network->address.bytes[bit / 8] & (0x80 >> (bit % 8)))
		{
			snprintf(problem, size, "\"%.*s\" has bits set to the right of its mask.", (int) len, item);
			return false;
		}
	return true;
}

/*
 * Walks a list: the first network is at *cursor, which moves behind it. False at
 * the end, and with *bad where the item is malformed.
 */
static bool
next_network(const char **cursor, Network *network, bool *bad, char *problem, size_t size)
{
	const char *start = *cursor, *end, *last;

	*bad = false;
	if (start == NULL)
		return false;
	start += strspn(start, " \t\r\n");
	end = start + strcspn(start, ",");
	last = end;
	while (last > start && strchr(" \t\r\n", last[-1]) != NULL)
		last--;
	*bad = !parse_network(start, last - start, network, problem, size);
	*cursor = *end == ',' ? end + 1 : NULL;
	return !*bad;
}

static const char *
list_start(const char *list)
{
	if (list == NULL || list[strspn(list, " \t\r\n")] == '\0')
		return NULL;
	return list;
}

bool
integ_address_list_check(const char *list, char *problem, size_t size)
{
	const char *cursor = list_start(list);
	Network network;
	bool bad;

	while (next_network(&cursor, &network, &bad, problem, size))
		;
	return !bad;
}

/* A malformed list names nothing. */
static bool
list_names(const char *list, const Address *address)
{
	const char *cursor = list_start(list);
	char problem[128];
	Network network;
	bool bad, named = false;

	while (next_network(&cursor, &network, &bad, problem, sizeof(problem)))
	{
		/* ::/0 means IPv6 only: the mapped form of IPv4 is ours, not the writer's. */
		if (is_ipv4(address) && network.bits < MAPPED_BITS)
			continue;
		if (in_network(address, &network.address, network.bits))
			named = true;
	}
	return named && !bad;
}

static bool
address_allowed(const Address *address, const char *list)
{
	Address embedded[2];
	int nembedded;

	if (is_ipv4(address))
		return !is_special_ipv4(address) || list_names(list, address);
	if (is_special_ipv6(address) && !is_nat64(address) && !list_names(list, address))
		return false;
	nembedded = embedded_ipv4(address, embedded);
	for (int i = 0; i < nembedded; i++)
		if (is_special_ipv4(&embedded[i]) && !list_names(list, &embedded[i]))
			return false;
	return true;
}

bool
integ_address_allowed(const struct sockaddr *socket_address, const char *list)
{
	Address address;

	return from_sockaddr(socket_address, &address) && address_allowed(&address, list);
}

bool
integ_address_host_allowed(const char *host, const char *list)
{
	static const char localhost[] = "localhost";
	char text[INTEG_ADDRESS_TEXT_SIZE];
	size_t len = strlen(host);
	Address address;
	int family;

	if (len > 2 && host[0] == '[' && host[len - 1] == ']')
	{
		host++;
		len -= 2;
	}
	if (len > 0 && host[len - 1] == '.')
		len--;
	if (len >= sizeof(localhost) - 1)
	{
		const char *tail = host + len - (sizeof(localhost) - 1);

		if (strncasecmp(tail, localhost, sizeof(localhost) - 1) == 0 && (tail == host || tail[-1] == '.'))
			return address_allowed(&(Address){{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}}, list);
	}
	if (len >= sizeof(text))
		return true;
	memcpy(text, host, len);
	text[len] = '\0';
	return !from_text(text, &address, &family) || address_allowed(&address, list);
}

void
integ_address_text(const struct sockaddr *socket_address, char *text, size_t size)
{
	const void *bytes = NULL;

	if (socket_address->sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *) socket_address)->sin_addr;
	else if (socket_address->sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *) socket_address)->sin6_addr;
	if (bytes == NULL || inet_ntop(socket_address->sa_family, bytes, text, (socklen_t) size) == NULL)
		snprintf(text, size, "?");
}

bool
integ_address_listed(const char *text, const char *list)
{
	Address address;
	int family;

	return from_text(text, &address, &family) && list_names(list, &address);
}

bool
integ_address_normal(char *text, size_t size)
{
	Address address;
	int family;

	if (!from_text(text, &address, &family))
		return false;
	if (is_ipv4(&address))
		(void) inet_ntop(AF_INET, address.bytes + 12, text, (socklen_t) size);
	else
		(void) inet_ntop(AF_INET6, address.bytes, text, (socklen_t) size);
	return true;
}
