/*
 * The certificate of the listener.
 */
#include "ingress/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The certificate, and those that lead from it to its authority. */
#define MAX_CHAIN 16

/* Seconds after which no handshake can still be at work with a certificate that was replaced. */
#define RETIRED_S 600

/* What tells that a file has changed. */
typedef struct Stamp
{
	struct timespec changed;
	off_t size;
	ino_t inode;
} Stamp;

typedef struct Identity
{
	gnutls_pcert_st chain[MAX_CHAIN];
	unsigned int nchain;
	gnutls_privkey_t key;
	time_t retired;
	struct Identity *next; /* that was retired before */
} Identity;

struct IntegTls
{
	char *cert_file, *key_file;
	Stamp cert_stamp, key_stamp;
	Identity *current;
	Identity *retired;
};

/* GnuTLS hands no argument to integ_tls_choose. */
static IntegTls *the_only;

static void
free_identity(Identity *identity)
{
	for (unsigned int i = 0; i < identity->nchain; i++)
		gnutls_pcert_deinit(&identity->chain[i]);
	if (identity->key != NULL)
		gnutls_privkey_deinit(identity->key);
	free(identity);
}

/* What the key's file must be: nobody else reads it (root's may be its group's, as PostgreSQL has it). */
static bool
check_key_file(const char *file, const struct stat *status, char *problem, size_t size)
{
	mode_t others = status->st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;

	if (status->st_uid == geteuid() || status->st_uid == 0)
	{
		if ((status->st_mode & others) == 0)
			return true;
		snprintf(problem, size, "the key file \"%s\" can be read by others: chmod 600 it", file);
	}
	else
		snprintf(problem, size, "the key file \"%s\" belongs neither to the server's user nor to root", file);
	return false;
}

static bool
stamp(const char *file, bool is_key, Stamp *stamp, char *problem, size_t size)
{
	struct stat status;

	if (stat(file, &status) != 0)
	{
		snprintf(problem, size, "could not read the file \"%s\": %s", file, strerror(errno));
		return false;
	}
	*stamp = (Stamp){status.st_mtim, status.st_size, status.st_ino};
	return !is_key || check_key_file(file, &status, problem, size);
}

static bool
same_stamp(const Stamp *a, const Stamp *b)
{
	return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec && a->size == b->size &&
		   a->inode == b->inode;
}

static bool
load(const char *file, gnutls_datum_t *data, char *problem, size_t size)
{
	if (gnutls_load_file(file, data) == 0)
		return true;
	snprintf(problem, size, "could not read the file \"%s\"", file);
	return false;
}

