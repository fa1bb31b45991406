/*
 * json_members.h
 *	  The members of a JSON object (RFC 8259), read by PostgreSQL's own parser.
 *
 * Stricter than the server's json type: a name that comes twice in one object, at any depth,
 * is refused (RFC 7515, section 4; RFC 7519, section 4), as are texts that are not UTF-8 and
 * more than JSON_MAX_DEPTH levels or JSON_MAX_MEMBERS names in all.
 */
#ifndef ADMIN_EXT_JSON_MEMBERS_H
#define ADMIN_EXT_JSON_MEMBERS_H

#include "identity/either.h"

#define JSON_MAX_DEPTH		16
#define JSON_MAX_MEMBERS	256

typedef enum JsonKind
{
	JSON_KIND_NULL,
	JSON_KIND_BOOLEAN,
	JSON_KIND_NUMBER,
	JSON_KIND_STRING,
	JSON_KIND_ARRAY,
	JSON_KIND_OBJECT
} JsonKind;

/* A member of the outermost object. */
typedef struct JsonMember
{
	const char *name;
	JsonKind	kind;
	const char *text;			/* of a string, unescaped, or of a number as it was written */
	const char **strings;		/* of an array */
	int			count;			/* its elements */
	bool		all_strings;	/* are all of them strings? */
} JsonMember;

typedef struct JsonMembers
{
	JsonMember *members;
	int			count;
	int			capacity;
} JsonMembers;

/* Returns NULL, or why json is not an object.  What it allocates is of the current memory context. */
extern const char *json_members_parse(const char *json, int length, JsonMembers *members);

/* NULL when there is no such member. */
extern const JsonMember *json_member(const JsonMembers *members, const char *name);

/* The text of a member that is a string; NULL when it is not one, or absent. */
extern const char *json_member_string(const JsonMembers *members, const char *name);

#endif							/* ADMIN_EXT_JSON_MEMBERS_H */
