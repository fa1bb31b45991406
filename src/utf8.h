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

/*
 * Has the text a character that CloudEvents 1.0 (section 3.2) allows in no attribute: a control
 * character, or one that Unicode calls a noncharacter?  In a database without an encoding the text
 * is UTF-8.
 */
extern bool utf8_is_forbidden(const char *data, Size length);

/* Is the one character of so many bytes of UTF-8 such a one? */
extern bool utf8_is_forbidden_character(const char *data, Size bytes);

#endif							/* ADMIN_EXT_UTF8_H */
