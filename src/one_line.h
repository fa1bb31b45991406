/*
 * one_line.h
 *	  Texts that name something: a view or a log shows them on one line.  Reasons and comments may have lines.
 */
#ifndef ADMIN_EXT_ONE_LINE_H
#define ADMIN_EXT_ONE_LINE_H

#define ONE_LINE_DETAIL	"It is shown on one line."

/*
 * Has the text a control character or, in a database in UTF8, a separator of lines or paragraphs?
 */
extern bool one_line_is_broken(const text *value);

/* Raises 22023, naming the argument, when it has. */
extern void check_argument_line(const char *name, const text *value);

#endif							/* ADMIN_EXT_ONE_LINE_H */
