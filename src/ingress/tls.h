/*
 * The certificate of the listener: read from files, and again when they change. Free of PostgreSQL.
 *
 * Part of the module integ_ingress, as the HTTP server.
 */
#ifndef INTEG_INGRESS_TLS_H
#define INTEG_INGRESS_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

/* TLS 1.2 is the oldest (RFC 8996). */
#define INTEG_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"

typedef struct IntegTls IntegTls;

/* Reads both files (PEM); NULL with a sentence in problem (size bytes) where they cannot be used. One a process. */
extern IntegTls *integ_tls_open(const char *cert_file, const char *key_file, char *problem, size_t size);

/* Reads them again where they have changed; false as above, and what was read before stays. */
extern bool integ_tls_renew(IntegTls *tls, char *problem, size_t size);

/* Forgets them. No handshake may be under way. */
extern void integ_tls_close(IntegTls *tls);

/* Gives a handshake the present certificate: GnuTLS' gnutls_certificate_retrieve_function2. */
extern int integ_tls_choose(gnutls_session_t session, const gnutls_datum_t *authorities, int nauthorities,
							const gnutls_pk_algorithm_t *algorithms, int nalgorithms, gnutls_pcert_st **certificates,
							unsigned int *ncertificates, gnutls_privkey_t *key);

#endif /* INTEG_INGRESS_TLS_H */
