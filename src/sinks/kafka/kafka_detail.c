/*
 * kafka_detail.c
 *	  The text in which the database remembers the topic: up to which offset each partition holds
 *	  our records, and where the newest position is.
 */
#include "postgres.h"

#include "sinks/kafka/kafka_detail.h"
#include "sinks/kafka/kafka_types.h"

/* Returns what follows it. */
static const char *
read_topic_id(Kafka *kafka, const char *text)
{
	Size		length = strcspn(text, " ");

	strlcpy(kafka->topic_id, text, Min(sizeof(kafka->topic_id), length + 1));
	return text + length;
}

/*
 * "<topic>/<its id> <header partition>:<offset> <partition>:<next>-<distance>,...", as
 * kafka_write_detail() writes it.  distance is how far the newest record is before next; without it
 * that record is unknown.  If the topic's id is unknown, id and slash are left out.
 */
bool
kafka_read_detail(Kafka *kafka, const char *detail)
{
	Size		length = strlen(kafka->topic);
	const char *at = detail;
	int			used;

	kafka->topic_id[0] = '\0';
	if (strncmp(at, kafka->topic, length) != 0 || (at[length] != ' ' && at[length] != '/'))
		return detail[0] == '\0';
	at += length;
	if (*at == '/')
		at = read_topic_id(kafka, at + 1);
	if (*at++ != ' ')
		return false;
	if (sscanf(at, "%d:" INT64_FORMAT "%n", &kafka->header_partition, &kafka->header_offset, &used) != 2)
		return false;
	for (at += used; *at == ' ' || *at == ','; at += used)
	{
		int			partition;
		int64		next;
		int64		distance = 0;

		if (sscanf(at + 1, "%d:" INT64_FORMAT "%n-" INT64_FORMAT "%n", &partition, &next, &used, &distance, &used) < 2)
			return false;
		used++;
		if (partition < 0)
			return false;
		if (partition >= kafka->partition_count)
		{
			/* The number of partitions never shrinks, unless the topic was recreated. */
			if (next > 0)
				kafka->shrunk_partition = partition;
			continue;
		}
		kafka->partitions[partition].next = next;
		if (distance > 0)
			kafka->partitions[partition].newest = next - distance;
	}
	return *at == '\0';
}

void
kafka_write_detail(const Kafka *kafka, char *detail, Size size)
{
	Size		used = snprintf(detail, size, "%s%s%s %d:" INT64_FORMAT, kafka->topic, kafka->topic_id[0] != '\0' ? "/" : "",
								kafka->topic_id, kafka->header_partition, kafka->header_offset);

	for (int i = 0; i < kafka->partition_count && used < size; i++)
	{
		const KafkaPartition *partition = &kafka->partitions[i];

		used += snprintf(detail + used, size - used, "%c%d:" INT64_FORMAT, i == 0 ? ' ' : ',', i, partition->next);
		if (partition->newest != NO_OFFSET && used < size)
			used += snprintf(detail + used, size - used, "-" INT64_FORMAT, partition->next - partition->newest);
	}
	if (used >= size)
		elog(ERROR, "topic \"%s\" has too many partitions (%d)", kafka->topic, kafka->partition_count);
}
