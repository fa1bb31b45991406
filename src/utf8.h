/*
 * utf8.h
 *	  Texts of the database as UTF-8, whatever its encoding.
 */
#ifndef ADMIN_EXT_UTF8_H
#define ADMIN_EXT_UTF8_H

/*
 * The same text in UTF-8: the very bytes where they are that already, else palloc'd.
 * What has no equivalent, or is no UTF-8 in a database without an encoding, becomes
 * U+FFFD: a document that cannot be read, or a delivery that stops, would be worse.
 */
extern const char *utf8_of(const char *data, Size length, Size *utf8_length);

#endif							/* ADMIN_EXT_UTF8_H */
