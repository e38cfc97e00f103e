/*
 * The course of a call whose method has several requests: steps, of which later ones use what
 * earlier ones brought, or a job that is submitted, asked for and downloaded.
 *
 * A call is opened at its first exchange. While the course has not ended, the
 * exchange under way is built (not before course->due), sent and finished;
 * integ_course_finish then moves the call to its next exchange, or ends it with the method's result:
 *
 *		integ_call_open(call);
 *		while (!integ_course_ended(call) && call->outcome.sqlerrcode == 0)
 *			wait until call->course->due; integ_call_rewind; integ_call_build; integ_call_send; integ_call_finish
 *
 * A failed exchange stays the one under way, and may be built again.
 */
#ifndef INTEG_COURSE_COURSE_H
#define INTEG_COURSE_COURSE_H

#include "postgres.h"

#include "execute/call.h"
#include "lib/stringinfo.h"

typedef struct IntegCourse
{
	MemoryContext context; /* outlives the exchanges; holds all of this */
	int at;				   /* the step under way, or the phase of a job */
	bool ended;			   /* the outcome has the method's result */
	TimestampTz due;	   /* the exchange under way is not to be built before; 0: at once */
	const Jsonb *earlier;  /* {"steps": …} or {"job": …}, as templates see it; NULL: nothing yet */
	const Jsonb *last;	   /* what the last exchange brought, or NULL */
	const Jsonb **results; /* of steps, by number; NULL: has not run, or brought nothing */
	bool written;		   /* a write was carried out that must not be repeated */
	StringInfoData trace;  /* which exchanges ran and what they gave, for a person */

	bool failed; /* what stopped it is no exchange's failure, and stays so */

	/* of a job */
	bool submitted;
	const Jsonb *job_id;	  /* or NULL */
	const char *download_url; /* of a job that is fetched where its last answer says, or NULL */
	TimestampTz deadline;	  /* it must have ended before */
	int64 polls;
} IntegCourse;

/* The phases of a job. */
enum
{
	INTEG_JOB_SUBMIT,
	INTEG_JOB_POLL,
	INTEG_JOB_DOWNLOAD
};

/*
 * Once a call is opened and its input settled: sets the first exchange of a method of several requests; it may have
 * ended already,
 * where no step is to run. Nothing for a method with one request.
 */
extern void integ_course_begin(IntegCall *call);

/* The requests of a method in their order, from 0: its one, its steps, or those of its job; NULL behind the last. */
extern const IntegExchange *integ_course_exchange(const IntegMethod *method, int number);

/*
 * At the end of integ_call_finish: takes what a successful exchange brought, and moves on. Of a failed one the
 * outcome's detail is completed with what ran before it. Failures of its own become the outcome.
 */
extern void integ_course_finish(IntegCall *call);

/* Whether the call has nothing more to send: always true of a finished call with one request. */
extern bool integ_course_ended(const IntegCall *call);

/* detail with what ran so far, for an error that stops the call before its next request; detail may be NULL. */
extern char *integ_course_explain(const IntegCall *call, const char *detail);

/*
 * What another attempt needs so as not to repeat what was done: NULL where it may begin anew, unless all is wanted.
 * In CurrentMemoryContext;
 * takes a transaction. Taken up by integ_course_resume right after integ_course_begin, which raises IG409 where the
 * definition has changed so that it cannot go on.
 */
extern Jsonb *integ_course_save(const IntegCall *call, bool all);
extern void integ_course_resume(IntegCall *call, const Jsonb *progress);

/* The parts: steps.c and job.c. They set call->exchange, or end the course. */
extern void integ_steps_begin_at(IntegCall *call, int first);
extern void integ_steps_finish(IntegCall *call);
extern void integ_job_begin_at(IntegCall *call, int phase);
extern const IntegExchange *integ_job_exchange(const IntegMethodJob *job, int phase); /* NULL: it has none */
extern void integ_job_finish(IntegCall *call);

/* Take up what integ_course_save kept: the id of the step that is next, and "earlier"; false where they do not fit. */
extern bool integ_steps_resume(IntegCall *call, const char *next, const Jsonb *earlier);
extern bool integ_job_resume(IntegCall *call, const char *next, const Jsonb *earlier);

/* Ends the course: the method's own map over what the exchanges brought, else what the last one did. */
extern void integ_course_end(IntegCall *call);

/* A copy of a document that outlives the exchange; NULL stays NULL. */
extern const Jsonb *integ_course_keep(const IntegCourse *course, const Jsonb *document);

/*
 * Appends what the exchange under way gave to the trace. Its result is shown only where the manifest's author has
 * chosen what it is: a whole answer may hold more than an error should tell.
 */
extern void integ_course_note_success(IntegCall *call);

/* Appends a clause to the trace. */
extern void integ_course_note(IntegCourse *course, const char *format, ...) pg_attribute_printf(2, 3);

/* Makes an outcome of what failed without an exchange being to blame; texts are in CurrentMemoryContext. */
extern void integ_course_fail(IntegCall *call, int sqlerrcode, char *message, char *detail, char *hint);

#endif /* INTEG_COURSE_COURSE_H */
