/*
 * kafka_offsets.c
 *	  Asks the brokers where a partition begins and ends.
 *
 * librdkafka has a call for that, rd_kafka_query_watermark_offsets().  In 2.0.2 its time limit holds for the leader
 * only: brokers that do not answer keep it for socket.timeout.ms, a minute.  Meanwhile the worker would neither end
 * nor say what is wrong.  rd_kafka_offsets_for_times() asks the same and keeps its limit.
 */
#include "postgres.h"

#include "sinks/kafka/kafka_offsets.h"
#include "sinks/kafka/kafka_types.h"

#define MOST_ASKING_MS	3000

/* What the protocol takes for a time in a question for offsets (ListOffsets): the first offset, and the next one. */
#define TIME_OF_BEGINNING	RD_KAFKA_OFFSET_BEGINNING
#define TIME_OF_END			RD_KAFKA_OFFSET_END

int
kafka_asking_ms(Kafka *kafka)
{
	int			wait_ms = Max(kafka->asking_ms, ADMIN_SINK_SLICE_MS);

	kafka->asking_ms = Min(wait_ms * 2, MOST_ASKING_MS);
	return wait_ms;
}

static rd_kafka_resp_err_t
offset_at(Kafka *kafka, int partition, int64 when, int wait_ms, int64 *offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *asked = rd_kafka_topic_partition_list_add(list, kafka->topic, partition);
	rd_kafka_resp_err_t code;

	asked->offset = when;
	code = rd_kafka_offsets_for_times(kafka->consumer, list, wait_ms);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = list->elems[0].err;
	*offset = list->elems[0].offset;
	rd_kafka_topic_partition_list_destroy(list);
	return code;
}

rd_kafka_resp_err_t
kafka_offsets(Kafka *kafka, int partition, int64 *begin, int64 *end)
{
	int			wait_ms = kafka_asking_ms(kafka);
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (begin != NULL)
		code = offset_at(kafka, partition, TIME_OF_BEGINNING, wait_ms, begin);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = offset_at(kafka, partition, TIME_OF_END, wait_ms, end);
	/* A broker that has answered in time will do so again. */
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		kafka->asking_ms = wait_ms;
	return code;
}

bool
kafka_is_without_marker(int64 newest, int64 next, int64 high)
{
	return newest != NO_OFFSET && newest == high - 1 && next == high + 1;
}
