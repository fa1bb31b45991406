/*
 * kafka_seal.c
 *	  The headers of a record: its delivery number, the store where the document does not name
 *	  it, and on the last one of a transaction the position and the seal of the batch.
 *
 * doc/evidence.md defines number, store and seal.  They are for readers; the position is the worker's own.
 */
#include "postgres.h"

#include "sinks/kafka/kafka_seal.h"
#include "sinks/kafka/kafka_types.h"

#define CONTENT_TYPE		"application/cloudevents+json; charset=UTF-8"
#define NUMBER_HEADER		"admin-ext-number"
#define STORE_HEADER		"admin-ext-store"
#define MOST_HEADERS		5
#define MOST_DIGITS			20
/* Room for two store ids, four chains, numbers and names. */
#define SEAL_BYTES			768

static void
add_text(rd_kafka_headers_t *headers, const char *name, const char *text, int length)
{
	rd_kafka_resp_err_t code = rd_kafka_header_add(headers, name, -1, text, length);

	/* Without the header the record would look like another writer's. */
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		elog(ERROR, "could not add header \"%s\": %s", name, rd_kafka_err2str(code));
}

/* Built by hand for each record: snprintf() would take longer than all the rest. */
static void
add_number(rd_kafka_headers_t *headers, int64 number)
{
	char		digits[MOST_DIGITS];
	char	   *at = digits + MOST_DIGITS;

	do
		*--at = '0' + number % 10;
	while ((number /= 10) > 0);
	add_text(headers, NUMBER_HEADER, at, digits + MOST_DIGITS - at);
}

/* The position in the topic: "<store id> <position_id> <the worker's own record of it>". */
static void
add_position(const Kafka *kafka, rd_kafka_headers_t *headers)
{
	const AdminSinkPosition *position = &kafka->batch->position;
	char		text[ADMIN_SINK_RECORD_BYTES + 128];
	int			length = snprintf(text, sizeof(text), "%s " INT64_FORMAT " %s", kafka->sink->store_id,
								  position->position_id, position->record);

	add_text(headers, POSITION_HEADER, text, length);
}

static void
add_seal(const Kafka *kafka, rd_kafka_headers_t *headers)
{
	const AdminSinkBatch *batch = kafka->batch;
	const AdminSinkContinued *continued = kafka->sink->continued;
	char		text[SEAL_BYTES];
	int			length = snprintf(text, sizeof(text),
								  "{\"v\":1,\"store\":\"%s\",\"sink\":\"%s\",\"first\":" INT64_FORMAT ",\"last\":" INT64_FORMAT
								  ",\"chain\":\"%s\",\"previous\":\"%s\"", kafka->sink->store_id, kafka->sink->name,
								  batch->first_number, batch->position.last_number, batch->chain_after, batch->chain_before);

	if (batch->first_number == 1 && continued->store_id[0] != '\0')
		length += snprintf(text + length, sizeof(text) - length,
						   ",\"continues\":{\"store\":\"%s\",\"last\":" INT64_FORMAT ",\"chain\":\"%s\"}",
						   continued->store_id, continued->last_number, continued->chain);
	Assert(length + 1 < (int) sizeof(text));
	text[length++] = '}';
	add_text(headers, SEAL_HEADER, text, length);
}

rd_kafka_headers_t *
kafka_headers(const Kafka *kafka, int record)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(MOST_HEADERS);

	add_text(headers, "content-type", CONTENT_TYPE, sizeof(CONTENT_TYPE) - 1);
	add_number(headers, kafka->batch->first_number + record);
	if (kafka->batch->records[record].is_ingested)
		add_text(headers, STORE_HEADER, kafka->sink->store_id, -1);
	if (record == kafka->batch->count - 1)
	{
		add_position(kafka, headers);
		add_seal(kafka, headers);
	}
	return headers;
}
