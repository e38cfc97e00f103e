/*
 * The error class of integ. Each SQLSTATE reads like the HTTP status it
 * resembles; docs/errors.md says what each means and which are retried.
 *
 * Every ereport with one of these has a message that says what happened, a
 * detail that names the instance, method or path concerned, and a hint that
 * says what to do. None ever contains a secret.
 */
#ifndef INTEG_CORE_ERRORS_H
#define INTEG_CORE_ERRORS_H

#include "postgres.h"

#define ERRCODE_INTEG_INVALID MAKE_SQLSTATE('I', 'G', '4', '0', '0')		 /* bad input, option, manifest */
#define ERRCODE_INTEG_UNAUTHENTICATED MAKE_SQLSTATE('I', 'G', '4', '0', '1') /* credentials refused or missing */
#define ERRCODE_INTEG_FORBIDDEN MAKE_SQLSTATE('I', 'G', '4', '0', '3')		 /* role, context, origin, address */
#define ERRCODE_INTEG_NOT_FOUND MAKE_SQLSTATE('I', 'G', '4', '0', '4')		 /* unknown, or not visible */
#define ERRCODE_INTEG_CONFLICT MAKE_SQLSTATE('I', 'G', '4', '0', '9')		 /* duplicate, already running */
#define ERRCODE_INTEG_REFUSED MAKE_SQLSTATE('I', 'G', '4', '2', '2')		 /* the service said 4xx */
#define ERRCODE_INTEG_APPROVAL MAKE_SQLSTATE('I', 'G', '4', '2', '8')		 /* approval required */
#define ERRCODE_INTEG_RATE_LIMIT MAKE_SQLSTATE('I', 'G', '4', '2', '9')		 /* rate limit, ours or theirs */
#define ERRCODE_INTEG_INSTALLATION MAKE_SQLSTATE('I', 'G', '5', '0', '0')	 /* a missing part of this installation */
#define ERRCODE_INTEG_BAD_ANSWER MAKE_SQLSTATE('I', 'G', '5', '0', '2')		 /* 5xx, or not what was promised */
#define ERRCODE_INTEG_CIRCUIT_OPEN MAKE_SQLSTATE('I', 'G', '5', '0', '3')	 /* circuit breaker open */
#define ERRCODE_INTEG_UNREACHABLE MAKE_SQLSTATE('I', 'G', '5', '0', '4')	 /* timeout, DNS, connection */

#endif /* INTEG_CORE_ERRORS_H */
