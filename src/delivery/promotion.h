/*
 * promotion.h
 *	  Finds out from the WAL how the server before this one ended.
 */
#ifndef ADMIN_EXT_PROMOTION_H
#define ADMIN_EXT_PROMOTION_H

/*
 * Was the server before this one at its end when this one took over?  False
 * where it may have committed, and delivered, what this one does not have.
 */
extern bool promotion_lost_nothing(const char *home_before, const char *home);

#endif							/* ADMIN_EXT_PROMOTION_H */
