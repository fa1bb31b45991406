/*
 * kafka_phase.c
 *	  Phases of recovery: how long each may take.
 */
#include "postgres.h"

#include "sinks/kafka/kafka_phase.h"
#include "sinks/kafka/kafka_types.h"

/* A look after the topic has seen a log that is too short.  Outlives the handle. */
static bool suspects_loss = false;

bool
kafka_is_late(const Kafka *kafka)
{
	return monotonic_ms() >= kafka->deadline;
}

void
kafka_enter(Kafka *kafka, KafkaPhase phase, int milliseconds)
{
	kafka->phase = phase;
	kafka->deadline = monotonic_ms() + milliseconds;
}

int64
kafka_phase_age(const Kafka *kafka, int milliseconds)
{
	return monotonic_ms() - (kafka->deadline - milliseconds);
}

bool
kafka_is_patient(const Kafka *kafka)
{
	bool		is_hasty = kafka->is_peeking || suspects_loss;

	return !kafka_is_late(kafka) && !(is_hasty && kafka_phase_age(kafka, LOOKING_MS) >= kafka->patience_ms);
}

void
kafka_suspect_loss(void)
{
	suspects_loss = true;
}

bool
kafka_suspects_loss(void)
{
	return suspects_loss;
}

void
kafka_forget_suspicion(void)
{
	suspects_loss = false;
}
