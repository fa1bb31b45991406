/*
 * kafka_registry.c
 *	  Finds the event's JSON Schema in a Confluent-compatible schema registry, or registers
 *	  it there, and learns the id that values carry in front (wire format: 0, id in four bytes).
 *
 * Without admin_ext.schema_registry_url no registry is asked and values carry no prefix.
 * With it nothing is delivered until the registry has answered.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <sys/stat.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "utils/json.h"

#include "sinks/kafka/kafka_config.h"
#include "sinks/kafka/kafka_registry.h"
#include "sinks/kafka/kafka_types.h"

#define SCHEMA_FILE			"admin_ext_event.schema.json"
#define CONNECT_MS			3000L
#define ANSWER_MS			10000L
#define MOST_ANSWER_BYTES	65536

static char *
registry_read_schema(void)
{
	char		share[MAXPGPATH];
	char		path[MAXPGPATH];
	StringInfoData text;
	FILE	   *file;
	char		chunk[4096];
	size_t		bytes;

	get_share_path(my_exec_path, share);
	snprintf(path, sizeof(path), "%s/extension/%s", share, SCHEMA_FILE);
	file = AllocateFile(path, PG_BINARY_R);
	if (file == NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	initStringInfo(&text);
	while ((bytes = fread(chunk, 1, sizeof(chunk), file)) > 0)
		appendBinaryStringInfo(&text, chunk, bytes);
	FreeFile(file);
	return text.data;
}

/* Called by libcurl in our own thread; never raises, for there is room. */
static size_t
registry_take_answer(char *data, size_t size, size_t count, void *arg)
{
	StringInfo	answer = arg;

	if (answer->len + size * count > MOST_ANSWER_BYTES)
		return 0;
	appendBinaryStringInfo(answer, data, size * count);
	return size * count;
}

/* A worker that is to end, or has new settings, does not wait for an answer. */
static int
look_for_interrupt(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	return ProcDiePending || ConfigReloadPending ? 1 : 0;
}

/* A private CA is the one that librdkafka trusts, too: a file or a directory. */
static void
registry_trust_ca(const Kafka *kafka, CURL *curl)
{
	const char *ca = kafka_option(kafka, "ssl.ca.location");
	struct stat status;

	if (ca != NULL && strcmp(ca, "probe") != 0)
		curl_easy_setopt(curl, stat(ca, &status) == 0 && S_ISDIR(status.st_mode) ? CURLOPT_CAPATH : CURLOPT_CAINFO, ca);
}

static void
registry_set_options(const Kafka *kafka, CURL *curl, const char *url, const char *body, struct curl_slist *headers, StringInfo answer, char *reason)
{
	const char *auth = kafka->sink->setting("admin_ext.schema_registry_auth");

	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ANSWER_MS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, registry_take_answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_for_interrupt);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
	registry_trust_ca(kafka, curl);
	if (auth[0] != '\0')
	{
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
		curl_easy_setopt(curl, CURLOPT_USERPWD, auth);
	}
}

/*
 * libcurl's detailed message may contain a piece of the URL, and so a password, and it changes from
 * one attempt to the next.  It is needed only for errors of a certificate.
 */
static void
no_answer(Kafka *kafka, CURLcode code, const char *reason)
{
	bool		is_distrust = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;

	snprintf(kafka->sink->error, sizeof(kafka->sink->error), "could not reach the schema registry: %s; %s",
			 is_distrust && reason[0] != '\0' ? reason : curl_easy_strerror(code),
			 is_distrust ? "name the CA of its certificate as ssl.ca.location in admin_ext.kafka_options" :
			 code == CURLE_ABORTED_BY_CALLBACK ? "the settings are read anew first" :
			 "start it, or correct admin_ext.schema_registry_url");
}

/* Posts; returns the HTTP status, 0 with sink->error when there was no answer. */
static long
registry_post(Kafka *kafka, const char *url, const char *body, StringInfo answer)
{
	CURL	   *curl = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/vnd.schemaregistry.v1+json");
	char		reason[CURL_ERROR_SIZE] = "";
	CURLcode	code;
	long		status = 0;

	if (curl == NULL || headers == NULL)
		elog(ERROR, "out of memory");
	registry_set_options(kafka, curl, url, body, headers, answer, reason);
	code = curl_easy_perform(curl);
	if (code == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	else
		no_answer(kafka, code, reason);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	CHECK_FOR_INTERRUPTS();
	return status;
}

/* Makes any answer a piece of one sentence: without line breaks, and no character cut in two. */
static void
make_printable(char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text < ' ' || *text > '~')
			*text = ' ';
	}
}