static bool
read_chain(Identity *identity, const char *file, char *problem, size_t size)
{
	gnutls_datum_t data;
	int status;

	if (!load(file, &data, problem, size))
		return false;
	identity->nchain = MAX_CHAIN;
	status = gnutls_pcert_list_import_x509_raw(identity->chain, &identity->nchain, &data, GNUTLS_X509_FMT_PEM,
											   GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
	gnutls_free(data.data);
	if (status >= 0 && identity->nchain > 0)
		return true;
	identity->nchain = 0;
	snprintf(problem, size, "the file \"%s\" has no certificate in PEM: %s", file, gnutls_strerror(status));
	return false;
}

static bool
read_key(Identity *identity, const char *file, char *problem, size_t size)
{
	gnutls_datum_t data;
	int status;

	if (!load(file, &data, problem, size))
		return false;
	status = gnutls_privkey_init(&identity->key);
	if (status == 0)
		status = gnutls_privkey_import_x509_raw(identity->key, &data, GNUTLS_X509_FMT_PEM, NULL, 0);
	explicit_bzero(data.data, data.size);
	gnutls_free(data.data);
	if (status == 0)
		return true;
	snprintf(problem, size, "the file \"%s\" has no private key in PEM: %s", file, gnutls_strerror(status));
	return false;
}

/* Whether the key is the certificate's. */
static bool
fits(const Identity *identity, const char *key_file, char *problem, size_t size)
{
	unsigned char of_key[64], of_certificate[64];
	size_t key_size = sizeof(of_key), certificate_size = sizeof(of_certificate);
	gnutls_pubkey_t public_key;
	bool same = false;

	if (gnutls_pubkey_init(&public_key) != 0)
		return false;
	if (gnutls_pubkey_import_privkey(public_key, identity->key, 0, 0) == 0 &&
		gnutls_pubkey_get_key_id(public_key, GNUTLS_KEYID_USE_SHA256, of_key, &key_size) == 0 &&
		gnutls_pubkey_get_key_id(identity->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, of_certificate,
								 &certificate_size) == 0)
		same = key_size == certificate_size && memcmp(of_key, of_certificate, key_size) == 0;
	gnutls_pubkey_deinit(public_key);
	if (!same)
		snprintf(problem, size, "the private key in \"%s\" is not that of the certificate", key_file);
	return same;
}

static Identity *
read_identity(const IntegTls *tls, char *problem, size_t size)
{
	Identity *identity = calloc(1, sizeof(Identity));

	if (identity == NULL)
	{
		snprintf(problem, size, "out of memory");
		return NULL;
	}
	if (read_chain(identity, tls->cert_file, problem, size) && read_key(identity, tls->key_file, problem, size) &&
		fits(identity, tls->key_file, problem, size))
		return identity;
	free_identity(identity);
	return NULL;
}

static void
free_retired(IntegTls *tls, time_t before)
{
	Identity **at = &tls->retired;

	while (*at != NULL)
	{
		Identity *identity = *at;

		if (identity->retired > before)
			at = &identity->next;
		else
		{
			*at = identity->next;
			free_identity(identity);
		}
	}
}

bool
integ_tls_renew(IntegTls *tls, char *problem, size_t size)
{
	Stamp cert, key;
	Identity *identity;

	if (!stamp(tls->cert_file, false, &cert, problem, size) || !stamp(tls->key_file, true, &key, problem, size))
		return false;
	if (tls->current != NULL && same_stamp(&cert, &tls->cert_stamp) && same_stamp(&key, &tls->key_stamp))
		return true;
	identity = read_identity(tls, problem, size);
	if (identity == NULL)
		return false;
	free_retired(tls, time(NULL) - RETIRED_S);
	if (tls->current != NULL)
	{
		tls->current->retired = time(NULL);
		tls->current->next = tls->retired;
		tls->retired = tls->current;
	}
	tls->current = identity;
	tls->cert_stamp = cert;
	tls->key_stamp = key;
	return true;
}

IntegTls *
integ_tls_open(const char *cert_file, const char *key_file, char *problem, size_t size)
{
	IntegTls *tls = calloc(1, sizeof(IntegTls));

	snprintf(problem, size, "out of memory");
	if (tls == NULL)
		return NULL;
	tls->cert_file = strdup(cert_file);
	tls->key_file = strdup(key_file);
	if (tls->cert_file != NULL && tls->key_file != NULL && integ_tls_renew(tls, problem, size))
	{
		the_only = tls;
		return tls;
	}
	integ_tls_close(tls);
	return NULL;
}

void
integ_tls_close(IntegTls *tls)
{
	free_retired(tls, time(NULL));
	if (tls->current != NULL)
		free_identity(tls->current);
	if (the_only == tls)
		the_only = NULL;
	free(tls->cert_file);
	free(tls->key_file);
	free(tls);
}

int
integ_tls_choose(gnutls_session_t session, const gnutls_datum_t *authorities, int nauthorities,
				 const gnutls_pk_algorithm_t *algorithms, int nalgorithms, gnutls_pcert_st **certificates,
				 unsigned int *ncertificates, gnutls_privkey_t *key)
{
	(void) session;
	(void) authorities;
	(void) nauthorities;
	(void) algorithms;
	(void) nalgorithms;
	if (the_only == NULL)
		return -1;
	*certificates = the_only->current->chain;
	*ncertificates = the_only->current->nchain;
	*key = the_only->current->key;
	return 0;
}
