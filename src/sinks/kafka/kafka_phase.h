/*
 * kafka_phase.h
 *	  Phases of recovery: how long each may take.
 */
#ifndef ADMIN_EXT_KAFKA_PHASE_H
#define ADMIN_EXT_KAFKA_PHASE_H

#include "sinks/kafka/kafka_types.h"

/* The next phase of recovery, and how long it may take. */
extern void kafka_enter(Kafka *kafka, KafkaPhase phase, int milliseconds);

/* How long the phase has lasted, if it may take so many milliseconds. */
extern int64 kafka_phase_age(const Kafka *kafka, int milliseconds);

/* Is the time of the phase over? */
extern bool kafka_is_late(const Kafka *kafka);

/*
 * May recovery wait longer, because an answer may be outdated?  Normally until the phase is over.
 * During a peek, or if a loss is suspected, only for patience_ms.
 */
extern bool kafka_is_patient(const Kafka *kafka);

/* A look after the topic has seen a log that is too short; recovery need not be patient.  Outlives the handle. */
extern void kafka_suspect_loss(void);
extern bool kafka_suspects_loss(void);
extern void kafka_forget_suspicion(void);

#endif							/* ADMIN_EXT_KAFKA_PHASE_H */