static const char *
remedy_of_lookup(long status)
{
	switch (status)
	{
		case 401:
			return "correct admin_ext.schema_registry_auth";
		case 403:
			return "allow the user of admin_ext.schema_registry_auth to read the subject";
		default:
			return status < 400 ? "correct admin_ext.schema_registry_url" : "see its log";
	}
}

/* The schema is not there, and we cannot put it there. */
static const char *
remedy_of_registering(long status)
{
	switch (status)
	{
		case 401:
			return "correct admin_ext.schema_registry_auth";
		case 403:
			return "the user of admin_ext.schema_registry_auth may not register a schema; "
				"register admin_ext_event.schema.json as another user, or allow it to this one";
		case 404:
			return "correct admin_ext.schema_registry_url";
		case 409:
			return "its compatibility rule does not allow this schema; settle it there";
		case 422:
			return "it takes no schema here, as in its mode READONLY; register admin_ext_event.schema.json where it "
				"does, or change the mode";
		default:
			return remedy_of_lookup(status);
	}
}

static AdminSinkResult
registry_refused(Kafka *kafka, long status, const char *subject, const char *remedy, char *answer)
{
	make_printable(answer);
	snprintf(kafka->sink->error, sizeof(kafka->sink->error),
			 "the schema registry answered %ld for subject \"%s\"; %s%s%.200s", status, subject, remedy,
			 answer[0] != '\0' ? ": " : "", answer);
	return ADMIN_SINK_RETRY;
}

/*
 * Finds {"id": n} in an answer; 0: there is none, as in an HTML page.  A lookup repeats the schema,
 * but with escaped quotes.
 */
static int
registry_id(const char *answer)
{
	const char *at = strstr(answer, "\"id\"");
	int			id;

	return at != NULL && sscanf(at, "\"id\" : %d", &id) == 1 && id > 0 ? id : 0;
}

static char *
make_body(void)
{
	StringInfoData body;

	initStringInfo(&body);
	appendStringInfoString(&body, "{\"schemaType\":\"JSON\",\"schema\":");
	escape_json(&body, registry_read_schema());
	appendStringInfoChar(&body, '}');
	return body.data;
}

/*
 * Looks the schema up first: in production a deployment registers schemas, and a producer may only
 * read.  With normalize a registry also finds a schema that was registered in another layout.  An
 * unknown subject or schema is a 404.  A wrong URL is a 404, too; then registering fails as well.
 */
static const char *const questions[] = {"", "?normalize=true", "/versions"};

#define REGISTERING	(lengthof(questions) - 1)

/* A user who may not look a schema up, or not this way, may still register it. */
static bool
may_ask_on(long status)
{
	return status == 403 || status == 404 || status == 405 || status == 422;
}

AdminSinkResult
kafka_find_schema(Kafka *kafka)
{
	const char *url = kafka->sink->setting("admin_ext.schema_registry_url");
	char	   *subject = psprintf("%s-value", kafka->topic);
	int			length = strlen(url);
	int			question = 0;
	const char *body;
	StringInfoData answer;
	bool		may_look = true;
	long		status;

	kafka->schema_id = 0;
	if (url[0] == '\0')
		return ADMIN_SINK_OK;
	while (length > 0 && url[length - 1] == '/')
		length--;
	initStringInfo(&answer);
	enlargeStringInfo(&answer, MOST_ANSWER_BYTES);
	body = make_body();
	for (;;)
	{
		resetStringInfo(&answer);
		status = registry_post(kafka, psprintf("%.*s/subjects/%s%s", length, url, subject, questions[question]), body, &answer);
		if (!may_ask_on(status) || question == REGISTERING)
			break;
		may_look = may_look && status != 403;
		question++;
	}
	if (status == 0)
		return ADMIN_SINK_RETRY;
	kafka->schema_id = status == 200 ? registry_id(answer.data) : 0;
	if (kafka->schema_id > 0)
		return ADMIN_SINK_OK;
	/* Ask for the right to read, the smaller one. */
	return registry_refused(kafka, status, subject,
							question == REGISTERING && (may_look || status != 403) ? remedy_of_registering(status) : remedy_of_lookup(status), answer.data);
}
