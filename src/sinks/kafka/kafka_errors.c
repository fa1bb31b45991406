/*
 * kafka_errors.c
 *	  Turns an error of librdkafka into a result, and into one sentence that a DBA can act on.
 *
 * librdkafka's flags decide which errors can be retried, which need an abort and which are fatal;
 * codes only select the words.
 */
#include "postgres.h"

#include "sinks/kafka/kafka_errors.h"
#include "sinks/kafka/kafka_types.h"

#define TIMEOUT_SLACK_MS	5000
/* Brokers that were too slow within this time are reported as slow, not as gone. */
#define STILL_SLOW_MS	60000

/* When the brokers were last too slow for a batch; 0: not since the last commit. */
static int64 slow_at = 0;

/*
 * A code that has a remedy ends recovery.  GROUP_AUTHORIZATION_FAILED has no remedy here: a
 * consumer with assigned partitions gets it, and can read all the same.
 */
static const struct
{
	rd_kafka_resp_err_t code;
	const char *remedy;
}			remedies[] = {
	{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "create the topic, or correct admin_ext.kafka_topic"},
	{RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, "create the topic, or correct admin_ext.kafka_topic"},
	{RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, "create the topic, or correct admin_ext.kafka_topic"},
	{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
	"allow the user WRITE and READ on the topic"},
	{RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
	"allow the user WRITE on transactional ids with the prefix admin_ext."},
	{RD_KAFKA_RESP_ERR__AUTHENTICATION,
	"correct security.protocol and the sasl properties in admin_ext.kafka_options"},
	{RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
	"correct the sasl properties in admin_ext.kafka_options"},
	{RD_KAFKA_RESP_ERR__SSL, "correct security.protocol and the ssl properties in admin_ext.kafka_options"},
	{RD_KAFKA_RESP_ERR__RESOLVE, "correct admin_ext.kafka_brokers"},
	{RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT,
	"lower transaction.timeout.ms in admin_ext.kafka_options"},
};

const char *
kafka_remedy(rd_kafka_resp_err_t code)
{
	for (int i = 0; i < lengthof(remedies); i++)
	{
		if (remedies[i].code == code)
			return remedies[i].remedy;
	}
	return NULL;
}

