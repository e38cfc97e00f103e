/*
 * Whether a request to an authorization server may leave now: its host and its instance are there, as far as their
 * circuit breakers know, and limits have a slot.
 */
#include "oauth/job.h"

#include "core/errors.h"

/* Limits of the definition are those of its service; an authorization server elsewhere has none of them. */
static IntegLimitSubject
limit_subject(const IntegOauthJob *job, const IntegTemplateScope *nothing)
{
	const IntegInstance *instance = job->config.instance;
	bool same = instance->origin != NULL && strcmp(instance->origin, job->config.token_origin) == 0;

	return (IntegLimitSubject){.instance = &job->instance,
							   .instance_id = instance->instance_id,
							   .definition = job->config.definition->id,
							   .method = "oauth",
							   .client = instance->client_id,
							   .owner = instance->credentials.client_id,
							   .origin = job->config.token_origin,
							   .of_definition = same ? job->config.definition->limits : NULL,
							   .of_instance = same ? instance->limits : NULL,
							   .breaker = &job->config.definition->breaker,
							   .values = nothing,
							   .asynchronous = true};
}

void
integ_oauth_admit(IntegOauthJob *job)
{
	const IntegTemplateScope nothing = {0};
	IntegLimitSubject subject = limit_subject(job, &nothing);
	IntegRefusal refusal;

	job->grant = integ_limits_take(&subject, &refusal);
	if (job->grant == NULL)
		ereport(ERROR, (errcode(refusal.sqlerrcode), errmsg_internal("%s", refusal.message),
						errdetail_internal("%s", refusal.detail), errhint("%s", refusal.hint)));
}

void
integ_oauth_answered(IntegOauthJob *job)
{
	const IntegHttpResponse *response = &job->response;
	bool answered = response->failure == INTEG_HTTP_OK;
	bool unreachable = response->failure == INTEG_HTTP_DNS || response->failure == INTEG_HTTP_CONNECT;
	IntegLimitAnswer answer = {
		.status = answered ? (int) response->status : 0,
		.failed = unreachable || response->failure == INTEG_HTTP_TIMEOUT || (answered && response->status >= 500),
		.unreachable = unreachable,
		.inconclusive = response->failure == INTEG_HTTP_CANCELLED,
		.error = response->error,
	};

	job->answered = true;
	if (job->grant != NULL)
		(void) integ_limits_answered(job->grant, &answer);
	job->grant = NULL;
}
