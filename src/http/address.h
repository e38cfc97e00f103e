/*
 * Which network addresses a request may reach. Free of PostgreSQL.
 */
#ifndef INTEG_HTTP_ADDRESS_H
#define INTEG_HTTP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/*
 * Whether list (comma-separated CIDR networks, may be empty) is well formed. On
 * false, problem holds a sentence of at most size bytes.
 */
extern bool integ_address_list_check(const char *list, char *problem, size_t size);

/*
 * Whether a socket may be opened to this address: public unicast addresses may,
 * others (private, loopback, link-local, metadata, multicast, mapped and translated forms of
 * these) only where list names them. Source: the IANA special-purpose address registries.
 */
extern bool integ_address_allowed(const struct sockaddr *address, const char *list);

#endif /* INTEG_HTTP_ADDRESS_H */
