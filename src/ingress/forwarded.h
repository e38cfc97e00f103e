/*
 * Whose request it is, behind proxies. Free of PostgreSQL.
 */
#ifndef INTEG_INGRESS_FORWARDED_H
#define INTEG_INGRESS_FORWARDED_H

#include "http/address.h"
#include "ingress/server.h"

/*
 * Writes the address that a request comes from to address (INTEG_ADDRESS_TEXT_SIZE bytes): the peer's; where that is in
 * trusted (a CIDR list), the last one that X-Forwarded-For or Forwarded (RFC 7239) names and that is not,
     too. A request
 * that has both headers, or one of them twice, has none: nobody knows which of them the proxy wrote.
 */
extern void integ_forwarded_address(const IntegServerRequest *request, const char *trusted, char *address);

#endif /* INTEG_INGRESS_FORWARDED_H */
