/*
 * kafka_position.c
 *	  Reads the header that carries the worker's position.
 */
#include "postgres.h"

#include "sinks/kafka/kafka_position.h"
#include "sinks/kafka/kafka_types.h"

bool
kafka_header_text(const rd_kafka_message_t *message, const char *name, char *text, Size size)
{
	rd_kafka_headers_t *headers;
	const void *value;
	Size		length;

	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
		rd_kafka_header_get_last(headers, name, &value, &length) != RD_KAFKA_RESP_ERR_NO_ERROR || value == NULL)
		return false;
	length = Min(length, size - 1);
	memcpy(text, value, length);
	text[length] = '\0';
	return true;
}

/*
 * The position in a header of this store, "<store id> <position_id> <record>"; empty: there is
 * none.  A header that names this store but has another form is a forgery, and comes back
 * unchanged.
 */
const char *
kafka_position_of(const Kafka *kafka, rd_kafka_message_t *message, int64 *position_id)
{
	static char text[ADMIN_SINK_RECORD_BYTES + 128];
	Size		id_length = strlen(kafka->sink->store_id);
	char	   *record;

	if (!kafka_header_text(message, POSITION_HEADER, text, sizeof(text)) || strncmp(text, kafka->sink->store_id, id_length) != 0)
		return "";
	*position_id = strtoll(text + id_length, &record, 10);
	return *record == ' ' ? record + 1 : text;
}

/*
 * Stops: a forged position, which another writer of the topic has made, must not move this store's.
 */
AdminSinkResult
kafka_stop_at_forgery(Kafka *kafka, const rd_kafka_message_t *message, int64 position_id, const char *forgery)
{
	snprintf(kafka->sink->error, sizeof(kafka->sink->error),
			 "position " INT64_FORMAT " in the sink (partition %d, offset " INT64_FORMAT ") was not written by this database: "
			 "%s; find out who else writes to topic \"%.100s\", then call admin.resync_sink('%s', ...) with the number that "
			 "admin.resync_proposal('%s') returns", position_id, message->partition, message->offset, forgery,
			 kafka->topic, kafka->sink->name, kafka->sink->name);
	return ADMIN_SINK_STOP;
}

/* The last record of a transaction has both headers; a copy of one alone counts for nothing here. */
static bool
has_seal(const rd_kafka_message_t *message)
{
	char		beginning[2];

	return kafka_header_text(message, SEAL_HEADER, beginning, sizeof(beginning));
}

/* The operator's position holds, whatever else was written to the topic; a forged header does not count. */
void
kafka_keep_newest(Kafka *kafka, rd_kafka_message_t *message, AdminSinkPosition *position)
{
	int64		position_id = 0;
	const char *record = kafka_position_of(kafka, message, &position_id);

	if (record[0] == '\0' || position_id <= position->kept_id || !has_seal(message) ||
		kafka->sink->forgery(kafka->sink, position_id, record) != NULL)
		return;
	position->kept_id = position_id;
	strlcpy(position->kept_record, record, sizeof(position->kept_record));
}
