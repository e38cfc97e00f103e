/*
 * Requests that are proven by a signed token: internal to webhooks.
 */
#ifndef INTEG_WEBHOOKS_TOKEN_H
#define INTEG_WEBHOOKS_TOKEN_H

#include "webhooks/webhook.h"

/*
 * Judges a request by the token in its header: signed by one of the keys with the scheme's algorithm, of this time
 * ("exp" is required), with the claims that the scheme names. As integ_signature_verify otherwise; in
 * CurrentMemoryContext, raises nothing but want of memory.
 */
extern IntegSignatureVerdict integ_webhook_judge_token(const IntegWebhookScheme *scheme, const IntegInbound *request,
													   const IntegSignatureKey *keys, int nkeys, char *problem,
													   size_t size);

#endif /* INTEG_WEBHOOKS_TOKEN_H */
