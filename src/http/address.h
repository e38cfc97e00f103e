/*
 * Which network addresses a request may reach. Free of PostgreSQL.
 */
#ifndef INTEG_HTTP_ADDRESS_H
#define INTEG_HTTP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Enough for any address that integ_address_text writes, with its NUL. */
#define INTEG_ADDRESS_TEXT_SIZE 64

/* For integ_ingress.so too: from PostgreSQL 16 on a library exports only what says so. */
#define INTEG_ADDRESS_EXPORT __attribute__((visibility("default")))

/*
 * Whether list (comma-separated CIDR networks or single addresses, may be empty) is well
 * formed. Bits beyond a network's mask are refused, since they are nearly always a slip. On
 * false, problem holds a sentence of at most size bytes.
 */
extern bool integ_address_list_check(const char *list, char *problem, size_t size);

/*
 * Whether a socket may be opened to this address: public unicast addresses may,
 * others (private, loopback, link-local, metadata, multicast, mapped and translated forms of
 * these) only where list names them. An address that carries an IPv4 address (mapped, NAT64, 6to4,
 * Teredo, ISATAP) is judged by both. Any other family than IPv4 and IPv6 is refused, and
 * so is everything that is not public where list is malformed. list may be NULL for none.
 * Source: the IANA IPv4 and IPv6 special-purpose address registries (RFC 6890 and its updates).
 */
extern bool integ_address_allowed(const struct sockaddr *address, const char *list);

/*
 * As integ_address_allowed for a host as it stands in a URL: a literal address, an IPv6 one
 * in brackets, or a name under localhost. True for any other name, whose address is not
 * known yet. Used where a proxy resolves names, so that no socket of ours shows the address.
 */
extern bool integ_address_host_allowed(const char *host, const char *list);

/* Whether the list names the address, as text; false for what is none. */
extern bool integ_address_listed(const char *address, const char *list);

/*
 * Rewrites an address, as text, as integ_address_text writes it, an IPv4 address that is mapped as that; false where it
 * is none. size as there.
 */
extern INTEG_ADDRESS_EXPORT bool integ_address_normal(char *address, size_t size);

/* Writes the address (without port) to text, "?" for families other than IPv4 and IPv6. */
extern INTEG_ADDRESS_EXPORT void integ_address_text(const struct sockaddr *address, char *text, size_t size);

#endif /* INTEG_HTTP_ADDRESS_H */