static const char *
remedy_for_code(rd_kafka_resp_err_t code, const char *reason)
{
	if (code == RD_KAFKA_RESP_ERR__SSL && strstr(reason, " alert ") &&
		(strstr(reason, "certificate") || strstr(reason, "unknown ca")))
		return "the broker wants a certificate that it trusts: correct ssl.certificate.location and "
			"ssl.key.location in admin_ext.kafka_options";
	/* These errors usually pass by themselves, so they do not end recovery. */
	if (code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		return "start the brokers, or correct admin_ext.kafka_brokers";
	return kafka_remedy(code);
}

static bool
is_fencing(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__FENCED ||
		code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH ||
		code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED;
}

static void
kafka_explain(Kafka *kafka, const char *what, rd_kafka_resp_err_t code, const char *reason)
{
	const char *remedy = remedy_for_code(code, reason);

	/*
	 * Guesses, durations and counts follow in brackets or behind "probably".  They are cut off,
	 * because a sentence that changes is logged again.
	 */
	const char *guess = strstr(reason, ": probably due to");
	const char *aside = guess ? guess : strstr(reason, " (");
	char	   *error = kafka->sink->error;
	Size		size = sizeof(kafka->sink->error);

	snprintf(error, size, "could not %s (topic \"%s\"): %.*s%s%s", what, kafka->topic,
			 (int) (aside ? aside - reason : strlen(reason)), reason, remedy ? "; " : "", remedy ? remedy : "");
	/* librdkafka 2.0.2 reports this for a correct password if the broker has version 4. */
	if ((code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED) &&
		rd_kafka_version() < 0x020601ff && strstr(reason, "SCRAM"))
		snprintf(error + strlen(error), size - strlen(error),
				 "; librdkafka before 2.6.1 cannot log in by SCRAM to Kafka 4, this is %s",
				 rd_kafka_version_str());
}

/* The broker ends a transaction that has been open for too long the way it ends one of a fenced producer. */
static bool
has_timed_out(const Kafka *kafka)
{
	return kafka->begun != 0 &&
		monotonic_ms() - kafka->begun >= kafka->timeout_ms - TIMEOUT_SLACK_MS;
}

AdminSinkResult
kafka_refused(Kafka *kafka, rd_kafka_resp_err_t code, const char *reason, const char *what)
{
	char		fatal[256];
	rd_kafka_resp_err_t cause = rd_kafka_fatal_error(kafka->producer, fatal, sizeof(fatal));

	if (cause != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		code = cause;
		reason = fatal;
	}
	if ((is_fencing(code) || is_fencing(kafka->report_code)) && !has_timed_out(kafka))
	{
		snprintf(kafka->sink->error, sizeof(kafka->sink->error),
				 "another worker with the identity of this store (transactional id admin_ext.%s) delivers to "
				 "topic \"%s\"; stop one of the two, then reload", kafka->sink->store_id, kafka->topic);
		return ADMIN_SINK_FENCED;
	}
	/* A failed commit does not say what is wrong; the first failed report does. */
	if (kafka->report_code != RD_KAFKA_RESP_ERR_NO_ERROR)
		kafka_explain(kafka, what, kafka->report_code, kafka->report_error);
	/* The reason for an abort says more than the failure of the abort. */
	else if (kafka->failed_code != RD_KAFKA_RESP_ERR_NO_ERROR)
		kafka_explain(kafka, "send a batch", kafka->failed_code, kafka->failed_error);
	else if (code == RD_KAFKA_RESP_ERR__TIMED_OUT)
		return kafka_no_answer(kafka, what);
	else
		kafka_explain(kafka, what, code, reason);
	return ADMIN_SINK_RETRY;
}

AdminSinkResult
kafka_failure(Kafka *kafka, rd_kafka_error_t *error, const char *what)
{
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);
	char		reason[256];

	strlcpy(reason, rd_kafka_error_string(error), sizeof(reason));
	rd_kafka_error_destroy(error);
	return kafka_refused(kafka, code, reason, what);
}

void
kafka_set_slow(bool is_slow)
{
	slow_at = is_slow ? monotonic_ms() : 0;
}

AdminSinkResult
kafka_no_answer(Kafka *kafka, const char *what)
{
	if (kafka->broker_error[0] == '\0' && slow_at != 0 && monotonic_ms() - slow_at < STILL_SLOW_MS)
		kafka_explain(kafka, what, RD_KAFKA_RESP_ERR_NO_ERROR, "the brokers are slow, or throttle");
	else
		kafka_explain(kafka, what, kafka->broker_code != RD_KAFKA_RESP_ERR_NO_ERROR ? kafka->broker_code : RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
					  kafka->broker_error[0] ? kafka->broker_error : "the brokers do not answer");
	return ADMIN_SINK_RETRY;
}

AdminSinkResult
kafka_give_up(Kafka *kafka, rd_kafka_resp_err_t code, const char *what)
{
	kafka->broker_code = code;
	strlcpy(kafka->broker_error, rd_kafka_err2str(code), sizeof(kafka->broker_error));
	return kafka_no_answer(kafka, what);
}

AdminSinkResult
kafka_wait_for_brokers(Kafka *kafka)
{
	/* Waiting does not help if the login, TLS or the name lookup has failed. */
	bool		is_hopeless = kafka->broker_code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
	kafka->broker_code == RD_KAFKA_RESP_ERR__SSL ||
	kafka->broker_code == RD_KAFKA_RESP_ERR__RESOLVE;
	AdminSinkResult result = kafka_no_answer(kafka, "reach the brokers");

	return is_hopeless || monotonic_ms() >= kafka->deadline ? result : ADMIN_SINK_PENDING;
}

AdminSinkResult
kafka_stop_at_loss(Kafka *kafka, const char *found)
{
	snprintf(kafka->sink->error, sizeof(kafka->sink->error),
			 "topic \"%s\" has lost delivered records, or was recreated: %s"
			 "; call admin.resync_sink('%s', ...) with the number that admin.resync_proposal('%s') returns",
			 kafka->topic, found, kafka->sink->name, kafka->sink->name);
	kafka->sink->has_lost = true;
	return ADMIN_SINK_STOP;
}
